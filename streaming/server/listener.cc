#include "streaming/server/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/host_port.h"
#include "base/status.h"

namespace crisp::streaming {
namespace {

constexpr int kBacklog = 1024;

int PortOf(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return 0;
  return ntohs(name.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(name).sin6_port
                                          : reinterpret_cast<sockaddr_in&>(name).sin_port);
}

}  // namespace

absl::StatusOr<TcpListener> ListenTcp(const std::string& address) {
  absl::StatusOr<HostPort> parsed = HostPort::Parse(address);
  if (!parsed.ok()) return Annotate(parsed.status(), "streaming address");

  addrinfo hints{.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  addrinfo* list = nullptr;
  int failed =
      getaddrinfo(parsed->BareHost().c_str(), absl::StrCat(parsed->port).c_str(), &hints, &list);
  if (failed != 0) {
    return absl::NotFoundError(
        absl::StrCat("streaming address '", address, "': ", gai_strerror(failed)));
  }
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(list, freeaddrinfo);
  TcpListener listener{.host = parsed->host, .family = list->ai_family};
  listener.fd.reset(socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int one = 1;
  if (!listener.fd.valid() ||
      setsockopt(listener.fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      bind(listener.fd.get(), list->ai_addr, list->ai_addrlen) != 0 ||
      listen(listener.fd.get(), kBacklog) != 0) {
    int error = errno;
    return absl::UnavailableError(absl::StrCat("listen for streaming at ", address, ": ",
                                               ErrnoError(error, "bind").message()));
  }
  listener.port = PortOf(listener.fd.get());
  return listener;
}

absl::StatusOr<UniqueFd> AcceptTcp(int listener) {
  UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) {
    int error = errno;
    absl::Status failed = ErrnoError(error, "accept a streaming client");
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
      return absl::ResourceExhaustedError(failed.message());
    }
    return absl::UnavailableError(failed.message());
  }
  auto set = [&](int level, int name, int value) {
    (void)setsockopt(fd.get(), level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);  // keystrokes must not wait for more
  // A client that vanished without a word is noticed, and so is one whose goodbye is stuck behind
  // data that this side does not take.
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  return fd;
}

}  // namespace crisp::streaming
