#include "base/safe_path.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp {
namespace {

class SafePathTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(MakeDirs(dir_.path() + "/root/etc"));
    ASSERT_OK(MakeDirs(dir_.path() + "/outside"));
    root_ = UniqueFd(open((dir_.path() + "/root").c_str(), O_PATH | O_CLOEXEC));
  }
  TempDir dir_;
  UniqueFd root_;
};

TEST_F(SafePathTest, AbsoluteSymlinkStaysInside) {
  ASSERT_EQ(symlink("/etc", (dir_.path() + "/root/link").c_str()), 0);
  ASSERT_OK(EnsureFileInRoot(root_.get(), "/link/passwd"));
  EXPECT_OK(ReadFile(dir_.path() + "/root/etc/passwd"));
}

TEST_F(SafePathTest, DotDotSymlinkCannotLeave) {
  ASSERT_EQ(symlink("../../outside", (dir_.path() + "/root/up").c_str()), 0);
  // "../../outside" from the root is "/outside" inside it, which does not exist.
  EXPECT_FALSE(MakeDirsInRoot(root_.get(), "/up/made").ok());
  struct stat st {};
  EXPECT_NE(stat((dir_.path() + "/outside/made").c_str(), &st), 0);
}

TEST_F(SafePathTest, MakesNestedDirectories) {
  ASSERT_OK(MakeDirsInRoot(root_.get(), "a/../a/./b//c"));
  struct stat st {};
  EXPECT_EQ(stat((dir_.path() + "/root/a/b/c").c_str(), &st), 0);
}

TEST_F(SafePathTest, EnsureFileKeepsWhatIsThere) {
  ASSERT_OK(AtomicWriteFile(dir_.path() + "/root/etc/hosts", "mine", 0644, Durability::kNone));
  ASSERT_OK(EnsureFileInRoot(root_.get(), "/etc/hosts"));
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(dir_.path() + "/root/etc/hosts"));
  EXPECT_EQ(text, "mine");
}

TEST(CleanAbsolutePathTest, Table) {
  EXPECT_EQ(CleanAbsolutePath(""), "/");
  EXPECT_EQ(CleanAbsolutePath("/../../etc"), "/etc");
  EXPECT_EQ(CleanAbsolutePath("a/./b/../c/"), "/a/c");
}

}  // namespace
}  // namespace crisp
