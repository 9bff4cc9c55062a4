#include "runtime/oci/capabilities.h"

#include <gmock/gmock.h>
#include <linux/capability.h>

#include "base/testing/status_matchers.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kAll = (uint64_t{1} << (CAP_LAST_CAP + 1)) - 1;

TEST(CapabilitiesTest, TakesEverySpellingAndNothingElse) {
  EXPECT_EQ(*ParseCapability("CAP_SYS_ADMIN"), CAP_SYS_ADMIN);
  EXPECT_EQ(*ParseCapability("sys_admin"), CAP_SYS_ADMIN);
  EXPECT_EQ(*ParseCapability("Chown"), CAP_CHOWN);
  for (const char* name : {"", "CAP_", "CAP_NOPE", "21", "CAP_21", " chown", "chown "}) {
    EXPECT_THAT(ParseCapability(name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
}

TEST(CapabilitiesTest, NamesAndMasksAgree) {
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    std::vector<std::string> names = CapabilityNames(uint64_t{1} << capability);
    ASSERT_EQ(names.size(), 1u) << capability;
    EXPECT_EQ(*ParseCapability(names[0]), capability);
  }
  EXPECT_THAT(CapabilityNames(1 << CAP_KILL | 1 << CAP_CHOWN),
              ElementsAre("CAP_CHOWN", "CAP_KILL"));
}

TEST(CapabilitiesTest, TheDefaultIsTheUsualFourteen) {
  EXPECT_EQ(CapabilityNames(DefaultCapabilities()).size(), 14u);
  EXPECT_EQ(DefaultCapabilities() & (1 << CAP_SYS_ADMIN | 1 << CAP_NET_ADMIN), 0u);
}

uint64_t Adjusted(uint64_t base,
                  const std::vector<std::string>& add,
                  const std::vector<std::string>& drop,
                  uint64_t available) {
  std::vector<std::string> unknown;
  const absl::StatusOr<uint64_t> mask = AdjustCapabilities(base, add, drop, available, unknown);
  EXPECT_OK(mask);
  EXPECT_THAT(unknown, IsEmpty());
  return mask.value_or(0);
}

TEST(CapabilitiesTest, AppliesAllBeforeSingleNames) {
  const uint64_t base = DefaultCapabilities();
  const uint64_t admin = uint64_t{1} << CAP_SYS_ADMIN, kill = uint64_t{1} << CAP_KILL;
  EXPECT_EQ(Adjusted(base, {"SYS_ADMIN"}, {"KILL"}, kAll), (base | admin) & ~kill);
  EXPECT_EQ(Adjusted(base, {"SYS_ADMIN"}, {"all"}, kAll), admin);
  EXPECT_EQ(Adjusted(base, {"ALL"}, {"KILL"}, kAll), kAll & ~kill);
  EXPECT_EQ(Adjusted(base, {"KILL"}, {"KILL"}, kAll), base & ~kill);
  EXPECT_EQ(Adjusted(base, {"ALL"}, {}, base), base) << "ALL is what the daemon has";
}

TEST(CapabilitiesTest, AnUnknownNameIsNotAddedAndNotDropped) {
  const uint64_t base = DefaultCapabilities(), admin = uint64_t{1} << CAP_SYS_ADMIN;
  std::vector<std::string> unknown;
  ASSERT_OK_AND_ASSIGN(
      const uint64_t mask,
      AdjustCapabilities(base, {"NO_SUCH", "SYS_ADMIN", "CAP_7"}, {}, kAll, unknown));
  EXPECT_EQ(mask, base | admin);
  EXPECT_THAT(unknown, ElementsAre("NO_SUCH", "CAP_7"));
  EXPECT_THAT(AdjustCapabilities(base, {}, {"NET_RAWW"}, kAll, unknown),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("NET_RAWW")));
}

}  // namespace
}  // namespace crisp::runtime
