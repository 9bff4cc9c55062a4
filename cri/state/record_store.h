#ifndef CRISP_CRI_STATE_RECORD_STORE_H_
#define CRISP_CRI_STATE_RECORD_STORE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/database.h"
#include "cri/api/crisp_state.pb.h"

namespace crisp::cri {

// The rows of pods and containers in one database on tmpfs. Thread-safe; every write is one
// statement and is kept when the daemon dies at once after it.
class RecordStore {
 public:
  struct Records {
    std::vector<state::PodRecord> pods;
    std::vector<state::ContainerRecord> containers;
  };

  // Opens the database. A malformed one is set aside and an empty one made: see RecordCopies for
  // its rows.
  static absl::StatusOr<std::unique_ptr<RecordStore>> Open(const std::string& path);
  virtual ~RecordStore() = default;

  virtual absl::Status Put(const state::PodRecord& record);
  virtual absl::Status Put(const state::ContainerRecord& record);
  // Writes a container's OCI spec, in a row of its own, because it is as long as ten records and
  // seldom wanted.
  virtual absl::Status PutSpec(const std::string& id, const std::string& json);
  // NotFound when there is none.
  virtual absl::StatusOr<std::string> Spec(const std::string& id);
  virtual absl::StatusOr<bool> Has(const std::string& id);
  // Erases the row, and the spec. Absent is OK.
  virtual absl::Status Erase(const std::string& id);

  // All rows of pods and containers. One that cannot be read is logged and moved to the table
  // `quarantine`, and its spec is erased. One of another kind, which a later release has added,
  // stays.
  virtual absl::StatusOr<Records> LoadAll();

 protected:
  explicit RecordStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}

 private:
  absl::Status Write(const std::string& id, const char* kind, const std::string& data, bool urgent);

  std::unique_ptr<Database> database_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_RECORD_STORE_H_
