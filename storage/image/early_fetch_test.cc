#include "storage/image/early_fetch.h"

#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "base/testing/test_threads.h"

namespace crisp::storage {
namespace {

// Works until it is cancelled.
absl::Status Endless(const Cancel& cancel) {
  while (true) {
    CRISP_RETURN_IF_ERROR(cancel.Check("work"));
    usleep(1000);
  }
}

TEST(EarlyFetchTest, WorksBeforeAnybodyWaits) {
  std::atomic<bool> worked{false};
  ASSERT_OK_AND_ASSIGN(const auto fetch, EarlyFetch::Begin(
                                             [&](const Cancel&) {
                                               worked = true;
                                               return absl::OkStatus();
                                             },
                                             Cancel()));
  for (int i = 0; i < 5000 && !worked; ++i) usleep(1000);
  EXPECT_TRUE(worked);
  EXPECT_OK(fetch->Wait(Cancel()));
}

TEST(EarlyFetchTest, ErrorsAreTheWorks) {
  ASSERT_OK_AND_ASSIGN(
      const auto fetch,
      EarlyFetch::Begin([](const Cancel&) { return absl::DataLossError("wrong digest"); },
                        Cancel()));
  EXPECT_THAT(fetch->Wait(Cancel()), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(EarlyFetchTest, EndsWithItsObjectWhenNobodyWantsIt) {
  absl::Status ended;
  ASSERT_OK(
      EarlyFetch::Begin([&](const Cancel& cancel) { return ended = Endless(cancel); }, Cancel()));
  EXPECT_THAT(ended, StatusIs(absl::StatusCode::kCancelled));
}

TEST(EarlyFetchTest, EitherCancellationEndsIt) {
  const Cancel over(absl::InfiniteFuture(), [] { return true; });
  ASSERT_OK_AND_ASSIGN(const auto by_waiter, EarlyFetch::Begin(Endless, Cancel()));
  EXPECT_THAT(by_waiter->Wait(over), StatusIs(absl::StatusCode::kCancelled));
  ASSERT_OK_AND_ASSIGN(const auto by_pull, EarlyFetch::Begin(Endless, over));
  EXPECT_THAT(by_pull->Wait(Cancel()), StatusIs(absl::StatusCode::kCancelled));
}

TEST(EarlyFetchTest, HoldsItsBlobAsLongAsItIsThere) {
  BlobsUnderWay blobs;
  {
    ASSERT_OK_AND_ASSIGN(const auto fetch,
                         EarlyFetch::Begin([](const Cancel&) { return absl::OkStatus(); }, Cancel(),
                                           blobs.AddFirst("a")));
    EXPECT_EQ(blobs.AddFirst("a"), nullptr);
  }
  EXPECT_NE(blobs.AddFirst("a"), nullptr);
}

TEST(EarlyFetchTest, IsNotBegunWithoutAThread) {
  BlobsUnderWay blobs;
  bool worked = false;
  ASSERT_TRUE(WithoutNewThreads([&] {
    EXPECT_THAT(EarlyFetch::Begin(
                    [&](const Cancel&) {
                      worked = true;
                      return absl::OkStatus();
                    },
                    Cancel(), blobs.AddFirst("a")),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }));
  EXPECT_FALSE(worked);
  EXPECT_NE(blobs.AddFirst("a"), nullptr);
}

TEST(BlobsUnderWayTest, WaitsForTheFirstOnly) {
  BlobsUnderWay blobs;
  const BlobsUnderWay::Hold other = blobs.Add("b");
  EXPECT_OK(blobs.AwaitFirst("b", Cancel()));
  BlobsUnderWay::Hold first = blobs.AddFirst("a");
  EXPECT_THAT(blobs.AwaitFirst("a", Cancel(absl::InfiniteFuture(), [] { return true; })),
              StatusIs(absl::StatusCode::kCancelled));
  std::thread owner([&] {
    usleep(5000);
    first = nullptr;
  });
  EXPECT_OK(blobs.AwaitFirst("a", Cancel()));
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
