#include "runtime/shim_broker.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace crisp::runtime {

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
  // Out of the way of the broker's socket, which becomes 3 in the child before the exec.
  binary_.reset(fcntl(binary_.get(), F_DUPFD_CLOEXEC, 10));
  absl::MutexLock lock(&mutex_);
  return Spawn();
}

void ShimBroker::Stop() {
  socket_.reset();
  if (pid_ > 0) (void)waitpid(pid_, nullptr, 0);  // it ends when its socket closes
  pid_ = 0;
}

absl::Status ShimBroker::Spawn() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "make the broker's socket");
  }
  UniqueFd ours(ends[0]);
  // Not 3 itself: a dup onto itself would keep close-on-exec.
  const UniqueFd theirs(fcntl(ends[1], F_DUPFD_CLOEXEC, 10));
  close(ends[1]);
  const std::string path = absl::StrCat("/proc/self/fd/", binary_.get());
  std::string name = "crisp-shim", flag = "--broker", root = storage_root_;
  std::string log_rate = absl::StrCat(log_rate_);
  char* argv[] = {name.data(), flag.data(), root.data(), log_rate.data(), nullptr};
  char* env[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), 3);
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigfillset(&defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv, env);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoError(error, "start the shim broker");
  socket_ = std::move(ours);
  pid_ = pid;
  return absl::OkStatus();
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
  absl::MutexLock lock(&mutex_);
  absl::Status status = absl::UnavailableError("no broker");
  if (socket_) status = SendMessage(socket_.get(), message, {control}, cancel);
  if (!absl::IsUnavailable(status)) return status;
  Stop();
  CRISP_RETURN_IF_ERROR(Spawn());
  return SendMessage(socket_.get(), message, {control}, cancel);
}

}  // namespace crisp::runtime
