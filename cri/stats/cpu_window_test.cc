#include "cri/stats/cpu_window.h"

#include <gtest/gtest.h>

namespace crisp::cri {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);
constexpr uint64_t kSecond = 1'000'000'000;

TEST(CpuWindowTest, WithoutAnEarlierReadingThereIsNoRate) {
  EXPECT_EQ(CpuWindow().Rate(kStart, 5), std::nullopt);
}

TEST(CpuWindowTest, AYoungContainerIsAveragedFromItsStart) {
  CpuWindow window;
  window.Add(kStart, 0);
  EXPECT_EQ(window.Rate(kStart + absl::Milliseconds(200), kSecond / 10), 500'000'000u);
  EXPECT_EQ(window.Rate(kStart, 0), std::nullopt) << "no time has passed";
}

TEST(CpuWindowTest, TheNewestReadingThatIsOldEnoughIsTheBase) {
  CpuWindow window;
  window.Add(kStart, 0);
  window.Add(kStart + absl::Seconds(10), 0);
  EXPECT_EQ(window.Rate(kStart + absl::Seconds(12), 2 * kSecond), kSecond);
  // Half a second after the newest, the older one serves.
  EXPECT_EQ(window.Rate(kStart + absl::Milliseconds(10'500), 10'500'000'000), kSecond);
}

TEST(CpuWindowTest, ReadersInARowKeepTheBase) {
  CpuWindow window;
  window.Add(kStart, 0);
  for (int i = 1; i < 50; ++i) window.Add(kStart + absl::Milliseconds(i * 100), 0);
  // All within kSpacing, none was kept: two cores since the start.
  EXPECT_EQ(window.Rate(kStart + absl::Seconds(5), 10 * kSecond), 2 * kSecond);
}

TEST(CpuWindowTest, ACounterThatWentBackStartsAnew) {
  CpuWindow window;
  window.Add(kStart, 7 * kSecond);
  window.Add(kStart + absl::Seconds(6), 8 * kSecond);
  window.Add(kStart + absl::Seconds(7), kSecond);
  EXPECT_EQ(window.Rate(kStart + absl::Milliseconds(7'500), kSecond + kSecond / 2), kSecond);
  EXPECT_EQ(window.Rate(kStart + absl::Seconds(8), 0), std::nullopt);
}

}  // namespace
}  // namespace crisp::cri
