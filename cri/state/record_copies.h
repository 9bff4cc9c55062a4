#ifndef CRISP_CRI_STATE_RECORD_COPIES_H_
#define CRISP_CRI_STATE_RECORD_COPIES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cri/api/crisp_state.pb.h"
#include "cri/state/record_store.h"

namespace crisp::cri {

// Copies of pods' and containers' rows, one small file each in the pod's own directory. They are
// written once, when the thing exists, so that a state database that is lost, cut or malformed
// forgets nothing that lives. The shim and the exit records tell what has changed since. Existing
// rows are the truth.
class RecordCopies {
 public:
  // `pods_dir` is <state>/pods.
  explicit RecordCopies(std::string pods_dir) : pods_dir_(std::move(pods_dir)) {}

  absl::Status Write(const state::PodRecord& record) const;
  absl::Status Write(const state::ContainerRecord& record, const std::string& spec) const;
  // Removes the copy of one that is being removed, so that it does not come back. Absent is OK.
  void ForgetPod(const std::string& pod_id) const;
  void ForgetContainer(const std::string& pod_id, const std::string& id) const;

  // Adds to `records` the rows that it lacks and of which there is a copy. A row that says "being
  // made" of something with a copy is older than the copy. Writes the rows and logs each.
  void Restore(RecordStore& store, RecordStore::Records* records) const;
  // The pods that have a directory and no record in `records`.
  std::vector<std::string> WithoutRecord(const RecordStore::Records& records) const;

 private:
  std::string PodPath(const std::string& pod_id) const;
  std::string ContainersDir(const std::string& pod_id) const;

  const std::string pods_dir_;
};

// The record of a pod of which only its living shim is known. It is not ready, so that it can be
// looked at, stopped and removed.
state::PodRecord UnknownPod(const std::string& pod_id, std::string cgroup_path);
// The record of a container that only its shim knows.
state::ContainerRecord UnknownContainer(const std::string& pod_id,
                                        const std::string& id,
                                        std::string cgroup_path);

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_RECORD_COPIES_H_
