#include "storage/unpack/unpack_broker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/pipe.h"
#include "base/status.h"
#include "storage/unpack/unpacker_filter.h"

namespace crisp::storage {
namespace {

constexpr int kPollMs = 100;
// They have said all, or were killed.
constexpr absl::Duration kForEnded = absl::Seconds(2);

absl::StatusOr<pid_t> Spawn(const std::string& program, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  auto free_both = absl::MakeCleanup([&] {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  });
  // Not 0 itself: a dup onto itself would keep close-on-exec.
  const UniqueFd parked(fcntl(socket, F_DUPFD_CLOEXEC, 10));
  if (!parked) return ErrnoError(errno, "duplicate the unpack broker's socket");
  posix_spawn_file_actions_adddup2(&actions, parked.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, 2, 1);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string name = "crisp-unpacker";
  char* const args[] = {name.data(), nullptr};
  char* const env[] = {nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, args, env);
  if (error != 0) return ErrnoError(error, absl::StrCat("run the unpacker ", program));
  return pid;
}

// The socket holds it until the broker is there.
absl::Status SendFilter(int socket, LayerTarget target) {
  const absl::StatusOr<std::vector<sock_filter>>& filter = UnpackerFilter(target);
  CRISP_RETURN_IF_ERROR(filter.status());
  const size_t size = filter->size() * sizeof(sock_filter);
  if (send(socket, filter->data(), size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) {
    return ErrnoError(errno, "hand the unpack broker its filter");
  }
  return absl::OkStatus();
}

absl::Status Ask(int socket, UnpackRequest request, const int (&fds)[kUnpackRequestFds]) {
  iovec data{&request, sizeof(request)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(fds))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(fds));
  memcpy(CMSG_DATA(header), fds, sizeof(fds));
  const absl::Time until = absl::Now() + UnpackBroker::kPatience;
  while (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return absl::UnavailableError("the unpack broker is gone");
    if (absl::Now() >= until) return absl::UnavailableError("the unpack broker does not answer");
    pollfd waiting{socket, POLLOUT, 0};
    (void)poll(&waiting, 1, kPollMs);
  }
  return absl::OkStatus();
}

// Children that no living EndedUnpackers holds.
struct Orphans {
  absl::Mutex mutex;
  std::vector<pid_t> pids ABSL_GUARDED_BY(mutex);
};
Orphans& AllOrphans() {
  static auto* const orphans = new Orphans;
  return *orphans;
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnpackBroker>> UnpackBroker::Start(const std::string& program) {
  CRISP_ASSIGN_OR_RETURN(SocketPair sockets,
                         MakeSocketPair("the unpack broker's socket", SOCK_SEQPACKET));
  CRISP_RETURN_IF_ERROR(SendFilter(sockets.ours.get(), LayerTarget::kDirectory));
  CRISP_RETURN_IF_ERROR(SendFilter(sockets.ours.get(), LayerTarget::kFile));
  CRISP_ASSIGN_OR_RETURN(const pid_t pid, Spawn(program, sockets.theirs.get()));
  return std::unique_ptr<UnpackBroker>(new UnpackBroker(pid, std::move(sockets.ours)));
}

// It serves what it was asked for and ends with its socket.
UnpackBroker::~UnpackBroker() {
  {
    absl::MutexLock lock(&mutex_);
    socket_.reset();
  }
  if (ReapChild(pid_, kPatience)) return;
  LogWarning("unpack_broker_killed", {{"pid", absl::StrCat(pid_)}, {"error", "it did not end"}});
  (void)kill(pid_, SIGKILL);
  if (!ReapChild(pid_, kPatience)) ended_->Add(pid_);
}

bool ReapChild(pid_t pid, absl::Duration patience) {
  const auto reap = [pid] { return waitpid(pid, nullptr, WNOHANG) != 0; };
  if (reap()) return true;
  // It is ours and not reaped, so the number is its own.
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const absl::Time until = absl::Now() + patience;
  while (absl::Now() < until) {
    pollfd waiting{process.get(), POLLIN, 0};
    (void)poll(&waiting, 1, kPollMs);
    if (reap()) return true;
  }
  return false;
}

EndedUnpackers::EndedUnpackers() {
  Orphans& orphans = AllOrphans();
  absl::MutexLock lock(&orphans.mutex);
  absl::MutexLock own(&mutex_);
  pids_.swap(orphans.pids);
}

EndedUnpackers::~EndedUnpackers() {
  std::erase_if(pids_, [](pid_t pid) { return ReapChild(pid, kForEnded); });
  if (pids_.empty()) return;
  Orphans& orphans = AllOrphans();
  absl::MutexLock lock(&orphans.mutex);
  orphans.pids.insert(orphans.pids.end(), pids_.begin(), pids_.end());
}

void EndedUnpackers::Add(pid_t pid) {
  absl::MutexLock lock(&mutex_);
  pids_.push_back(pid);
}

void EndedUnpackers::Reap() {
  absl::MutexLock lock(&mutex_);
  std::erase_if(pids_, [](pid_t pid) { return waitpid(pid, nullptr, WNOHANG) != 0; });
}

absl::Status UnpackBroker::Fork(
    const LayerForm& form, const UnpackOptions& options, int stream, int target, int report) {
  UnpackRequest request{.options = options};
  const absl::string_view name = form.name();
  (void)name.copy(request.form, LayerForm::kMaxName);
  ended_->Reap();
  std::shared_ptr<UniqueFd> socket;
  {
    absl::MutexLock lock(&mutex_);
    socket = socket_;
  }
  if (socket == nullptr) return absl::UnavailableError("the unpack broker is gone");
  absl::Status asked = Ask(socket->get(), request, {stream, target, report});
  if (asked.ok()) return asked;
  absl::MutexLock lock(&mutex_);
  socket_.reset();
  return asked;
}

bool UnpackBroker::alive() const {
  absl::MutexLock lock(&mutex_);
  return socket_ != nullptr;
}

}  // namespace crisp::storage
