#ifndef CRISP_CRI_SERVICE_LISTENER_H_
#define CRISP_CRI_SERVICE_LISTENER_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp::cri {

// The listening unix socket of the daemon. Given up by the destructor, which unlinks the path only
// when the socket was made here and the path still leads to it.
class Listener {
 public:
  // Binds `path` with mode 0600; its directory is made 0711 when absent. A socket that is there
  // already is replaced only when nobody answers on it; AlreadyExists when somebody does,
  // FailedPrecondition when the path is something else than a socket.
  static absl::StatusOr<Listener> Bind(const std::string& path);

  // The socket that systemd passed (LISTEN_FDS of this process), or NotFound when it passed none.
  // Takes the variables out of the environment. InvalidArgument for anything but one listening
  // unix stream socket.
  static absl::StatusOr<Listener> FromSystemd();

  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  int fd() const { return fd_.get(); }

 private:
  Listener(UniqueFd fd, std::string path, uint64_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), inode_(inode) {}

  UniqueFd fd_;
  std::string path_;  // empty: systemd's
  uint64_t inode_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_LISTENER_H_
