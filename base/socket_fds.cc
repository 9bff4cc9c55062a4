#include "base/socket_fds.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/container/inlined_vector.h"
#include "base/status.h"

namespace crisp {
namespace {

struct Control {
  alignas(cmsghdr) char bytes[CMSG_SPACE(kMostFds * sizeof(int))];
};

void TakeFds(msghdr* message, std::vector<UniqueFd>* fds) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
      fds->emplace_back(fd);
    }
  }
}

}  // namespace

absl::Status SendWithFds(int socket,
                         std::initializer_list<absl::string_view> parts,
                         const std::vector<int>& fds,
                         int flags) {
  if (fds.size() > kMostFds) return ErrnoError(E2BIG, "send a message");
  absl::InlinedVector<iovec, 4> vectors;
  for (const absl::string_view part : parts) {
    vectors.push_back({.iov_base = const_cast<char*>(part.data()), .iov_len = part.size()});
  }
  msghdr message = {};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  Control control;
  if (!fds.empty()) {
    const size_t bytes = fds.size() * sizeof(int);
    std::memset(control.bytes, 0, CMSG_SPACE(bytes));
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(header), fds.data(), bytes);
  }
  while (sendmsg(socket, &message, flags | MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return ErrnoError(errno, "send a message");
  }
  return absl::OkStatus();
}

absl::StatusOr<Received> ReceiveWithFds(
    int socket, void* buffer, size_t size, size_t most_fds, int flags) {
  iovec vector = {.iov_base = buffer, .iov_len = size};
  Control control;
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = CMSG_SPACE(std::min(most_fds, kMostFds) * sizeof(int));
  ssize_t n;
  do {
    n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return ErrnoError(errno, "receive a message");
  Received received{.size = static_cast<size_t>(n)};
  TakeFds(&message, &received.fds);
  // The padding of the control buffer may hold one more than was asked for.
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || received.fds.size() > most_fds) {
    return absl::InvalidArgumentError(
        "receive a message: it is longer, or has more descriptors, than any that is expected");
  }
  return received;
}

}  // namespace crisp
