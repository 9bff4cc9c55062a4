#include "runtime/shim/log_ring.h"

#include <cstring>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace crisp::shim {
namespace {

bool Put(LogRing& ring, const std::string& text, uint64_t value, bool command = false) {
  uint32_t size = 0;
  const uint32_t length = static_cast<uint32_t>(text.size());
  char* const at = ring.Reserve(length, length, command, &size);
  if (at == nullptr) return false;
  EXPECT_EQ(size, length);
  memcpy(at, text.data(), text.size());
  ring.Publish({.size = length,
                .command = command ? LogCommand::kOpen : LogCommand::kData,
                .is_stderr = 0,
                .log = 7,
                .ticket = 0,
                .value = value});
  return true;
}

TEST(LogRingTest, GivesBackWhatWasPutInOrderWhateverTheSizes) {
  LogRing ring;
  ASSERT_TRUE(ring.Map());
  std::mt19937 random(1);
  uint64_t put = 0, taken = 0;
  const auto text_of = [](uint64_t n) {
    return std::string(n * 7919 % 60000, static_cast<char>('a' + n % 26));
  };
  while (taken < 5000) {
    for (uint64_t i = random() % 40; i > 0 && Put(ring, text_of(put), put); --i) ++put;
    for (uint64_t i = random() % 40; i > 0; --i) {
      const LogRecord* record = ring.Front();
      if (record == nullptr) break;
      ASSERT_EQ(record->value, taken);
      ASSERT_EQ(std::string(ring.payload(), record->size), text_of(taken)) << taken;
      ring.Pop();
      ++taken;
    }
  }
}

TEST(LogRingTest, AFullOneHasRoomForCommands) {
  LogRing ring;
  ASSERT_TRUE(ring.Map());
  while (Put(ring, std::string(1000, 'x'), 0)) {
  }
  EXPECT_GT(ring.pending(), LogRing::kSize - LogRing::kForCommands - 2048);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(Put(ring, std::string(1000, 'y'), 0, true));
  while (Put(ring, "y", 0, true)) {
  }
  EXPECT_LE(ring.pending(), LogRing::kSize);
  int records = 0;
  for (; ring.Front() != nullptr; ring.Pop()) ++records;
  EXPECT_GT(records, 1000);
  EXPECT_TRUE(ring.empty());
}

TEST(LogRingTest, WhoKeepsUpUsesTheFirstPagesOnly) {
  LogRing ring;
  ASSERT_TRUE(ring.Map());
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(Put(ring, std::string(900, 'x'), 0));
    ASSERT_NE(ring.Front(), nullptr);
    ring.Pop();
  }
  EXPECT_FALSE(ring.large());
  while (Put(ring, std::string(900, 'x'), 0)) {
  }
  EXPECT_TRUE(ring.large());
  for (; ring.Front() != nullptr; ring.Pop()) {
  }
  ring.Trim();
  EXPECT_FALSE(ring.large());
  ASSERT_TRUE(Put(ring, "again", 3));
  EXPECT_EQ(std::string(ring.payload(), ring.Front() != nullptr ? ring.Front()->size : 0), "again");
}

TEST(LogRingTest, WishesAreTakenOnce) {
  LogRing ring;
  ASSERT_TRUE(ring.Map());
  EXPECT_FALSE(ring.TakeTakersWish());
  ring.TakerSleeps();
  EXPECT_TRUE(ring.TakeTakersWish());
  EXPECT_FALSE(ring.TakeTakersWish());
  ring.PutterWaits();
  EXPECT_TRUE(ring.TakePuttersWish());
  EXPECT_FALSE(ring.TakePuttersWish());
}

}  // namespace
}  // namespace crisp::shim
