#ifndef CRISP_RUNTIME_DEVICES_CDI_REGISTRY_H_
#define CRISP_RUNTIME_DEVICES_CDI_REGISTRY_H_

#include <sys/stat.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "runtime/devices/cdi_spec.h"

namespace crisp::runtime {

// The CDI files (*.json, *.yaml) of some directories, read when they are needed and again when they
// have changed: vendors and dynamic-allocation drivers write them while the node runs. Thread-safe.
class CdiRegistry {
 public:
  // A device in a later directory hides one of the same name in an earlier one. A directory that
  // does not exist has no devices.
  explicit CdiRegistry(std::vector<std::string> dirs, StatOnHost stat = StatDirectly)
      : dirs_(std::move(dirs)), stat_(std::move(stat)) {}

  // The edits for `devices` (qualified names; one named twice counts once), completed by a look at
  // the host. A file's own edits come once, before those of its first device. InvalidArgument for
  // malformed names. FailedPrecondition "CDI device injection failed: …" for a device that no file
  // defines, or two files of one directory (the message names them, and says why a file that may
  // have had it cannot be read), that needs something crisp does not do, or whose host paths do not
  // exist.
  absl::StatusOr<CdiEdits> Resolve(const std::vector<std::string>& devices);

  // Every device that Resolve() would find, sorted, and the faults of files.
  struct Listing {
    std::vector<std::string> devices;
    std::map<std::string, std::string> errors;  // path → why
  };
  Listing List();

 private:
  struct File {
    struct stat identity = {};
    absl::StatusOr<CdiSpec> spec = absl::UnknownError("not read");
  };
  struct Found {
    std::shared_ptr<const File> file;
    std::string path;
    std::string conflict;  // the other file of the same directory
  };
  using Index = std::map<std::string, Found>;  // by qualified name

  std::shared_ptr<const File> Load(const std::string& path);
  Index Scan(std::map<std::string, std::string>& errors);
  absl::StatusOr<CdiEdits> EditsOf(const std::string& device,
                                   const Found& found,
                                   std::vector<const File*>& begun) const;

  const std::vector<std::string> dirs_;
  const StatOnHost stat_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<const File>> files_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_DEVICES_CDI_REGISTRY_H_
