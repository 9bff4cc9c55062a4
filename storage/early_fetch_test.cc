#include "storage/early_fetch.h"

#include <unistd.h>

#include "base/status_matchers.h"
#include "storage/digest.h"

namespace crisp::storage {
namespace {

// One blob in three pieces.
struct Pieces : RegistrySession {
  absl::StatusOr<ResolvedImage> Resolve(const Cancel&, const OnLayers&) override {
    return absl::UnimplementedError("no documents");
  }
  absl::Status FetchBlob(const Descriptor&,
                         const std::function<absl::Status(absl::string_view)>& sink,
                         const Cancel& cancel) override {
    for (const char* piece : {"one ", "two ", "three"}) {
      if (absl::Status taken = sink(piece); !taken.ok()) return ended = taken;
      if (absl::Status fired = cancel.Check("fetch"); !fired.ok()) return ended = fired;
    }
    return result;
  }
  absl::Status result;
  absl::Status ended;
};

TEST(EarlyFetchTest, BytesComeInOrderWhenTheirPlaceIsKnown) {
  Pieces session;
  EarlyFetch fetch(session, {}, Cancel());
  usleep(20000);
  std::string got;
  const auto collect = [&](absl::string_view bytes) {
    got.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  };
  EXPECT_OK(fetch.Run(collect, Cancel()));
  EXPECT_EQ(got, "one two three");
}

TEST(EarlyFetchTest, ErrorsAreTheFetchsOrTheSinks) {
  Pieces session;
  session.result = absl::DataLossError("wrong digest");
  EarlyFetch fetch(session, {}, Cancel());
  EXPECT_THAT(fetch.Run([](absl::string_view) { return absl::OkStatus(); }, Cancel()),
              StatusIs(absl::StatusCode::kDataLoss));
  EarlyFetch full(session, {}, Cancel());
  EXPECT_THAT(full.Run([](absl::string_view) { return absl::ResourceExhaustedError("full"); }, Cancel()),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(EarlyFetchTest, EndsWithItsObjectWhenNobodyWantsIt) {
  Pieces session;
  { EarlyFetch fetch(session, {}, Cancel()); }
  EXPECT_THAT(session.ended, StatusIs(absl::StatusCode::kCancelled));
}

TEST(EarlyFetchTest, EitherCancellationEndsIt) {
  Pieces session;
  const Cancel over(absl::InfinitePast());
  EarlyFetch by_run(session, {}, Cancel());
  EXPECT_FALSE(by_run.Run([](absl::string_view) { return absl::OkStatus(); }, over).ok());
  EarlyFetch by_pull(session, {}, over);
  EXPECT_FALSE(by_pull.Run([](absl::string_view) { return absl::OkStatus(); }, Cancel()).ok());
}

TEST(EarlyFetchTest, OneIsTakenOnce) {
  Pieces session;
  EarlyFetches fetches;
  fetches.Begin(session, {.digest = "a"}, Cancel(), nullptr);
  EXPECT_NE(fetches.Take("a"), nullptr);
  EXPECT_EQ(fetches.Take("a"), nullptr);
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
