#include "network/values/address_pool.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace crisp::network {

absl::StatusOr<AddressPool> AddressPool::Create(const IpPrefix& subnet) {
  // More than 2^32 pods will not be; it keeps the offsets in range for a /64.
  const int host_bits = std::min(subnet.address.bits() - subnet.length, 32);
  if (host_bits < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("the pod network ", subnet.ToString(), " is too small for any pod"));
  }
  return AddressPool(subnet, (uint64_t{1} << host_bits) - 2);
}

absl::StatusOr<IpAddress> AddressPool::Allocate() {
  if (free_count() == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no free address in ", subnet_.ToString(), ": ", used_.size(), " are in use"));
  }
  for (;;) {
    const IpAddress candidate = subnet_.address.Plus(next_);
    next_ = next_ == last_ ? first_ : next_ + 1;
    if (used_.insert(candidate).second) return candidate;
  }
}

void AddressPool::Reserve(const IpAddress& address) {
  if (!subnet_.Contains(address) || !used_.insert(address).second) return;
  uint64_t offset = 0;
  const size_t size = address.size();
  for (size_t i = size - 4; i < size; ++i) {
    offset = offset << 8 | (address.data()[i] & ~subnet_.address.data()[i] & 0xffu);
  }
  if (offset >= next_ && offset < last_) next_ = offset + 1;
}

}  // namespace crisp::network
