#ifndef CRISP_NETWORK_LINK_TESTING_TEST_NETNS_H_
#define CRISP_NETWORK_LINK_TESTING_TEST_NETNS_H_

// For tests: network namespaces, and small servers and clients in them.

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "network/values/attach.h"

namespace crisp::network {

// Moves this process into a new network namespace with lo up, which plays the host. Call it before
// any thread exists; everything in it vanishes with the process. False without the privilege.
bool EnterFreshHostNamespace();

// A network namespace and a NETLINK_ROUTE socket opened in it, as a pod has them.
class TestNamespace {
 public:
  TestNamespace();  // a new one
  static TestNamespace Current();
  int netns_fd() const { return netns_.get(); }
  int rtnl_fd() const { return rtnl_.get(); }
  // Runs `body` on a thread that has entered the namespace; returns when it is done.
  void Run(const std::function<void()>& body) const;

 private:
  explicit TestNamespace(UniqueFd netns) : netns_(std::move(netns)) {}
  UniqueFd netns_;
  UniqueFd rtnl_;
};

// Answers each TCP connection, or UDP datagram, with "<greeting> <address of the client>", in the
// namespace, on all addresses, until destroyed.
class TestServer {
 public:
  TestServer(const TestNamespace& where, Protocol protocol, uint16_t port, std::string greeting);
  ~TestServer();

 private:
  void Serve();
  Protocol protocol_;
  std::string greeting_;
  UniqueFd socket_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// The answer of such a server, or "error: …". Asks from the calling thread's namespace and waits
// for 2 s.
std::string Ask(Protocol protocol, const std::string& address, uint16_t port);
std::string AskFrom(const TestNamespace& where,
                    Protocol protocol,
                    const std::string& address,
                    uint16_t port);

// A connected UDP socket of the calling thread's namespace, on which one question and answer have
// gone through.
UniqueFd ConnectUdp(const std::string& address, uint16_t port);
std::string AskOn(int socket, const std::function<void()>& meanwhile = nullptr);
// A UDP socket on all addresses of the calling thread's namespace.
UniqueFd BindUdp(uint16_t port);
void AnswerOne(int socket, const std::string& answer);

// A listening TCP socket of the calling thread's namespace, as a server makes it; invalid if the
// port is taken.
UniqueFd ListenOn(const std::string& address, uint16_t port);
// True if a UDP socket can have the port, also with SO_REUSEADDR.
bool TakesUdp(uint16_t port);

// Sends one datagram from an address that the namespace has ("": the kernel chooses). Returns what
// failed, or "".
std::string SendUdp(const std::string& from, const std::string& to, uint16_t port);
// True if a datagram comes within the time.
bool Receives(int socket, absl::Duration time);
// Sends an Ethernet frame as it is. An empty one is not sent.
void SendFrame(const std::string& interface, absl::string_view frame);
// The frame of an unsolicited advertisement from 0a:58:0a:63:00:02 to all nodes: `target` is at
// that MAC.
std::string NeighbourAdvertisement(const std::string& source, const std::string& target);

// Runs a shell command in the calling thread's namespace and returns its output.
std::string Shell(const std::string& command);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_LINK_TESTING_TEST_NETNS_H_
