#ifndef CRISP_BASE_SOCKET_FDS_H_
#define CRISP_BASE_SOCKET_FDS_H_

#include <cstddef>
#include <initializer_list>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace crisp {

// Messages with file descriptors, over unix sockets that keep messages apart (SOCK_SEQPACKET).

// What one message may carry (SCM_MAX_FD).
constexpr size_t kMostFds = 253;

// Sends one message: the parts one after the other, and copies of the descriptors. `flags` are
// those of sendmsg(2); no signal comes of it. Errors are ErrnoError("send a message").
absl::Status SendWithFds(int socket,
                         std::initializer_list<absl::string_view> parts,
                         const std::vector<int>& fds,
                         int flags = 0);

struct Received {
  size_t size = 0;  // 0: the other end has gone
  std::vector<UniqueFd> fds;
};
// Receives one message into the buffer, with up to `most_fds` descriptors, which are close-on-exec.
// `flags` are those of recvmsg(2). A message that is longer, or brings more descriptors, is
// InvalidArgument, and is gone with all that came with it. Other errors are
// ErrnoError("receive a message").
absl::StatusOr<Received> ReceiveWithFds(
    int socket, void* buffer, size_t size, size_t most_fds, int flags = 0);

}  // namespace crisp

#endif  // CRISP_BASE_SOCKET_FDS_H_
