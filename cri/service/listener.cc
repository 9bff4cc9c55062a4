#include "cri/service/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::cri {
namespace {

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path ", path, " is too long"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<UniqueFd> NewSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return ErrnoError(errno, "make a unix socket");
  return fd;
}

// Unlinks the socket of a daemon that is gone.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoError(errno, absl::StrCat("look at ", path));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " exists and is not a socket"));
  }
  CRISP_ASSIGN_OR_RETURN(const UniqueFd probe, NewSocket());
  // Non-blocking: a full backlog (EAGAIN) is somebody, too.
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno != ECONNREFUSED) {
    return absl::AlreadyExistsError(absl::StrCat("another process answers on ", path));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError(errno, absl::StrCat("remove stale socket ", path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Listener> Listener::Bind(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  const std::string directory = path.substr(0, path.rfind('/'));
  if (!directory.empty()) CRISP_RETURN_IF_ERROR(MakeDirs(directory, 0711));
  // Two daemons starting at once must not both find the socket stale.
  CRISP_ASSIGN_OR_RETURN(const UniqueFd lock,
                         Open(absl::StrCat(path, ".lock"), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (flock(lock.get(), LOCK_EX) != 0) return ErrnoError(errno, absl::StrCat("lock ", path));
  CRISP_RETURN_IF_ERROR(RemoveStale(path, address));
  CRISP_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  // The mode of a bound socket is that of the unbound one: nobody can get in between.
  if (fchmod(fd.get(), 0600) != 0) return ErrnoError(errno, "restrict the socket");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoError(errno, absl::StrCat("bind ", path));
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 || chmod(path.c_str(), 0600) != 0) {
    return ErrnoError(errno, absl::StrCat("restrict ", path));
  }
  if (listen(fd.get(), SOMAXCONN) != 0) return ErrnoError(errno, absl::StrCat("listen on ", path));
  return Listener(std::move(fd), path, info.st_ino);
}

absl::StatusOr<Listener> Listener::FromSystemd() {
  const int count = sd_listen_fds(/*unset_environment=*/1);
  if (count == 0) return absl::NotFoundError("systemd passed no socket");
  if (count < 0) return ErrnoError(-count, "read LISTEN_FDS");
  if (count > 1) {
    return absl::InvalidArgumentError(absl::StrCat("systemd passed ", count, " sockets, not one"));
  }
  UniqueFd fd(SD_LISTEN_FDS_START);
  if (sd_is_socket_unix(fd.get(), SOCK_STREAM, 1, nullptr, 0) <= 0) {
    return absl::InvalidArgumentError("what systemd passed is not a listening unix stream socket");
  }
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return ErrnoError(errno, "make the passed socket non-blocking");
  }
  return Listener(std::move(fd), "", 0);
}

Listener::~Listener() {
  if (!fd_ || path_.empty()) return;
  struct stat info {};
  if (lstat(path_.c_str(), &info) == 0 && info.st_ino == inode_) (void)unlink(path_.c_str());
}

}  // namespace crisp::cri
