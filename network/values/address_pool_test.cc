#include "network/values/address_pool.h"

#include "base/testing/status_matchers.h"

namespace crisp::network {
namespace {

AddressPool Pool(absl::string_view subnet) {
  return AddressPool::Create(IpPrefix::Parse(subnet).value()).value();
}

TEST(AddressPoolTest, GatewayIsFirstAndNeverGivenOut) {
  AddressPool pool = Pool("10.9.0.0/29");
  EXPECT_EQ(pool.gateway().ToString(), "10.9.0.1");
  EXPECT_EQ(pool.free_count(), 5u);
  for (int i = 2; i <= 6; ++i) {
    ASSERT_OK_AND_ASSIGN(const IpAddress address, pool.Allocate());
    EXPECT_EQ(address.ToString(), "10.9.0." + std::to_string(i));
  }
  EXPECT_THAT(pool.Allocate(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(AddressPoolTest, ReleasedAddressComesLast) {
  AddressPool pool = Pool("10.9.0.0/29");
  const IpAddress first = pool.Allocate().value();
  pool.Release(first);
  for (int i = 0; i < 4; ++i) EXPECT_NE(pool.Allocate().value(), first);
  EXPECT_EQ(pool.Allocate().value(), first);
}

TEST(AddressPoolTest, ReservedAddressesAreSkippedAndMoveTheCursor) {
  AddressPool pool = Pool("fd00:9::/64");
  pool.Reserve(IpAddress::Parse("fd00:9::5").value());
  pool.Reserve(IpAddress::Parse("10.0.0.5").value());  // of another network
  EXPECT_EQ(pool.Allocate().value().ToString(), "fd00:9::6");
}

TEST(AddressPoolTest, TinyNetworksAreRefused) {
  EXPECT_THAT(AddressPool::Create(IpPrefix::Parse("10.0.0.0/31").value()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Pool("10.0.0.0/30").free_count(), 1u);
}

}  // namespace
}  // namespace crisp::network
