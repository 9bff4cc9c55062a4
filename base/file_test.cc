#include "base/file.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp {
namespace {

using ::testing::UnorderedElementsAre;

TEST(FileTest, AtomicWriteReplacesAndLeavesNoTemporary) {
  TempDir dir;
  const std::string path = dir.path() + "/f";
  ASSERT_OK(AtomicWriteFile(path, "one", 0600, Durability::kSync));
  ASSERT_OK(AtomicWriteFile(path, "two", 0640, Durability::kNone));
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(path));
  EXPECT_EQ(text, "two");
  struct stat st {};
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0640u);
  ASSERT_OK_AND_ASSIGN(const auto names, ListDir(dir.path()));
  EXPECT_THAT(names, UnorderedElementsAre("f"));
}

TEST(FileTest, ReadRefusesMoreThanTheLimit) {
  TempDir dir;
  ASSERT_OK(AtomicWriteFile(dir.path() + "/f", "12345", 0600, Durability::kNone));
  EXPECT_OK(ReadFile(dir.path() + "/f", 5));
  EXPECT_THAT(ReadFile(dir.path() + "/f", 4), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(FileTest, RemoveTreeTakesAllButFollowsNoSymlink) {
  TempDir dir;
  ASSERT_OK(MakeDirs(dir.path() + "/keep"));
  ASSERT_OK(AtomicWriteFile(dir.path() + "/keep/f", "x", 0600, Durability::kNone));
  ASSERT_OK(MakeDirs(dir.path() + "/tree/a/b"));
  ASSERT_EQ(symlink("../../keep", (dir.path() + "/tree/a/link").c_str()), 0);
  ASSERT_OK(RemoveTree(dir.path() + "/tree"));
  ASSERT_OK(RemoveTree(dir.path() + "/tree"));
  EXPECT_OK(ReadFile(dir.path() + "/keep/f"));
  EXPECT_THAT(ReadFile(dir.path() + "/tree/a"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(FileTest, MeasureCountsHardLinksOnce) {
  TempDir dir;
  ASSERT_OK(AtomicWriteFile(dir.path() + "/f", std::string(8192, 'x'), 0600, Durability::kSync));
  ASSERT_OK_AND_ASSIGN(const TreeUsage one, MeasureTree(dir.path()));
  ASSERT_EQ(link((dir.path() + "/f").c_str(), (dir.path() + "/g").c_str()), 0);
  ASSERT_OK_AND_ASSIGN(const TreeUsage two, MeasureTree(dir.path()));
  EXPECT_EQ(one.inodes, 2u);
  EXPECT_EQ(two.inodes, 2u);
  EXPECT_EQ(one.bytes, two.bytes);
  EXPECT_GE(one.bytes, 8192u);
}

}  // namespace
}  // namespace crisp
