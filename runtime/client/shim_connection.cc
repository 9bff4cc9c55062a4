#include "runtime/client/shim_connection.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/lower.h"
#include "base/status.h"
#include "runtime/client/shim_deadlines.h"

namespace crisp::runtime {
namespace {

// Adds the mounts among the layers, each once.
void AddMounts(const std::vector<Lower>& layers, std::vector<int>& mounts) {
  for (const Lower& layer : layers) {
    if (layer.is_mount() &&
        std::find(mounts.begin(), mounts.end(), layer.mount_fd) == mounts.end()) {
      mounts.push_back(layer.mount_fd);
    }
  }
}

bool Readable(int fd, absl::Duration wait) {
  pollfd poll_fd = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, static_cast<int>(absl::ToInt64Milliseconds(wait))) > 0;
}

// Adds advice about a shim that lacks something.
absl::Status Older(const absl::Status& lacks, const std::string& pod_id) {
  return Annotate(lacks, absl::StrCat("the shim of pod ", pod_id,
                                      " is of an earlier release, and will be until the "
                                      "pod is deleted and made again"));
}

}  // namespace

absl::Status KnowsRequest(const ShimVersions& versions, MessageType type) {
  const uint16_t since = SinceWire(type);
  if (versions.wire >= since) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("it speaks version ", versions.wire, " of the wire, and request ",
                   static_cast<int>(type), " came with version ", since));
}

template <class Plan, class... Beside>
absl::StatusOr<std::string> ShimConnection::Encode(const Plan& plan,
                                                   const Beside&... beside) const {
  absl::StatusOr<std::string> bytes = EncodePlan(plan, versions_.plan, beside...);
  if (!bytes.ok()) return Older(bytes.status(), pod_id_);
  return bytes;
}

absl::Status ShimConnection::CreateContainer(const ContainerPlan& plan,
                                             int root,
                                             const Operation& operation,
                                             const std::function<absl::Status()>& meanwhile) {
  std::vector<int> mounts;
  AddMounts(plan.lower_dirs, mounts);
  std::optional<ContainerPlan> changed;
  if (root >= 0 && !mounts.empty()) {  // they are in the root already
    mounts.clear();
    changed = plan;
    std::erase_if(changed->lower_dirs, [](const Lower& layer) { return layer.is_mount(); });
  }
  for (const MountPlan& mount : plan.mounts) AddMounts(mount.lowers, mounts);
  std::vector<int> fds;
  if (root >= 0) fds.push_back(root);
  fds.insert(fds.end(), mounts.begin(), mounts.end());
  // One more may be the plan itself.
  if (fds.size() >= kMaxMessageFds) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "create container ", plan.container_id, ": its root and image volumes have ", mounts.size(),
        " layers that are EROFS images, and ", kMaxMessageFds - 2,
        " is what a container can have (image.layer_format: directories has no such limit)"));
  }
  absl::StatusOr<std::string> bytes = Encode(changed.has_value() ? *changed : plan, mounts);
  if (!bytes.ok())
    return Annotate(bytes.status(), absl::StrCat("create container ", plan.container_id));
  const uint32_t flags = (root >= 0 ? static_cast<uint32_t>(kRootFd) : 0u) |
                         (!mounts.empty() ? static_cast<uint32_t>(kLayerFds) : 0u);
  absl::Status beside;
  const absl::Status made =
      Call(MessageType::kCreate, *std::move(bytes), fds, flags, operation, [&] {
        if (meanwhile != nullptr) beside = meanwhile();
      }).status;
  if (!made.ok()) return Annotate(made, absl::StrCat("create container ", plan.container_id));
  if (!beside.ok()) {
    (void)RemoveContainer(plan.container_id);
    return beside;
  }
  // If it does not arrive, the start does the work.
  const WireMessage assemble{.type = MessageType::kAssemble,
                             .payload = PayloadWriter().String(plan.container_id).Take()};
  (void)SendMessage(socket_.get(), assemble, {}, operation);
  return absl::OkStatus();
}

absl::StatusOr<StartedProcess> ShimConnection::StartContainer(absl::string_view id,
                                                              const Operation& operation) {
  // The caller knows which, and says so around this.
  return Started(CallId(MessageType::kStart, id, operation), "start the container");
}

absl::Status ShimConnection::Signal(absl::string_view id, int signal) {
  return Call(MessageType::kSignal, PayloadWriter().String(id).Number<int32_t>(signal).Take(), {},
              0, Within(kControlTime))
      .status;
}

absl::Status ShimConnection::RemoveContainer(absl::string_view id) {
  return CallId(MessageType::kRemove, id, Within(kControlTime)).status;
}

absl::Status ShimConnection::ReopenLog(absl::string_view id) {
  return CallId(MessageType::kReopenLog, id, Within(kControlTime)).status;
}

absl::StatusOr<StartedProcess> ShimConnection::Exec(const ExecPlan& plan,
                                                    const Stdio& stdio,
                                                    const Operation& operation) {
  uint32_t flags = 0;
  const std::vector<int> fds = Borrow(stdio, &flags);
  const std::string what = absl::StrCat("exec in container ", plan.container_id);
  absl::StatusOr<std::string> bytes = Encode(plan);
  if (!bytes.ok()) return Annotate(bytes.status(), what);
  return Started(Call(MessageType::kExec, *std::move(bytes), fds, flags,
                      operation.Until(absl::Now() + kExecStartTime)),
                 what);
}

absl::Status ShimConnection::KillExec(absl::string_view id) {
  return CallId(MessageType::kKillExec, id, Within(kControlTime)).status;
}

absl::Status ShimConnection::Attach(absl::string_view id, const Stdio& stdio) {
  uint32_t flags = 0;
  const std::vector<int> fds = Borrow(stdio, &flags);
  return Call(MessageType::kAttach, PayloadWriter().String(id).Take(), fds, flags,
              Within(kControlTime))
      .status;
}

absl::Status ShimConnection::ResizeTerminal(absl::string_view id,
                                            absl::string_view exec_id,
                                            uint16_t rows,
                                            uint16_t columns) {
  return Call(MessageType::kResize,
              PayloadWriter().String(id).String(exec_id).Number(rows).Number(columns).Take(), {}, 0,
              Within(kControlTime))
      .status;
}

absl::StatusOr<std::vector<ContainerReport>> ShimConnection::Report() {
  ShimAnswer answer = Call(MessageType::kReport, "", {}, 0, Within(kControlTime));
  CRISP_RETURN_IF_ERROR(answer.status);
  CRISP_ASSIGN_OR_RETURN(std::vector<ContainerReport> reports, ParseReport(answer.rest));
  auto pidfd = answer.fds.begin();
  for (ContainerReport& report : reports) {
    if (report.state != ContainerReport::State::kRunning || pidfd == answer.fds.end()) continue;
    report.pidfd = std::move(*pidfd++);
  }
  return reports;
}

absl::Status ShimConnection::Keep(const std::vector<int>& fds, const Operation& operation) {
  for (size_t sent = 0; sent < fds.size(); sent += kMaxMessageFds) {
    const auto begin = fds.begin() + static_cast<ptrdiff_t>(sent);
    const size_t count = std::min<size_t>(kMaxMessageFds, fds.size() - sent);
    const std::vector<int> some(begin, begin + static_cast<ptrdiff_t>(count));
    CRISP_RETURN_IF_ERROR(Call(MessageType::kKeep, "", some, 0, operation).status);
  }
  return absl::OkStatus();
}

absl::Status ShimConnection::GreetStarted(uint64_t request_id,
                                          const std::shared_ptr<PendingRequest>& pending,
                                          const Operation& operation) {
  return Greet(Await(request_id, pending, operation));
}

absl::Status ShimConnection::GreetAdopted(const Operation& operation) {
  const absl::Status greeted = Greet(Call(MessageType::kHello, "", {}, 0, operation));
  files_.reset();  // they were written when the pod was made
  return greeted;
}

std::vector<int> ShimConnection::Borrow(const Stdio& stdio, uint32_t* flags) {
  std::vector<int> fds;
  const std::pair<int, uint32_t> all[] = {
      {stdio.stdin_fd, kStdinFd}, {stdio.stdout_fd, kStdoutFd}, {stdio.stderr_fd, kStderrFd}};
  for (const auto& [fd, flag] : all) {
    if (fd < 0) continue;
    fds.push_back(fd);
    *flags |= flag;
  }
  return fds;
}

absl::StatusOr<StartedProcess> ShimConnection::Started(ShimAnswer answer, absl::string_view what) {
  CRISP_RETURN_IF_ERROR(Annotate(answer.status, what));
  CRISP_ASSIGN_OR_RETURN(const StartReply reply, ParseStart(answer.rest));
  StartedProcess process = {.pid = reply.pid, .pidfd = UniqueFd(), .started_at = reply.started_at};
  if (!answer.fds.empty()) process.pidfd = std::move(answer.fds[0]);
  return process;
}

std::shared_ptr<PendingRequest> ShimConnection::Expect(uint64_t* request_id) {
  auto pending = std::make_shared<PendingRequest>();
  absl::MutexLock lock(&mutex_);
  *request_id = ++last_request_;
  if (ended_) {
    pending->done = true;
    pending->answer.status =
        absl::UnavailableError(absl::StrCat("the shim of pod ", pod_id_, " has gone"));
  } else {
    pending_[*request_id] = pending;
  }
  return pending;
}

bool ShimConnection::alive() const {
  return pidfd_.valid() && !Readable(pidfd_.get(), absl::ZeroDuration());
}

Operation ShimConnection::Within(absl::Duration patience) const {
  return Operation(absl::Now() + (silent_ ? std::min(kSilentTime, patience) : patience));
}

ShimAnswer ShimConnection::Call(MessageType type,
                                std::string payload,
                                const std::vector<int>& fds,
                                uint32_t flags,
                                const Operation& operation,
                                const std::function<void()>& meanwhile) {
  if (const absl::Status knows = KnowsRequest(versions_, type); !knows.ok()) {
    return ShimAnswer{.status = Older(knows, pod_id_), .rest = "", .fds = {}};
  }
  uint64_t request_id = 0;
  const std::shared_ptr<PendingRequest> pending = Expect(&request_id);
  {
    absl::MutexLock lock(&mutex_);
    pending->starts_process = type == MessageType::kStart || type == MessageType::kExec;
  }
  WireMessage message;
  message.type = type;
  message.request_id = request_id;
  message.flags = flags;
  message.payload = std::move(payload);
  const absl::Status sent = SendMessage(socket_.get(), message, fds, operation);
  if (!sent.ok()) {
    absl::MutexLock lock(&mutex_);
    pending_.erase(request_id);
    return ShimAnswer{.status = sent, .rest = "", .fds = {}};
  }
  if (meanwhile != nullptr) meanwhile();
  return Await(request_id, pending, operation);
}

ShimAnswer ShimConnection::Await(uint64_t request_id,
                                 const std::shared_ptr<PendingRequest>& pending,
                                 const Operation& operation) {
  const OperationWait wait(operation, mutex_);
  absl::MutexLock lock(&mutex_);
  if (wait.Await(absl::Condition(&pending->done))) return std::move(pending->answer);
  const absl::Status status = operation.Error(absl::StrCat("wait for the shim of pod ", pod_id_));
  if (absl::IsDeadlineExceeded(status)) silent_ = true;
  // A process that is started all the same is to be ended.
  pending->abandoned = pending->starts_process;
  if (!pending->abandoned) pending_.erase(request_id);
  return ShimAnswer{.status = status, .rest = "", .fds = {}};
}

absl::Status ShimConnection::Greet(ShimAnswer answer) {
  CRISP_RETURN_IF_ERROR(answer.status);
  CRISP_ASSIGN_OR_RETURN(const HelloReply hello, ParseHello(answer.rest));
  if (hello.pod_id != pod_id_) {
    return absl::NotFoundError(
        absl::StrCat("the shim in the directory of pod ", pod_id_, " is of pod ", hello.pod_id));
  }
  pid_ = hello.pid;
  versions_ = hello.versions;
  size_t next = 0;
  UniqueFd* const slots[] = {&netns_, &rtnl_, &userns_, &pidfd_, &files_};
  for (int i = 0; i < 5; ++i) {
    if ((hello.fds >> i & 1) == 0) continue;
    if (next == answer.fds.size()) return absl::InternalError("greeting without its descriptors");
    *slots[i] = std::move(answer.fds[next++]);
  }
  if (!pidfd_) return absl::InternalError("greeting without a pidfd");
  greeted_ = true;
  absl::MutexLock lock(&mutex_);
  if (ended_) return absl::UnavailableError(absl::StrCat("the shim of pod ", pod_id_, " ended"));
  return absl::OkStatus();
}

bool ShimConnection::Receive(ShimObserver* observer) {
  absl::StatusOr<WireMessage> message = ReceiveMessage(socket_.get());
  if (absl::IsNotFound(message.status())) return true;
  if (!message.ok()) return false;
  silent_ = false;
  if (message->type == MessageType::kContainerExit || message->type == MessageType::kExecExit) {
    const absl::StatusOr<ExitEvent> event = ParseExitEvent(message->payload);
    if (!event.ok()) return false;
    if (message->type == MessageType::kContainerExit) {
      observer->OnContainerExit(pod_id_, event->id, event->record);
    } else {
      observer->OnExecExit(pod_id_, event->id, event->record);
    }
    return true;
  }
  // Its descriptors come with the greeting, too.
  if (message->type == MessageType::kSpareReady) return true;
  absl::StatusOr<ReplyStatus> reply = ParseReply(message->payload);
  absl::MutexLock lock(&mutex_);
  auto it = pending_.find(message->request_id);
  if (it == pending_.end()) return true;  // whoever asked gave up
  PendingRequest& pending = *it->second;
  if (pending.abandoned && !message->fds.empty()) {
    (void)syscall(SYS_pidfd_send_signal, message->fds[0].get(), SIGKILL, nullptr, 0);
  }
  pending.answer.status = reply.ok() ? reply->status : reply.status();
  if (reply.ok()) pending.answer.rest.assign(reply->rest.data(), reply->rest.size());
  pending.answer.fds = std::move(message->fds);
  pending.done = true;
  pending_.erase(it);
  return true;
}

void ShimConnection::FailAll() {
  absl::MutexLock lock(&mutex_);
  ended_ = true;
  for (auto& [id, pending] : pending_) {
    pending->answer.status =
        absl::UnavailableError(absl::StrCat("the shim of pod ", pod_id_, " has gone"));
    pending->done = true;
  }
  pending_.clear();
}

absl::Status ShimConnection::Shutdown() {
  if (!alive()) return absl::OkStatus();
  shutting_down_ = true;
  absl::Status status = Call(MessageType::kShutdown, "", {}, 0, Within(kShutdownTime)).status;
  // It hangs. Nothing but its death is wanted of it, and its containers die with it.
  if (absl::IsDeadlineExceeded(status)) return Kill();
  // Unavailable may mean that it ended while answering; only the process can say.
  if (!status.ok() && !absl::IsUnavailable(status)) {
    shutting_down_ = false;
    return status;
  }
  if (Readable(pidfd_.get(), status.ok() ? kShutdownTime : absl::Milliseconds(200))) {
    return absl::OkStatus();
  }
  shutting_down_ = false;
  return status.ok() ? absl::DeadlineExceededError(
                           absl::StrCat("the shim of pod ", pod_id_, " does not end"))
                     : status;
}

absl::Status ShimConnection::Kill() {
  shutting_down_ = true;
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
    return ErrnoError(errno, absl::StrCat("kill the shim of pod ", pod_id_, ", pid ", pid_));
  }
  if (Readable(pidfd_.get(), kKillTime)) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("the shim of pod ", pod_id_, ", pid ", pid_,
                                                  ", has been killed and is not gone yet"));
}

}  // namespace crisp::runtime
