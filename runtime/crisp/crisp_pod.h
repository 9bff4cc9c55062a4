#ifndef CRISP_RUNTIME_CRISP_CRISP_POD_H_
#define CRISP_RUNTIME_CRISP_CRISP_POD_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/client/shim_client.h"
#include "runtime/crisp/lowering.h"
#include "runtime/handler/pod_handle.h"

namespace crisp::runtime {

// A pod as its shim holds it.
class CrispPod final : public PodHandle {
 public:
  CrispPod(std::shared_ptr<Shim> shim, std::shared_ptr<Lowering> lowering)
      : shim_(std::move(shim)), lowering_(std::move(lowering)) {}

  pid_t pid() const override { return shim_->pid(); }
  bool alive() const override { return shim_->alive(); }
  bool connected() const override { return shim_->connected(); }
  int netns_fd() const override { return shim_->netns_fd(); }
  int rtnl_fd() const override { return shim_->rtnl_fd(); }
  UniqueFd TakeFiles() override { return shim_->TakeFiles(); }
  const std::string& prepared_network() const override { return shim_->prepared_network(); }
  void Describe(Json& info) const override;

  // The limits are written while the shim mounts.
  absl::StatusOr<std::shared_ptr<const ExecBase>> Create(const NewContainer& container,
                                                         const Operation& operation) override;
  absl::StatusOr<StartedProcess> Start(absl::string_view id, const Operation& operation) override {
    return shim_->StartContainer(id, operation);
  }
  absl::Status Signal(absl::string_view id, int signal) override {
    return shim_->Signal(id, signal);
  }
  absl::Status Delete(absl::string_view id) override { return shim_->RemoveContainer(id); }
  absl::StatusOr<std::vector<ContainerReport>> Report() override { return shim_->Report(); }
  absl::Status ReopenLog(absl::string_view id) override { return shim_->ReopenLog(id); }
  absl::StatusOr<StartedProcess> Exec(const NewExec& exec,
                                      const Stdio& stdio,
                                      const Operation& operation) override;
  // An exec is in the container's own cgroups and gets a cgroup namespace of its own where the
  // container has one: that is how daemonised children are found too. Without one its session and
  // all descendants die.
  absl::Status KillExec(absl::string_view exec_id) override { return shim_->KillExec(exec_id); }
  absl::Status Attach(absl::string_view id, const Stdio& stdio) override {
    return shim_->Attach(id, stdio);
  }
  absl::Status ResizeTerminal(absl::string_view id,
                              absl::string_view exec_id,
                              uint16_t rows,
                              uint16_t columns) override {
    return shim_->ResizeTerminal(id, exec_id, rows, columns);
  }
  absl::Status Keep(const std::vector<int>& fds, const Operation& operation) override {
    return shim_->Keep(fds, operation);
  }
  absl::Status Shutdown() override { return shim_->Shutdown(); }
  absl::Status Kill() override { return shim_->Kill(); }

 private:
  const std::shared_ptr<Shim> shim_;
  const std::shared_ptr<Lowering> lowering_;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CRISP_CRISP_POD_H_
