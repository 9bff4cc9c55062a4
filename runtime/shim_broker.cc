#include "runtime/shim_broker.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace crisp::runtime {
namespace {

constexpr absl::Duration kEndTime = absl::Seconds(1);

}  // namespace

absl::Status ShimBroker::Load(const std::string& binary) {
  CRISP_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(binary, 64u << 20));
  binary_.reset(memfd_create("crisp-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  if (!binary_) binary_.reset(memfd_create("crisp-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!binary_) return ErrnoError(errno, "create memfd for the shim");
  CRISP_RETURN_IF_ERROR(WriteAll(binary_.get(), bytes, "shim memfd"));
  if (fchmod(binary_.get(), 0500) != 0 ||
      fcntl(binary_.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
          0) {
    return ErrnoError(errno, "seal the shim");
  }
  return Other(nullptr, Cancel()).status();
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
  for (absl::Time end = absl::Now() + kEndTime; ended_.Reap() > 0; absl::SleepFor(absl::Milliseconds(1))) {
    if (absl::Now() > end) {
      (void)kill(pid, SIGKILL);
      return;
    }
  }
}

absl::StatusOr<std::shared_ptr<const ShimBroker::Process>> ShimBroker::Spawn() const {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "make the broker's socket");
  }
  auto process = std::make_shared<Process>();
  process->socket.reset(ends[0]);
  const UniqueFd theirs(ends[1]);
  CRISP_ASSIGN_OR_RETURN(process->pid, SpawnHelper(binary_.get(), {"crisp-shim", "--broker", storage_root_, absl::StrCat(log_rate_)},
                                                   {theirs.get()}, HelperStdio::kDaemons));
  return process;
}

absl::StatusOr<std::shared_ptr<const ShimBroker::Process>> ShimBroker::Other(
    const std::shared_ptr<const Process>& failed, const Cancel& cancel) {
  {
    absl::MutexLock lock(&mutex_);
    const auto spawned = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !spawning_; };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&spawned), cancel.deadline())) {
      return absl::DeadlineExceededError("start the shim broker: deadline exceeded");
    }
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
                                   const Cancel& cancel) {
  WireMessage message;
  message.type = MessageType::kStartPod;
  message.request_id = request_id;
  message.payload = std::move(plan);
  return Send(message, control, cancel);
}

absl::Status ShimBroker::StartSpare(std::string usual, int control, const Cancel& cancel) {
  WireMessage message;
  message.type = MessageType::kStartSpare;
  message.payload = std::move(usual);
  return Send(message, control, cancel);
}

absl::Status ShimBroker::Send(const WireMessage& message, int control, const Cancel& cancel) {
  std::shared_ptr<const Process> process;
  {
    absl::MutexLock lock(&mutex_);
    process = process_;
  }
  absl::Status status = absl::UnavailableError("no broker");
  if (process != nullptr) {
    const Cancel patient(std::min(cancel.deadline(), absl::Now() + patience_));
    status = SendMessage(process->socket.get(), message, {control}, patient);
    // Of one that takes nothing for so long nobody has anything any more.
    const bool hangs = absl::IsDeadlineExceeded(status) && absl::Now() < cancel.deadline();
    if (!absl::IsUnavailable(status) && !hangs) return status;
  }
  CRISP_ASSIGN_OR_RETURN(process, Other(process, cancel));
  return SendMessage(process->socket.get(), message, {control}, cancel);
}

}  // namespace crisp::runtime
