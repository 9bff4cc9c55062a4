#include "runtime/shim/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "runtime/shim/sys.h"

namespace crisp::shim {
namespace {
int g_epoll = -1;
}

bool StartLoop() {
  if (g_epoll >= 0) return true;
  g_epoll = epoll_create1(EPOLL_CLOEXEC);
  return g_epoll >= 0 || Fail("make an epoll set");
}

void RunOnce(int timeout_ms) {
  epoll_event event;
  if (epoll_wait(g_epoll, &event, 1, timeout_ms) == 1) {
    static_cast<Watch*>(event.data.ptr)->Ready(event.events);
  }
}

void Watch::Adopt(int fd) {
  Close();
  fd_ = fd;
}

bool Watch::Want(uint32_t events) {
  if (fd_ < 0 || events == wanted_) return true;
  epoll_event event = {.events = events, .data = {.ptr = this}};
  // Hang-ups are reported even for an empty set: leave it altogether then.
  const int operation =
      events == 0 ? EPOLL_CTL_DEL : (wanted_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);
  if (epoll_ctl(g_epoll, operation, fd_, &event) < 0) return false;
  wanted_ = events;
  return true;
}

void Watch::Release() {
  if (fd_ < 0) return;
  (void)Want(0);  // not left to close(2): a duplicate elsewhere would keep the entry alive
  wanted_ = 0;
  fd_ = -1;
}

void Watch::Close() {
  const int fd = fd_;
  Release();
  if (fd >= 0) close(fd);
}

}  // namespace crisp::shim
