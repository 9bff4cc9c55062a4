#include "storage/image/early_fetch.h"

#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/status.h"
#include "base/testing/cancelled_wait.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/test_threads.h"
#include "storage/image/image_store_impl.h"

namespace crisp::storage {
namespace {

// Works until it is cancelled.
absl::Status Endless(const Operation& operation) {
  (void)operation.Sleep(absl::InfiniteDuration());
  return operation.Check("work");
}

TEST(EarlyFetchTest, WorksBeforeAnybodyWaits) {
  std::atomic<bool> worked{false};
  ASSERT_OK_AND_ASSIGN(const auto fetch, EarlyFetch::Begin(
                                             [&](const Operation&) {
                                               worked = true;
                                               return absl::OkStatus();
                                             },
                                             Operation()));
  EXPECT_TRUE(Eventually([&] { return worked.load(); }));
  EXPECT_OK(fetch->Wait(Operation()));
}

TEST(EarlyFetchTest, ErrorsAreTheWorks) {
  ASSERT_OK_AND_ASSIGN(
      const auto fetch,
      EarlyFetch::Begin([](const Operation&) { return absl::DataLossError("wrong digest"); },
                        Operation()));
  EXPECT_THAT(fetch->Wait(Operation()), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(EarlyFetchTest, EndsWithItsObjectWhenNobodyWantsIt) {
  absl::Status ended;
  ASSERT_OK(EarlyFetch::Begin(
      [&](const Operation& operation) { return ended = Endless(operation); }, Operation()));
  EXPECT_THAT(ended, StatusIs(absl::StatusCode::kCancelled));
}

TEST(EarlyFetchTest, EitherCancellationEndsIt) {
  CancelSource source;
  source.Cancel();
  const Operation over = source.operation();
  ASSERT_OK_AND_ASSIGN(const auto by_waiter, EarlyFetch::Begin(Endless, Operation()));
  EXPECT_THAT(by_waiter->Wait(over), StatusIs(absl::StatusCode::kCancelled));
  ASSERT_OK_AND_ASSIGN(const auto by_pull, EarlyFetch::Begin(Endless, over));
  EXPECT_THAT(by_pull->Wait(Operation()), StatusIs(absl::StatusCode::kCancelled));
}

TEST(EarlyFetchTest, HoldsItsBlobAsLongAsItIsThere) {
  BlobsUnderWay blobs;
  {
    ASSERT_OK_AND_ASSIGN(const auto fetch,
                         EarlyFetch::Begin([](const Operation&) { return absl::OkStatus(); },
                                           Operation(), blobs.AddFirst("a")));
    EXPECT_EQ(blobs.AddFirst("a"), nullptr);
  }
  EXPECT_NE(blobs.AddFirst("a"), nullptr);
}

TEST(EarlyFetchTest, IsNotBegunWithoutAThread) {
  BlobsUnderWay blobs;
  bool worked = false;
  ASSERT_TRUE(WithoutNewThreads([&] {
    EXPECT_THAT(EarlyFetch::Begin(
                    [&](const Operation&) {
                      worked = true;
                      return absl::OkStatus();
                    },
                    Operation(), blobs.AddFirst("a")),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }));
  EXPECT_FALSE(worked);
  EXPECT_NE(blobs.AddFirst("a"), nullptr);
}

TEST(BlobsUnderWayTest, WaitsForTheFirstOnly) {
  BlobsUnderWay blobs;
  const BlobsUnderWay::Hold other = blobs.Add("b");
  EXPECT_OK(blobs.AwaitFirst("b", Operation()));
  BlobsUnderWay::Hold first = blobs.AddFirst("a");
  EXPECT_THAT(CancelledWhileAsleep(
                  [&](const Operation& operation) { return blobs.AwaitFirst("a", operation); }),
              StatusIs(absl::StatusCode::kCancelled));
  std::atomic<pid_t> id{0};
  std::thread waiter([&] {
    id = gettid();
    EXPECT_OK(blobs.AwaitFirst("a", Operation()));
  });
  EXPECT_TRUE(Eventually([&] { return id != 0; }));
  EXPECT_TRUE(SleepsUndisturbed(id));
  first = nullptr;
  waiter.join();
}

TEST(SlotsTest, AWaiterIsWokenByASlotOrItsCancellation) {
  Slots slots(1);
  ASSERT_OK(slots.Acquire(Operation()));
  EXPECT_THAT(
      CancelledWhileAsleep([&](const Operation& operation) { return slots.Acquire(operation); }),
      StatusIs(absl::StatusCode::kCancelled));
  std::thread owner([&] { slots.Release(); });
  EXPECT_OK(slots.Acquire(Operation()));
  owner.join();
}

TEST(BlobsUnderWayTest, CountsWhatIsHeld) {
  BlobsUnderWay blobs;
  BlobsUnderWay::Hold first = blobs.AddFirst("a");
  EXPECT_NE(first, nullptr);
  EXPECT_EQ(blobs.AddFirst("a"), nullptr);
  EXPECT_NE(blobs.AddFirst("b"), nullptr);
  const BlobsUnderWay::Hold second = blobs.Add("a");
  first = nullptr;
  EXPECT_EQ(blobs.AddFirst("a"), nullptr);
}

}  // namespace
}  // namespace crisp::storage
