#include "network/link/testing/test_netns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "network/link/links.h"
#include "network/link/netlink.h"
#include "network/values/ip_address.h"

namespace crisp::network {
namespace {

UniqueFd OwnNamespace() { return UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)); }

socklen_t Fill(const IpAddress& ip, uint16_t port, sockaddr_storage& storage) {
  storage = {};
  if (ip.is_v6()) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    std::memcpy(&v6->sin6_addr, ip.data(), 16);
    return sizeof(*v6);
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  std::memcpy(&v4->sin_addr, ip.data(), 4);
  return sizeof(*v4);
}

std::string AddressText(const sockaddr_storage& storage) {
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);
  const auto* bytes = reinterpret_cast<const char*>(&v6->sin6_addr);
  if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) return IpAddress::FromBytes(bytes + 12, 4)->ToString();
  return IpAddress::FromBytes(bytes, 16)->ToString();
}

std::string Error(const char* what) {
  return std::string("error: ") + what + ": " + strerror(errno);
}

}  // namespace

bool EnterFreshHostNamespace() {
  if (unshare(CLONE_NEWNET) != 0) return false;
  const auto fd = OpenRtnl();
  return fd.ok() && BringLoopbackUp(fd->get()).ok();
}

TestNamespace::TestNamespace() {
  std::thread([this] {
    if (unshare(CLONE_NEWNET) != 0) abort();
    netns_ = OwnNamespace();
    rtnl_ = OpenRtnl().value();
  }).join();
}

TestNamespace TestNamespace::Current() {
  TestNamespace current(OwnNamespace());
  current.rtnl_ = OpenRtnl().value();
  return current;
}

void TestNamespace::Run(const std::function<void()>& body) const {
  std::thread([&] {
    if (setns(netns_.get(), CLONE_NEWNET) != 0) abort();
    body();
  }).join();
}

TestServer::TestServer(const TestNamespace& where,
                       Protocol protocol,
                       uint16_t port,
                       std::string greeting)
    : protocol_(protocol), greeting_(std::move(greeting)) {
  where.Run([&] {
    const bool tcp = protocol == Protocol::kTcp;
    socket_.reset(socket(AF_INET6, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
    const int off = 0, on = 1;
    (void)setsockopt(socket_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    (void)setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    if (bind(socket_.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)) != 0) abort();
    if (tcp && listen(socket_.get(), 16) != 0) abort();
  });
  thread_ = std::thread([this] { Serve(); });
}

TestServer::~TestServer() {
  stop_ = true;
  thread_.join();
}

void TestServer::Serve() {
  while (!stop_) {
    pollfd waiting{socket_.get(), POLLIN, 0};
    if (poll(&waiting, 1, 20) <= 0) continue;
    sockaddr_storage peer{};
    socklen_t length = sizeof(peer);
    if (protocol_ == Protocol::kTcp) {
      UniqueFd connection(
          accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC));
      const std::string text = greeting_ + " " + AddressText(peer);
      if (connection) (void)!write(connection.get(), text.data(), text.size());
    } else {
      char buffer[64];
      if (recvfrom(socket_.get(), buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&peer),
                   &length) < 0) {
        continue;
      }
      const std::string text = greeting_ + " " + AddressText(peer);
      (void)sendto(socket_.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&peer),
                   length);
    }
  }
}

std::string Ask(Protocol protocol, const std::string& address, uint16_t port) {
  const IpAddress ip = IpAddress::Parse(address).value();
  const int type = protocol == Protocol::kTcp ? SOCK_STREAM : SOCK_DGRAM;
  UniqueFd fd(socket(ip.family(), type | SOCK_CLOEXEC, 0));
  timeval timeout{.tv_sec = 2, .tv_usec = 0};
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  sockaddr_storage to;
  const socklen_t length = Fill(ip, port, to);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&to), length) != 0) return Error("connect");
  if (type == SOCK_DGRAM && send(fd.get(), "?", 1, 0) != 1) return Error("send");
  std::string answer;
  char buffer[256];
  ssize_t n;
  while ((n = recv(fd.get(), buffer, sizeof(buffer), 0)) > 0) {
    answer.append(buffer, static_cast<size_t>(n));
    if (type == SOCK_DGRAM) break;
  }
  return n < 0 ? Error("receive") : answer;
}

std::string AskFrom(const TestNamespace& where,
                    Protocol protocol,
                    const std::string& address,
                    uint16_t port) {
  std::string answer;
  where.Run([&] { answer = Ask(protocol, address, port); });
  return answer;
}

UniqueFd ConnectUdp(const std::string& address, uint16_t port) {
  const IpAddress ip = IpAddress::Parse(address).value();
  UniqueFd fd(socket(ip.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  timeval timeout{.tv_sec = 0, .tv_usec = 200'000};
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  sockaddr_storage to;
  const socklen_t length = Fill(ip, port, to);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&to), length) != 0) abort();
  return fd;
}

std::string AskOn(int socket, const std::function<void()>& meanwhile) {
  if (send(socket, "?", 1, 0) != 1) return Error("send");
  if (meanwhile) meanwhile();
  char buffer[256];
  const ssize_t n = recv(socket, buffer, sizeof(buffer), 0);
  return n < 0 ? Error("receive") : std::string(buffer, static_cast<size_t>(n));
}

UniqueFd BindUdp(uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  timeval timeout{.tv_sec = 2, .tv_usec = 0};
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  sockaddr_storage any;
  const socklen_t length = Fill(IpAddress(), port, any);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&any), length) != 0) abort();
  return fd;
}

UniqueFd ListenOn(const std::string& address, uint16_t port) {
  const IpAddress ip = IpAddress::Parse(address).value();
  UniqueFd fd(socket(ip.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_storage storage;
  const socklen_t length = Fill(ip, port, storage);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0 ||
      listen(fd.get(), 1) != 0) {
    fd.reset();
  }
  return fd;
}

bool TakesUdp(uint16_t port) {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  sockaddr_storage any;
  const socklen_t length = Fill(IpAddress(), port, any);
  return bind(fd.get(), reinterpret_cast<sockaddr*>(&any), length) == 0;
}

void AnswerOne(int socket, const std::string& answer) {
  sockaddr_storage peer{};
  socklen_t length = sizeof(peer);
  char buffer[64];
  if (recvfrom(socket, buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&peer), &length) <
      0) {
    return;
  }
  (void)sendto(socket, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&peer), length);
}

std::string SendUdp(const std::string& from, const std::string& to, uint16_t port) {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage address;
  if (!from.empty()) {
    const socklen_t length = Fill(IpAddress::Parse(from).value(), 0, address);
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return Error("bind");
  }
  const socklen_t length = Fill(IpAddress::Parse(to).value(), port, address);
  if (sendto(fd.get(), "!", 1, 0, reinterpret_cast<sockaddr*>(&address), length) != 1)
    return Error("send");
  return "";
}

bool Receives(int socket, absl::Duration time) {
  pollfd waiting{socket, POLLIN, 0};
  if (poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(time))) <= 0) return false;
  char buffer[64];
  return recv(socket, buffer, sizeof(buffer), 0) > 0;
}

void SendFrame(const std::string& interface, absl::string_view frame) {
  if (frame.empty()) return;
  const UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to),
             sizeof(to)) < 0)
    abort();
}

std::string NeighbourAdvertisement(const std::string& source, const std::string& target) {
  const std::string mac("\x0a\x58\x0a\x63\x00\x02", 6);
  const auto bytes = [](const std::string& text) {
    const IpAddress ip = IpAddress::Parse(text).value();
    return std::string(reinterpret_cast<const char*>(ip.data()), ip.size());
  };
  const std::string to = bytes("ff02::1");
  std::string message = std::string("\x88\x00\x00\x00\x20\x00\x00\x00", 8) + bytes(target) +
                        std::string("\x02\x01", 2) + mac;
  uint32_t sum = 0;
  const std::string summed =
      bytes(source) + to + std::string("\x00\x00\x00\x20\x00\x00\x00\x3a", 8) + message;
  for (size_t i = 0; i < summed.size(); i += 2) {
    sum += static_cast<uint32_t>(static_cast<uint8_t>(summed[i])) << 8 |
           static_cast<uint8_t>(summed[i + 1]);
  }
  sum = ~((sum & 0xffff) + (sum >> 16));
  message[2] = static_cast<char>(sum >> 8 & 0xff);
  message[3] = static_cast<char>(sum & 0xff);
  return std::string("\x33\x33\x00\x00\x00\x01", 6) + mac +
         std::string("\x86\xdd\x60\x00\x00\x00\x00\x20\x3a\xff", 10) + bytes(source) + to + message;
}

std::string Shell(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return Error("popen");
  std::string output;
  char buffer[4096];
  size_t n;
  while ((n = fread(buffer, 1, sizeof(buffer), pipe)) > 0) output.append(buffer, n);
  (void)pclose(pipe);
  return output;
}

}  // namespace crisp::network
