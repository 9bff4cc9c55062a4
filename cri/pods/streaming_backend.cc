#include "cri/pods/streaming_backend.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/thread.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kStartLimit = absl::Minutes(2);
// The shim ends the attachments of a container just before it tells of its exit.
constexpr absl::Duration kExitNews = absl::Seconds(1);
constexpr absl::Duration kKillLimit = absl::Seconds(2);

class ExecProcess final : public streaming::Process {
 public:
  explicit ExecProcess(std::shared_ptr<ExecSession> session) : session_(std::move(session)) {}

  int exited_fd() const override { return session_->exited_fd(); }
  std::optional<int> exit_code() const override {
    const std::optional<runtime::ExitRecord> record = session_->exit();
    return record.has_value() ? std::optional<int>(record->exit_code) : std::nullopt;
  }
  absl::Status Resize(uint16_t rows, uint16_t columns) override {
    return session_->Resize(rows, columns);
  }
  absl::Status Kill() override { return session_->Kill(Operation(absl::Now() + kKillLimit)); }

 private:
  const std::shared_ptr<ExecSession> session_;
};

runtime::Stdio Borrowed(const streaming::SessionStdio& stdio) {
  return {.stdin_fd = stdio.stdin_fd, .stdout_fd = stdio.stdout_fd, .stderr_fd = stdio.stderr_fd};
}

// A thread of its own enters the namespace and ends there: no other ever sees it.
absl::StatusOr<UniqueFd> SocketInside(int netns, int family) {
  absl::StatusOr<UniqueFd> result = absl::InternalError("no socket");
  CRISP_ASSIGN_OR_RETURN(Thread inside, Thread::Start("pod-socket", [&] {
                           if (setns(netns, CLONE_NEWNET) != 0) {
                             result = ErrnoError(errno, "enter the pod's network namespace");
                             return;
                           }
                           UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
                           if (fd) {
                             result = std::move(fd);
                           } else {
                             result = ErrnoError(errno, "make a socket in the pod");
                           }
                         }));
  inside.Join();
  return result;
}

}  // namespace

absl::StatusOr<std::shared_ptr<streaming::Process>> StreamingBackend::StartExec(
    const streaming::SessionRequest& request, const streaming::SessionStdio& stdio) {
  CRISP_ASSIGN_OR_RETURN(std::shared_ptr<ExecSession> session,
                         executions_.Start(request.id, request.argv, request.tty, Borrowed(stdio),
                                           Operation(absl::Now() + kStartLimit)));
  return std::make_shared<ExecProcess>(std::move(session));
}

absl::Status StreamingBackend::Attach(const streaming::SessionRequest& request,
                                      const streaming::SessionStdio& stdio) {
  CRISP_ASSIGN_OR_RETURN(const PodTable::RunningContainer running, table_.FindRunning(request.id));
  return running.handle->Attach(running.id, Borrowed(stdio));
}

absl::Status StreamingBackend::WhyDetached(const std::string& container_id) {
  const absl::Time deadline = absl::Now() + kExitNews;
  while (table_.FindRunning(container_id).ok()) {
    if (absl::Now() > deadline) {
      return absl::ResourceExhaustedError(
          "attach: the container's output came faster than this client took it");
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  return absl::OkStatus();
}

absl::Status StreamingBackend::ResizeContainer(const std::string& container_id,
                                               uint16_t rows,
                                               uint16_t columns) {
  CRISP_ASSIGN_OR_RETURN(const PodTable::RunningContainer running,
                         table_.FindRunning(container_id));
  return running.handle->ResizeTerminal(running.id, "", rows, columns);
}

absl::StatusOr<UniqueFd> StreamingBackend::OpenPodSocket(const std::string& pod_id, int family) {
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<runtime::PodHandle> handle,
                         table_.FindReadyPod(pod_id));
  if (handle->netns_fd() >= 0) return SocketInside(handle->netns_fd(), family);
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoError(errno, "make a socket");
  return fd;
}

}  // namespace crisp::cri
