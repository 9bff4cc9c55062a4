#ifndef CRISP_CRI_STATE_RECORD_COPIES_H_
#define CRISP_CRI_STATE_RECORD_COPIES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cri/api/crisp_state.pb.h"
#include "cri/state/record_store.h"
#include "runtime/client/shim_finder.h"

namespace crisp::cri {

// Copies of pods' and containers' rows, one small file each in the pod's own directory: written
// once, when the thing is there, so that a state database that is lost, cut or malformed forgets
// nothing that lives. What has changed since, the shim and the exit records tell. The rows are the
// truth where there are any.
class RecordCopies {
 public:
  // `pods_dir`: <state>/pods.
  explicit RecordCopies(std::string pods_dir) : pods_dir_(std::move(pods_dir)) {}

  absl::Status Write(const state::PodRecord& record) const;
  absl::Status Write(const state::ContainerRecord& record, const std::string& spec) const;
  // It is being removed, and must not come back. Absent is OK.
  void ForgetPod(const std::string& pod_id) const;
  void ForgetContainer(const std::string& pod_id, const std::string& id) const;

  // Adds to `records` what it lacks and there is a copy of; a row that says "being made" of
  // something with a copy is older than that. Puts the rows back and logs each.
  void Restore(RecordStore& store, RecordStore::Records* records) const;
  // The pods that have a directory and no record in `records`.
  std::vector<std::string> WithoutRecord(const RecordStore::Records& records) const;

 private:
  std::string PodPath(const std::string& pod_id) const;
  std::string ContainersDir(const std::string& pod_id) const;

  const std::string pods_dir_;
};

// What is shown of a pod that nothing is known of but that its shim lives: not ready, so that it
// can be looked at, stopped and removed.
state::PodRecord UnknownPod(const std::string& pod_id, std::string cgroup_path);
// The same of a container that only its shim knows.
state::ContainerRecord UnknownContainer(const std::string& pod_id,
                                        const std::string& id,
                                        std::string cgroup_path);

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_RECORD_COPIES_H_
