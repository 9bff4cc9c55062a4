#include "cli/format/human.h"

#include <gtest/gtest.h>

#include "cli/format/colours.h"

namespace crisp::cli {
namespace {

TEST(HumanTest, SizesHaveTheLargestUnitThatFits) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1024), "1.0 KiB");
  EXPECT_EQ(HumanBytes(1536 << 10), "1.5 MiB");
  EXPECT_EQ(HumanBytes(uint64_t{1} << 40), "1.0 TiB");
  EXPECT_EQ(HumanBytes(UINT64_MAX), "16.0 EiB");
}

TEST(HumanTest, DurationsHaveOneUnit) {
  EXPECT_EQ(HumanDuration(absl::Milliseconds(999)), "less than a second");
  EXPECT_EQ(HumanDuration(absl::Seconds(-5)), "less than a second");
  EXPECT_EQ(HumanDuration(absl::Seconds(1)), "1 second");
  EXPECT_EQ(HumanDuration(absl::Seconds(119)), "1 minute");
  EXPECT_EQ(HumanDuration(absl::Hours(23)), "23 hours");
  EXPECT_EQ(HumanDuration(absl::Hours(24 * 6)), "6 days");
  EXPECT_EQ(HumanDuration(absl::Hours(24 * 29)), "4 weeks");
  EXPECT_EQ(HumanDuration(absl::Hours(24 * 400)), "1 year");
}

TEST(HumanTest, AnAgeOfNothingIsADash) {
  const absl::Time now = absl::FromUnixSeconds(1000);
  EXPECT_EQ(HumanAge(absl::FromUnixSeconds(880), now), "2 minutes ago");
  EXPECT_EQ(HumanAge(absl::UnixEpoch(), now), "-");
  EXPECT_EQ(Rfc3339(absl::FromUnixSeconds(1000)), "1970-01-01T00:16:40Z");
  EXPECT_EQ(Rfc3339(absl::UnixEpoch()), "");
}

TEST(HumanTest, AShortIdIsTheBeginningOfTheHash) {
  EXPECT_EQ(ShortId("sha256:0123456789abcdef"), "0123456789ab");
  EXPECT_EQ(ShortId("0123456789abcdef"), "0123456789ab");
  EXPECT_EQ(ShortId("01"), "01");
}

TEST(HumanTest, AnEllipsisCutsBetweenCharacters) {
  EXPECT_EQ(Ellipsis("abcd", 4), "abcd");
  EXPECT_EQ(Ellipsis("abcde", 4), "abc…");
  EXPECT_EQ(Ellipsis("äöüß", 4), "äöüß");
  EXPECT_EQ(Ellipsis("äöüßx", 4), "äöü…");
}

TEST(ColoursTest, AreForTerminalsWithoutNoColor) {
  EXPECT_TRUE(WantsColours(true, nullptr, "xterm"));
  EXPECT_TRUE(WantsColours(true, "", nullptr));
  EXPECT_FALSE(WantsColours(true, "1", "xterm"));
  EXPECT_FALSE(WantsColours(true, nullptr, "dumb"));
  EXPECT_FALSE(WantsColours(false, nullptr, "xterm"));
  EXPECT_EQ(Colours(true)(Tint::kGood, "up"), "\x1b[32mup\x1b[0m");
  EXPECT_EQ(Colours(true)(Tint::kNone, "up"), "up");
  EXPECT_EQ(Colours(false)(Tint::kGood, "up"), "up");
}

}  // namespace
}  // namespace crisp::cli
