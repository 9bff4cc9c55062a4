#include "network/values/bandwidth.h"

#include "base/testing/status_matchers.h"

namespace crisp::network {
namespace {

TEST(QuantityTest, ReadsEverySuffix) {
  const std::map<std::string, uint64_t> expected = {{"0", 0},
                                                    {"12", 12},
                                                    {"10k", 10'000},
                                                    {"10M", 10'000'000},
                                                    {"1G", 1000000000},
                                                    {"1Ki", 1024},
                                                    {"1.5Gi", 1610612736},
                                                    {"2e6", 2'000'000},
                                                    {"2E3", 2'000},
                                                    {"1E", 1000000000000000000},
                                                    {"500m", 1},
                                                    {"1500m", 2},
                                                    {".5k", 500},
                                                    {"+3", 3},
                                                    {"5e-1", 1},
                                                    {"3.", 3}};
  for (const auto& [text, value] : expected) {
    ASSERT_OK_AND_ASSIGN(const uint64_t parsed, ParseQuantity(text));
    EXPECT_EQ(parsed, value) << text;
  }
}

TEST(QuantityTest, RefusesEverythingElse) {
  for (const char* text : {"", "k", "-1", "1KiB", "1 M", "1e", "1e999", "10E", "1ki", "..", "1.2.3",
                           "0x10", "1234567890123456789012", "1e 3", "e3", "1K"}) {
    EXPECT_THAT(ParseQuantity(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(BandwidthTest, ComesFromTheAnnotationsWithinTheirRange) {
  ASSERT_OK_AND_ASSIGN(const Bandwidth none, BandwidthOf({{"other", "x"}}));
  EXPECT_FALSE(none.limited());
  ASSERT_OK_AND_ASSIGN(const Bandwidth some,
                       BandwidthOf({{"kubernetes.io/ingress-bandwidth", "10M"},
                                    {"kubernetes.io/egress-bandwidth", "1G"}}));
  EXPECT_EQ(some.ingress, 10'000'000u);
  EXPECT_EQ(some.egress, 1'000'000'000u);
  EXPECT_THAT(BandwidthOf({{"kubernetes.io/egress-bandwidth", "10"}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crisp::network
