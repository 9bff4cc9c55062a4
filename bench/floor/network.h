#ifndef CRISP_BENCH_FLOOR_NETWORK_H_
#define CRISP_BENCH_FLOOR_NETWORK_H_

#include <cstdint>
#include <string>

namespace crisp::bench {

// A NETLINK_ROUTE socket of the network namespace that the caller is in.
int OpenRouteSocket();

// A bridge in the host's network namespace with 10.96.0.1/16, deleted at the end.
class Bridge {
 public:
  explicit Bridge(std::string name);
  ~Bridge();
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  // For a process that was forked and shares the bridge: a socket of its own, no deletion.
  void Borrow();
  // Makes a veth pair in one request. Its host end is up and a port of the bridge, its other end is
  // "eth0" in the pod's namespace.
  void AddPod(const std::string& host_end, int pod_netns);

 private:
  std::string name_;
  bool owned_ = true;
  int socket_ = -1;
  int index_ = 0;
};

// Brings lo and eth0 up in a pod's namespace, in one send, with address number `host` of
// 10.96.0.0/16 and the default route.
void ConfigurePod(int pod_socket, uint32_t host);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_FLOOR_NETWORK_H_
