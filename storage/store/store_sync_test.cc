#include "storage/store/store_sync.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/store/testing/dirty_pages.h"

namespace crisp::storage {
namespace {

TEST(StoreSyncTest, WritesBackWhileMoreComesAndAtTheEnd) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto sync, StoreSync::Open(dir.path()));
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK(AtomicWriteFile(dir.path() + "/f", "x", 0600, Durability::kNone));
    sync->NoteWritten(StoreSync::kEvery / 3);
  }
  EXPECT_OK(sync->Finish({1}, dir.path()));
  if (!CanTellUnsynced(dir.path())) GTEST_SKIP() << "the kernel or the file system cannot tell";
  EXPECT_EQ(UnsyncedPages(dir.path() + "/f"), 0u);
}

// The other file may be written back by anybody, but not every time.
TEST(StoreSyncTest, SyncsFilesAndNothingElse) {
  TempDir dir;
  if (!CanTellUnsynced(dir.path())) GTEST_SKIP() << "the kernel or the file system cannot tell";
  bool only = false;
  for (int i = 0; i < 50 && !only; ++i) {
    const std::string file = absl::StrCat(dir.path(), "/f", i),
                      other = absl::StrCat(dir.path(), "/o", i);
    ASSERT_OK_AND_ASSIGN(const auto sync, StoreSync::Open(dir.path()));
    ASSERT_OK_AND_ASSIGN(const UniqueFd fd, Open(file, O_RDWR | O_CREAT, 0600));
    ASSERT_OK(sync->Add(1, fd.get()));
    ASSERT_OK(WriteAll(fd.get(), "x", file));
    ASSERT_OK(AtomicWriteFile(other, "x", 0600, Durability::kNone));
    ASSERT_OK(sync->Finish({1}, dir.path()));
    EXPECT_EQ(UnsyncedPages(file), 0u);
    only = UnsyncedPages(other) > 0u;
  }
  EXPECT_TRUE(only) << "the whole file system was synced";
}

TEST(StoreSyncTest, SyncsAllWhenALayerIsNotAFile) {
  TempDir dir;
  if (!CanTellUnsynced(dir.path())) GTEST_SKIP() << "the kernel or the file system cannot tell";
  ASSERT_OK_AND_ASSIGN(const auto sync, StoreSync::Open(dir.path()));
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, Open(dir.path() + "/f", O_RDWR | O_CREAT, 0600));
  ASSERT_OK(sync->Add(1, fd.get()));
  ASSERT_OK(AtomicWriteFile(dir.path() + "/tree", "x", 0600, Durability::kNone));
  ASSERT_OK(sync->Finish({1, 2}, dir.path()));
  EXPECT_EQ(UnsyncedPages(dir.path() + "/tree"), 0u);
}

TEST(StoreSyncTest, SyncsManyLayersTogether) {
  TempDir dir;
  if (!CanTellUnsynced(dir.path())) GTEST_SKIP() << "the kernel or the file system cannot tell";
  ASSERT_OK_AND_ASSIGN(const auto sync, StoreSync::Open(dir.path()));
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, Open(dir.path() + "/f", O_RDWR | O_CREAT, 0600));
  std::vector<int64_t> layers;
  for (size_t i = 0; i <= StoreSync::kMostByFile; ++i) {
    layers.push_back(static_cast<int64_t>(i));
    ASSERT_OK(sync->Add(layers.back(), fd.get()));
  }
  ASSERT_OK(WriteAll(fd.get(), "x", "f"));
  ASSERT_OK(AtomicWriteFile(dir.path() + "/other", "x", 0600, Durability::kNone));
  ASSERT_OK(sync->Finish(layers, dir.path()));
  EXPECT_EQ(UnsyncedPages(dir.path() + "/f"), 0u);
  EXPECT_EQ(UnsyncedPages(dir.path() + "/other"), 0u);
}

// A long pull of images: only they are written back early.
TEST(StoreSyncTest, WritesFilesBackWhileTheyGrow) {
  TempDir dir;
  if (!CanTellUnsynced(dir.path())) GTEST_SKIP() << "the kernel or the file system cannot tell";
  const std::string file = dir.path() + "/f";
  ASSERT_OK_AND_ASSIGN(const auto sync, StoreSync::Open(dir.path()));
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, Open(file, O_RDWR | O_CREAT, 0600));
  ASSERT_OK(sync->Add(1, fd.get()));
  ASSERT_OK(WriteAll(fd.get(), "x", file));
  EXPECT_GT(UnsyncedPages(file), 0u);
  sync->NoteWritten(StoreSync::kEvery);
  EXPECT_TRUE(Eventually([&] { return UnsyncedPages(file) == 0u; }));
}

TEST(StoreSyncTest, TellsOfADirectoryThatIsGone) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto sync, StoreSync::Open(dir.path()));
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, Open(dir.path() + "/f", O_RDWR | O_CREAT, 0600));
  ASSERT_OK(sync->Add(1, fd.get()));
  EXPECT_THAT(sync->Finish({1}, dir.path() + "/gone"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(StoreSyncTest, MayBeLeftUnfinished) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto sync, StoreSync::Open(dir.path()));
  sync->NoteWritten(StoreSync::kEvery);
}

TEST(StoreSyncTest, NeedsADirectory) {
  EXPECT_THAT(StoreSync::Open("/nonexistent"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace crisp::storage
