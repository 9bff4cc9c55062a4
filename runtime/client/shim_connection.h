#ifndef CRISP_RUNTIME_CLIENT_SHIM_CONNECTION_H_
#define CRISP_RUNTIME_CLIENT_SHIM_CONNECTION_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "runtime/client/shim_client.h"
#include "runtime/client/shim_link.h"

namespace crisp::runtime {

struct ShimAnswer {
  absl::Status status;
  std::string rest;
  std::vector<UniqueFd> fds;
};

// A request whose answer is awaited. It outlives a caller that gave up.
struct PendingRequest {
  bool done = false;  // guarded by the connection's mutex, like all members
  ShimAnswer answer;
  bool starts_process = false;  // the answer's first descriptor is a pidfd
  bool abandoned = false;       // nobody waits any more
};

// FailedPrecondition if shims of these versions do not know the request.
absl::Status KnowsRequest(const ShimVersions& versions, MessageType type);

// The Shim of the pool. Requests go out from their callers' threads; answers and exits come in on
// the pool's poll thread. Owns the socket and the pod's namespace descriptors.
class ShimConnection final : public Shim {
 public:
  ShimConnection(std::string pod_id, UniqueFd socket, std::string prepared_network = "")
      : pod_id_(std::move(pod_id)),
        prepared_network_(std::move(prepared_network)),
        socket_(std::move(socket)) {}

  pid_t pid() const override { return pid_; }
  bool alive() const override;
  ShimVersions versions() const override { return versions_; }
  bool connected() const override {
    absl::MutexLock lock(&mutex_);
    return !ended_;
  }
  int netns_fd() const override { return netns_.get(); }
  int rtnl_fd() const override { return rtnl_.get(); }
  int userns_fd() const override { return userns_.get(); }
  UniqueFd TakeFiles() override { return std::move(files_); }
  const std::string& prepared_network() const override { return prepared_network_; }

  absl::Status CreateContainer(const ContainerPlan& plan,
                               int root,
                               const Operation& operation,
                               const std::function<absl::Status()>& meanwhile) override;
  absl::StatusOr<StartedProcess> StartContainer(absl::string_view id,
                                                const Operation& operation) override;
  absl::Status Signal(absl::string_view id, int signal) override;
  absl::Status RemoveContainer(absl::string_view id) override;
  absl::Status ReopenLog(absl::string_view id) override;
  absl::StatusOr<StartedProcess> Exec(const ExecPlan& plan,
                                      const Stdio& stdio,
                                      const Operation& operation) override;
  absl::Status KillExec(absl::string_view id) override;
  absl::Status Attach(absl::string_view id, const Stdio& stdio) override;
  absl::Status ResizeTerminal(absl::string_view id,
                              absl::string_view exec_id,
                              uint16_t rows,
                              uint16_t columns) override;
  absl::StatusOr<std::vector<ContainerReport>> Report() override;
  absl::Status Keep(const std::vector<int>& fds, const Operation& operation) override;
  absl::Status Shutdown() override;
  absl::Status Kill() override;

  // The first exchange. GreetStarted() awaits the answer to a request that went to the broker;
  // Greet() asks now.
  absl::Status GreetStarted(uint64_t request_id,
                            const std::shared_ptr<PendingRequest>& pending,
                            const Operation& operation);
  absl::Status GreetAdopted(const Operation& operation);
  std::shared_ptr<PendingRequest> Expect(uint64_t* request_id);

  // Called from the poll thread. False if the connection has ended.
  bool Receive(ShimObserver* observer);
  void FailAll();
  int socket() const { return socket_.get(); }
  int pidfd() const { return pidfd_.get(); }
  const std::string& pod_id() const { return pod_id_; }
  // True if its death is news.
  bool watched() const { return greeted_ && !shutting_down_; }

 private:
  absl::Status Greet(ShimAnswer answer);
  // The plan as the shim reads it; a container's with the mounts that go beside it.
  template <class Plan, class... Beside>
  absl::StatusOr<std::string> Encode(const Plan& plan, const Beside&... beside) const;
  ShimAnswer Call(MessageType type,
                  std::string payload,
                  const std::vector<int>& fds,
                  uint32_t flags,
                  const Operation& operation,
                  const std::function<void()>& meanwhile = nullptr);
  // The deadline of a call that has no caller's.
  Operation Within(absl::Duration patience) const;
  ShimAnswer CallId(MessageType type, absl::string_view id, const Operation& operation) {
    return Call(type, PayloadWriter().String(id).Take(), {}, 0, operation);
  }
  ShimAnswer Await(uint64_t request_id,
                   const std::shared_ptr<PendingRequest>& pending,
                   const Operation& operation);
  static std::vector<int> Borrow(const Stdio& stdio, uint32_t* flags);
  static absl::StatusOr<StartedProcess> Started(ShimAnswer answer, absl::string_view what);

  const std::string pod_id_, prepared_network_;
  const UniqueFd socket_;
  UniqueFd netns_, rtnl_, userns_, pidfd_, files_;  // set once, by Greet()
  pid_t pid_ = 0;
  ShimVersions versions_;  // as pid_
  std::atomic<bool> greeted_{false}, shutting_down_{false};
  // True if a call has gone unanswered for its whole time, and nothing has come since.
  std::atomic<bool> silent_{false};
  mutable absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t last_request_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, std::shared_ptr<PendingRequest>> pending_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CLIENT_SHIM_CONNECTION_H_
