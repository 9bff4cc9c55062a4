#include "storage/store_sync.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/status_matchers.h"

namespace crisp::storage {
namespace {

TEST(StoreSyncTest, WritesBackWhileMoreComesAndAtTheEnd) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto sync, StoreSync::Open(dir.path()));
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK(AtomicWriteFile(dir.path() + "/f", "x", 0600, Durability::kNone));
    sync->Wrote(StoreSync::kEvery / 3);
  }
  EXPECT_OK(sync->Finish());
}

TEST(StoreSyncTest, MayBeLeftUnfinished) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto sync, StoreSync::Open(dir.path()));
  sync->Wrote(StoreSync::kEvery);
}

TEST(StoreSyncTest, NeedsADirectory) {
  EXPECT_THAT(StoreSync::Open("/nonexistent"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace crisp::storage
