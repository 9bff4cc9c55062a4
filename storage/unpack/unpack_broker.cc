#include "storage/unpack/unpack_broker.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/pipe.h"
#include "base/socket_fds.h"
#include "base/status.h"
#include "storage/unpack/unpacker_filter.h"

namespace crisp::storage {
namespace {

constexpr int kPollMs = 100;

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

absl::Status Ask(int socket, const UnpackRequest& request, const std::vector<int>& fds) {
  const absl::string_view bytes(reinterpret_cast<const char*>(&request), sizeof(request));
  const absl::Time until = absl::Now() + UnpackBroker::kPatience;
  for (;;) {
    const absl::Status sent = SendWithFds(socket, {bytes}, fds, MSG_DONTWAIT);
    if (sent.ok()) return sent;
    if (ErrnoOf(sent) != EAGAIN) return absl::UnavailableError("the unpack broker is gone");
    if (absl::Now() >= until) return absl::UnavailableError("the unpack broker does not answer");
    pollfd waiting{socket, POLLOUT, 0};
    (void)poll(&waiting, 1, kPollMs);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnpackBroker>> UnpackBroker::Start(const std::string& program) {
  CRISP_ASSIGN_OR_RETURN(SocketPair sockets,
                         MakeSocketPair("the unpack broker's socket", SOCK_SEQPACKET));
  CRISP_RETURN_IF_ERROR(SendFilter(sockets.ours.get(), LayerTarget::kDirectory));
  CRISP_RETURN_IF_ERROR(SendFilter(sockets.ours.get(), LayerTarget::kFile));
  // What it says goes to the daemon's log.
  const absl::StatusOr<pid_t> pid = Spawn({.argv = {"crisp-unpacker"},
                                           .path = program,
                                           .fds = {{sockets.theirs.get(), 0}, {STDERR_FILENO, 1}}});
  if (!pid.ok())
    return ErrnoError(ErrnoOf(pid.status()), absl::StrCat("run the unpacker ", program));
  return std::unique_ptr<UnpackBroker>(new UnpackBroker(*pid, std::move(sockets.ours)));
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
