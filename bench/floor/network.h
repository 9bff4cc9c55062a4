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
  // One request: a veth pair, its host end up and a port of the bridge, its other end "eth0" in the
  // pod's namespace.
  void AddPod(const std::string& host_end, int pod_netns);

 private:
  std::string name_;
  bool owned_ = true;
  int socket_ = -1;
  int index_ = 0;
};

// In a pod's namespace, in one send: lo and eth0 up, 10.96.0.0/16's address number `host`, the
// default route.
void ConfigurePod(int pod_socket, uint32_t host);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_FLOOR_NETWORK_H_
