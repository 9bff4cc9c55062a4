#include "network/link/link_monitor.h"

#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/status.h"
#include "network/link/links.h"
#include "network/link/netlink.h"

namespace crisp::network {

absl::StatusOr<std::unique_ptr<LinkMonitor>> LinkMonitor::Start(Callbacks callbacks,
                                                                absl::Duration period) {
  CRISP_ASSIGN_OR_RETURN(UniqueFd events, OpenRtnl(RTMGRP_LINK));
  const int size = 4 << 20;  // a burst of a thousand pods ending at once
  (void)setsockopt(events.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return ErrnoError(errno, "eventfd");
  std::unique_ptr<LinkMonitor> monitor(
      new LinkMonitor(std::move(callbacks), period, std::move(events), std::move(wake)));
  CRISP_ASSIGN_OR_RETURN(monitor->thread_,
                         Thread::Start("links", [m = monitor.get()] { m->Run(); }));
  return monitor;
}

LinkMonitor::~LinkMonitor() {
  stop_ = true;
  Wake();
  thread_.Join();
}

void LinkMonitor::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));  // full means that a sweep is due already
}

bool LinkMonitor::ReadEvents() {
  alignas(nlmsghdr) char buffer[65536];
  for (;;) {
    sockaddr_nl sender{};
    socklen_t length = sizeof(sender);
    const ssize_t n = recvfrom(events_.get(), buffer, sizeof(buffer), MSG_DONTWAIT,
                               reinterpret_cast<sockaddr*>(&sender), &length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    if (sender.nl_pid != 0) continue;
    const absl::Status parsed = ParseReplies(
        buffer, static_cast<size_t>(n),
        [&](const nlmsghdr* message) {
          if (message->nlmsg_type != RTM_DELLINK) return;
          // A bridge announces with the same type that a port left it.
          const auto* header = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
          if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*header)) ||
              header->ifi_family == AF_BRIDGE) {
            return;
          }
          if (const auto link = ParseLink(message)) callbacks_.on_gone(link->name);
        },
        [](uint32_t, int, absl::string_view) {});
    if (!parsed.ok()) return false;
  }
}

void LinkMonitor::Run() {
  callbacks_.sweep();
  const int period_ms = static_cast<int>(absl::ToInt64Milliseconds(period_));
  while (!stop_) {
    pollfd fds[2] = {{events_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    const int ready = poll(fds, 2, period_ms);
    if (stop_) return;
    bool sweep = ready == 0;
    if (ready > 0 && fds[1].revents != 0) {
      uint64_t count;
      (void)!read(wake_.get(), &count, sizeof(count));
      sweep = true;
    }
    if (ready > 0 && fds[0].revents != 0 && !ReadEvents()) sweep = true;
    if (sweep) callbacks_.sweep();
  }
}

}  // namespace crisp::network
