#include "runtime/client/shim_broker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/pipe.h"
#include "base/status.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace crisp::runtime {
namespace {

constexpr absl::Duration kEndTime = absl::Seconds(1);

}  // namespace

ShimVersions VersionsIn(absl::string_view program) {
  const size_t at = program.find(absl::string_view(kVersionStamp.mark, sizeof(kVersionStamp.mark)));
  VersionStamp stamp;
  if (at == absl::string_view::npos || program.size() - at < sizeof(stamp)) return {};
  std::memcpy(&stamp, program.data() + at, sizeof(stamp));
  return {.wire = stamp.wire, .plan = stamp.plan};
}

absl::StatusOr<std::string> ShimBroker::Encode(const PodPlan& plan) const {
  absl::StatusOr<std::string> bytes = EncodePlan(plan, versions_.plan);
  if (bytes.ok()) return bytes;
  return Annotate(bytes.status(),
                  absl::StrCat(path_, " is of an earlier release than this crispd"));
}

absl::Status ShimBroker::Load(const std::string& binary) {
  CRISP_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(binary, 64u << 20));
  path_ = binary;
  versions_ = VersionsIn(bytes);
  if (const ShimVersions own{.wire = kWireVersion, .plan = kPlanVersion}; versions_ != own) {
    LogWarning("shim.of_another_release", {{"path", binary},
                                           {"wire", versions_.wire},
                                           {"plan", versions_.plan},
                                           {"wire_here", own.wire},
                                           {"plan_here", own.plan}});
  }
  binary_.reset(memfd_create("crisp-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  if (!binary_) binary_.reset(memfd_create("crisp-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!binary_) return ErrnoError(errno, "create memfd for the shim");
  CRISP_RETURN_IF_ERROR(WriteAll(binary_.get(), bytes, "shim memfd"));
  if (fchmod(binary_.get(), 0500) != 0 ||
      fcntl(binary_.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
          0) {
    return ErrnoError(errno, "seal the shim");
  }
  return Other(nullptr, Operation()).status();
}

// The broker ends as its socket closes; one that does not is killed.
ShimBroker::~ShimBroker() {
  std::shared_ptr<const Process> last;
  {
    absl::MutexLock lock(&mutex_);
    last = std::move(process_);
  }
  if (last == nullptr) return;
  ended_.Add(last->pid);
  const pid_t pid = last->pid;
  last.reset();
  for (absl::Time end = absl::Now() + kEndTime; ended_.Reap() > 0;
       absl::SleepFor(absl::Milliseconds(1))) {
    if (absl::Now() > end) {
      (void)kill(pid, SIGKILL);
      return;
    }
  }
}

absl::StatusOr<std::shared_ptr<const ShimBroker::Process>> ShimBroker::Spawn() const {
  CRISP_ASSIGN_OR_RETURN(SocketPair sockets, MakeSocketPair("the broker's socket", SOCK_SEQPACKET));
  auto process = std::make_shared<Process>();
  process->socket = std::move(sockets.ours);
  // What it says goes to the daemon's log.
  CRISP_ASSIGN_OR_RETURN(
      process->pid,
      crisp::Spawn({.argv = {"crisp-shim", "--broker", storage_root_, absl::StrCat(log_rate_)},
                    .program = binary_.get(),
                    .fds = {{sockets.theirs.get(), 3}}}));
  return process;
}

absl::StatusOr<std::shared_ptr<const ShimBroker::Process>> ShimBroker::Other(
    const std::shared_ptr<const Process>& failed, const Operation& operation) {
  {
    const OperationWait wait(operation, mutex_);
    absl::MutexLock lock(&mutex_);
    const auto spawned = [this] {
      mutex_.AssertReaderHeld();
      return !spawning_;
    };
    if (!wait.Await(absl::Condition(&spawned))) return operation.Error("start the shim broker");
    if (process_ != failed) return process_;
    spawning_ = true;
    process_ = nullptr;
  }
  if (failed != nullptr) {
    LogWarning("shim broker replaced", {{"pid", failed->pid}});
    (void)kill(failed->pid, SIGKILL);  // its shims are their own
    ended_.Add(failed->pid);
  }
  (void)ended_.Reap();
  auto process = Spawn();
  absl::MutexLock lock(&mutex_);
  spawning_ = false;
  if (process.ok()) process_ = *process;
  return process;
}

pid_t ShimBroker::pid() {
  absl::MutexLock lock(&mutex_);
  return process_ == nullptr ? -1 : process_->pid;
}

absl::Status ShimBroker::StartShim(uint64_t request_id,
                                   std::string plan,
                                   int control,
                                   const Operation& operation) {
  WireMessage message;
  message.type = MessageType::kStartPod;
  message.request_id = request_id;
  message.payload = std::move(plan);
  return Send(message, control, operation);
}

absl::Status ShimBroker::StartSpare(std::string usual, int control, const Operation& operation) {
  WireMessage message;
  message.type = MessageType::kStartSpare;
  message.payload = std::move(usual);
  return Send(message, control, operation);
}

absl::Status ShimBroker::Send(const WireMessage& message, int control, const Operation& operation) {
  std::shared_ptr<const Process> process;
  {
    absl::MutexLock lock(&mutex_);
    process = process_;
  }
  absl::Status status = absl::UnavailableError("no broker");
  if (process != nullptr) {
    const Operation patient = operation.Until(absl::Now() + patience_);
    status = SendMessage(process->socket.get(), message, {control}, patient);
    // Of one that takes nothing for so long nobody has anything any more.
    const bool hangs = absl::IsDeadlineExceeded(status) && absl::Now() < operation.deadline();
    if (!absl::IsUnavailable(status) && !hangs) return status;
  }
  CRISP_ASSIGN_OR_RETURN(process, Other(process, operation));
  status = SendMessage(process->socket.get(), message, {control}, operation);
  return absl::IsUnavailable(status) ? WhyEnded(*process) : status;
}

absl::Status ShimBroker::CheckAlive() {
  std::shared_ptr<const Process> process;
  {
    absl::MutexLock lock(&mutex_);
    process = process_;
  }
  if (process == nullptr) return absl::UnavailableError("there is no shim broker");
  pollfd end = {.fd = process->socket.get(), .events = 0, .revents = 0};
  return poll(&end, 1, 0) == 1 ? WhyEnded(*process) : absl::OkStatus();
}

absl::Status ShimBroker::WhyEnded(const Process& process) const {
  std::string why;
  // It may have said so itself.
  if (const absl::StatusOr<WireMessage> last = ReceiveMessage(process.socket.get()); last.ok()) {
    const absl::StatusOr<ReplyStatus> reply = ParseReply(last->payload);
    why = std::string(reply.ok() ? reply->status.message() : reply.status().message());
  }
  // Its socket closes before it can be waited for.
  siginfo_t info = {};
  const absl::Time until = absl::Now() + absl::Milliseconds(100);
  while (why.empty() && absl::Now() < until &&
         waitid(P_PID, static_cast<id_t>(process.pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
    if (info.si_pid == 0) {
      absl::SleepFor(absl::Milliseconds(1));
    } else {
      why = absl::StrCat(info.si_code == CLD_EXITED ? "exit status " : "signal ", info.si_status);
    }
  }
  return absl::UnavailableError(absl::StrCat(
      "the shim broker, started from ", path_, ", has ended", why.empty() ? "" : ": ", why,
      "; where that program is not of this crispd's release, install that one "
      "and restart crispd"));
}

}  // namespace crisp::runtime
