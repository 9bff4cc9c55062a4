#ifndef CRISP_NETWORK_VALUES_ADDRESS_POOL_H_
#define CRISP_NETWORK_VALUES_ADDRESS_POOL_H_

#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "network/values/ip_address.h"

namespace crisp::network {

// The addresses of one pod network. The first one is the gateway's; the network's own address (and
// IPv4's broadcast address) are never given out. Addresses go round: one that was released comes
// again only after all the others. Not thread-safe.
class AddressPool {
 public:
  // InvalidArgument when the network has no room for a gateway and one pod.
  static absl::StatusOr<AddressPool> Create(const IpPrefix& subnet);

  const IpPrefix& subnet() const { return subnet_; }
  IpAddress gateway() const { return subnet_.address.Plus(1); }
  uint64_t free_count() const { return last_ - first_ + 1 - used_.size(); }

  // ResourceExhausted when every address is taken.
  absl::StatusOr<IpAddress> Allocate();
  // Takes a recorded address again (daemon restart). Addresses of other networks are ignored.
  void Reserve(const IpAddress& address);
  void Release(const IpAddress& address) { used_.erase(address); }

 private:
  AddressPool(const IpPrefix& subnet, uint64_t last) : subnet_(subnet), last_(last) {}

  IpPrefix subnet_;
  uint64_t first_ = 2;  // offsets in the subnet, inclusive
  uint64_t last_;
  uint64_t next_ = 2;
  absl::flat_hash_set<IpAddress> used_;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_VALUES_ADDRESS_POOL_H_
