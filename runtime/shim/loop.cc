#include "runtime/shim/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "runtime/shim/sys.h"

namespace crisp::shim {
namespace {

constexpr uint64_t kMillisecond = 1000000u;
constexpr uint64_t kRest = 10 * kMillisecond;

int g_epoll = -1;
Watch* g_resting = nullptr;
uint64_t g_rested_at = 0;  // all of them

// Milliseconds until they have rested; the time that was given when nobody does.
int UntilRested(int timeout_ms) {
  if (g_resting == nullptr) return timeout_ms;
  const uint64_t now = Monotonic();
  const int left = now < g_rested_at ? static_cast<int>((g_rested_at - now) / kMillisecond) + 1 : 0;
  return timeout_ms >= 0 && timeout_ms < left ? timeout_ms : left;
}

}  // namespace

// Those for which there is still no room rest again.
void WakeRested() {
  if (g_resting == nullptr || Monotonic() < g_rested_at) return;
  Watch* rested = g_resting;
  g_resting = nullptr;
  while (rested != nullptr) {
    Watch* const next = rested->next_resting_;
    const uint32_t wanted = rested->wanted_;
    rested->resting_ = false;
    rested->wanted_ = 0;
    if (!rested->Want(wanted)) {
      rested->wanted_ = wanted;
      rested->Rest();
    }
    rested = next;
  }
}

bool StartLoop() {
  if (g_epoll >= 0) return true;
  g_epoll = epoll_create1(EPOLL_CLOEXEC);
  return g_epoll >= 0 || Fail("make an epoll set");
}

void RunOnce(int timeout_ms) {
  epoll_event event;
  if (epoll_wait(g_epoll, &event, 1, UntilRested(timeout_ms)) == 1) {
    static_cast<Watch*>(event.data.ptr)->Ready(event.events);
  }
  WakeRested();
}

void Watch::Adopt(int fd) {
  Close();
  fd_ = fd;
}

bool Watch::Want(uint32_t events) {
  if (fd_ < 0 || events == wanted_) return true;
  if (resting_) {
    wanted_ = events;
    return true;
  }
  epoll_event event = {.events = events, .data = {.ptr = this}};
  // Hang-ups are reported even for an empty set: leave it altogether then.
  const int operation =
      events == 0 ? EPOLL_CTL_DEL : (wanted_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);
  if (epoll_ctl(g_epoll, operation, fd_, &event) < 0) return false;
  wanted_ = events;
  return true;
}

void Watch::Rest() {
  if (fd_ < 0 || resting_) return;
  if (wanted_ != 0) (void)epoll_ctl(g_epoll, EPOLL_CTL_DEL, fd_, nullptr);
  if (g_resting == nullptr) g_rested_at = Monotonic() + kRest;
  resting_ = true;
  next_resting_ = g_resting;
  g_resting = this;
}

void Watch::Release() {
  if (fd_ < 0) return;
  for (Watch** link = &g_resting; resting_ && *link != nullptr; link = &(*link)->next_resting_) {
    if (*link != this) continue;
    *link = next_resting_;
    wanted_ = 0;
    break;
  }
  resting_ = false;
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
