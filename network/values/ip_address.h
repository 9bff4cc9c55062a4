#ifndef CRISP_NETWORK_VALUES_IP_ADDRESS_H_
#define CRISP_NETWORK_VALUES_IP_ADDRESS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::network {

// An IPv4 or IPv6 address: a small value, comparable within and across families (IPv4 first).
class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0

  // Parses "10.0.0.1" or "fd00::1", with nothing around it and no zone. InvalidArgument otherwise.
  static absl::StatusOr<IpAddress> Parse(absl::string_view text);
  // `size` must be 4 or 16; InvalidArgument otherwise.
  static absl::StatusOr<IpAddress> FromBytes(const void* bytes, size_t size);

  bool is_v6() const { return v6_; }
  int family() const;  // AF_INET or AF_INET6
  const uint8_t* data() const { return bytes_.data(); }
  size_t size() const { return v6_ ? 16 : 4; }
  int bits() const { return v6_ ? 128 : 32; }
  bool is_unspecified() const;  // 0.0.0.0 or ::
  std::string ToString() const;

  // This address plus `offset`, wrapping at the end of the family's space.
  IpAddress Plus(uint64_t offset) const;
  // The address with all bits after the first `length` cleared.
  IpAddress Masked(int length) const;

  auto operator<=>(const IpAddress&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& a) {
    return H::combine(std::move(h), a.v6_, a.bytes_);
  }

 private:
  bool v6_ = false;
  std::array<uint8_t, 16> bytes_{};
};

// A network: its first address and how many leading bits all its addresses share.
struct IpPrefix {
  IpAddress address;
  int length = 0;

  // Parses "10.88.0.0/16". Host bits are cleared. InvalidArgument when malformed.
  static absl::StatusOr<IpPrefix> Parse(absl::string_view text);
  bool Contains(const IpAddress& other) const;
  std::string ToString() const;
  auto operator<=>(const IpPrefix&) const = default;
};

// Parses "10.1.0.0/24,fd00:1::/64": one prefix, or one of each family. InvalidArgument otherwise.
absl::StatusOr<std::vector<IpPrefix>> ParsePrefixList(absl::string_view text);
absl::StatusOr<std::vector<IpPrefix>> ParsePrefixes(const std::vector<std::string>& texts);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_VALUES_IP_ADDRESS_H_
