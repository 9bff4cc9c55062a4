#ifndef CRISP_CRI_CONTAINERS_EXECUTIONS_H_
#define CRISP_CRI_CONTAINERS_EXECUTIONS_H_

#include <memory>
#include <string>
#include <vector>

#include "cri/containers/exec_session.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Processes that are started in running containers. Thread-safe.
class Executions {
 public:
  // Both outlive it; `background` ends what a failed start may have started all the same.
  Executions(PodTable& table, WorkQueue& background) : table_(table), background_(background) {}

  // Starts a process in a running container; for ExecSync and the streaming server. NotFound,
  // FailedPrecondition unless running, InvalidArgument without argv, Unimplemented where the
  // pod's runtime has no such verb.
  absl::StatusOr<std::shared_ptr<ExecSession>> Start(absl::string_view container_id,
                                                     const std::vector<std::string>& argv,
                                                     bool terminal,
                                                     const runtime::Stdio& stdio,
                                                     const Operation& operation);
  absl::Status ExecSync(const v1::ExecSyncRequest& request,
                        v1::ExecSyncResponse* reply,
                        const Operation& operation);

  // One has ended, as its shim says.
  void Finish(const std::string& exec_id, const runtime::ExitRecord& record) {
    (void)sessions_.Finish(exec_id, record);
  }
  // Called when the container or the connection to its shim has ended: its execs are killed.
  void FinishAllOf(const std::string& container_id, absl::Time at);

 private:
  absl::StatusOr<std::shared_ptr<const runtime::ExecBase>> BaseOf(Container& container);

  PodTable& table_;
  WorkQueue& background_;
  ExecTable sessions_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_EXECUTIONS_H_
