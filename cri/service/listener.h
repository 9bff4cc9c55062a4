#ifndef CRISP_CRI_SERVICE_LISTENER_H_
#define CRISP_CRI_SERVICE_LISTENER_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp::cri {

// The listening unix socket of the daemon. The destructor closes it. It unlinks the path only if
// the socket was made here and the path still leads to it.
class Listener {
 public:
  // Binds `path` with mode 0600. Makes its directory 0711 if it is absent. An existing socket is
  // replaced only if nobody answers on it. AlreadyExists if somebody does, FailedPrecondition if
  // the path is something else than a socket.
  static absl::StatusOr<Listener> Bind(const std::string& path);

  // Takes the socket that systemd passed (LISTEN_FDS of this process), and the variables out of the
  // environment. NotFound if it passed none. InvalidArgument for anything but one listening unix
  // stream socket.
  static absl::StatusOr<Listener> FromSystemd();

  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  int fd() const { return fd_.get(); }

 private:
  Listener(UniqueFd fd, std::string path, uint64_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), inode_(inode) {}

  UniqueFd fd_;
  std::string path_;  // empty for systemd's socket
  uint64_t inode_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_LISTENER_H_
