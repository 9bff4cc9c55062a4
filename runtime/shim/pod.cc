#include "runtime/shim/pod.h"

#include <fcntl.h>
#include <sys/socket.h>

namespace crisp::shim {

Pod g_pod;

bool HostScope::inside_ = false;
bool HostScope::astray_ = false;

HostScope::HostScope() : outermost_(!inside_) {
  if (outermost_) inside_ = astray_ || SysSetns(g_pod.host_mnt.get(), CLONE_NEWNS) == 0;
  if (!inside_) Fail("enter the host's mount namespace");
}

HostScope::~HostScope() {
  if (!outermost_ || !inside_) return;
  const int error = errno;
  inside_ = false;
  astray_ = true;
  (void)ReturnHome();
  errno = error;
}

bool HostScope::ReturnHome() {
  if (astray_ && SysSetns(g_pod.own_mnt.get(), CLONE_NEWNS) == 0) astray_ = false;
  return !astray_;
}

int OpenNamespace(pid_t pid, const char* name) {
  Text<64> path;
  path.Add("/proc/").AddNumber(pid).Add("/ns/").Add(name);
  const int fd = open(path.data, O_RDONLY | O_CLOEXEC);
  if (fd < 0) Fail("open namespace", path.data);
  return fd;
}

bool SendFd(int socket, const void* data, size_t size, int fd) {
  iovec vector = {.iov_base = const_cast<void*>(data), .iov_len = size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(size) ||
         Fail("send a descriptor");
}

ssize_t ReceiveFd(int socket, void* data, size_t size, int* fd) {
  iovec vector = {.iov_base = data, .iov_len = size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  *fd = -1;
  ssize_t n;
  do {
    n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  const cmsghdr* header = n >= 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    memcpy(fd, CMSG_DATA(header), sizeof(*fd));
  }
  return n;
}

}  // namespace crisp::shim
