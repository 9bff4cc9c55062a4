#include "runtime/shim/sys.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <climits>
#include <string>

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "gtest/gtest.h"
#include "runtime/shim/copy_tree.h"
#include "runtime/shim/resolve.h"

namespace crisp::shim {
namespace {

TEST(TextTest, HoldsWhatFitsAndSaysWhenItDoesNot) {
  Text<8> text;
  text.Add("abc").Add("").AddNumber(-12).Add("z");
  EXPECT_STREQ(text.data, "abc-12z");
  EXPECT_EQ(text.size, 7u);
  EXPECT_FALSE(text.overflow);
  text.Add("!");
  EXPECT_TRUE(text.overflow);
  EXPECT_STREQ(text.data, "abc-12z");
}

TEST(TextTest, NumbersAreWrittenToTheirLimits) {
  Text<64> text;
  text.AddNumber(0).Add(" ").AddNumber(INT64_MAX).Add(" ").AddNumber(INT64_MIN);
  EXPECT_STREQ(text.data, "0 9223372036854775807 -9223372036854775808");
}

TEST(ErrorTest, SaysTheStepTheObjectAndTheCallsError) {
  errno = ENOENT;
  EXPECT_FALSE(Fail("open", "/x"));
  EXPECT_EQ(g_error.error_number, ENOENT);
  EXPECT_STREQ(g_error.text, "open /x");
  EXPECT_FALSE(Refuse(kNotFound, "no container"));
  EXPECT_EQ(g_error.error_number, 0);
  EXPECT_EQ(g_error.code, kNotFound);
  EXPECT_STREQ(g_error.text, "no container");
  const std::string object(5000, 'o');
  EXPECT_FALSE(Fail("open", object.c_str()));
  EXPECT_EQ(std::string(g_error.text), "open " + object.substr(0, 380));
}

class TreeTest : public ::testing::Test {
 protected:
  TreeTest() {
    EXPECT_OK(MakeDirs(root_ + "/a/b"));
    EXPECT_OK(MakeDirs(dir_.path() + "/outside"));
    EXPECT_EQ(symlink("/a/b", (root_ + "/absolute").c_str()), 0);
    EXPECT_EQ(symlink("../../outside", (root_ + "/up").c_str()), 0);
    EXPECT_EQ(symlink("a/new", (root_ + "/dangling").c_str()), 0);
    EXPECT_EQ(symlink("loop", (root_ + "/loop").c_str()), 0);
    fd_ = Fd(open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  // Where the descriptor leads, below the root.
  std::string PathOf(int fd) {
    char path[4096] = "";
    const ssize_t n = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof(path));
    const std::string whole(path, n > 0 ? static_cast<size_t>(n) : 0);
    EXPECT_EQ(whole.substr(0, root_.size()), root_);
    return whole.substr(root_.size());
  }
  std::string Ensure(const char* path, bool directory) {
    const Fd made(EnsureInRoot(fd_.get(), path, directory));
    return made.valid() ? PathOf(made.get()) : g_error.text;
  }
  TempDir dir_;
  const std::string root_ = dir_.path() + "/root";
  Fd fd_;
};

TEST_F(TreeTest, OpensAsAProcessThatIsChrootedThere) {
  const auto open = [this](const char* path) {
    const Fd file(OpenInRoot(fd_.get(), path, O_PATH));
    return file.valid() ? PathOf(file.get()) : std::string("none");
  };
  EXPECT_EQ(open("/absolute"), "/a/b");
  EXPECT_EQ(open("a/../../../a"), "/a");
  EXPECT_EQ(open("/up"), "none");
  EXPECT_EQ(open("/loop"), "none");
}

TEST_F(TreeTest, MakesWhatIsMissingInside) {
  EXPECT_EQ(Ensure("/a/b", true), "/a/b");
  EXPECT_EQ(Ensure("/x/y/z", true), "/x/y/z");
  EXPECT_EQ(Ensure("/x/file", false), "/x/file");
  struct stat status;
  ASSERT_EQ(stat((root_ + "/x/file").c_str(), &status), 0);
  EXPECT_TRUE(S_ISREG(status.st_mode));
  EXPECT_EQ(Ensure("/absolute/made", true), "/a/b/made");
  EXPECT_EQ(Ensure("/dangling/deep", true), "/a/new/deep");
  EXPECT_EQ(Ensure("/up/inside", true), "/outside/inside");
  EXPECT_EQ(access((dir_.path() + "/outside/inside").c_str(), F_OK), -1);
  EXPECT_EQ(Ensure("/a/../../../top", true), "/top");
}

TEST_F(TreeTest, SaysWhatCannotBeMade) {
  EXPECT_EQ(Ensure("/loop/x", true), "make the mount point /loop/x");
  EXPECT_EQ(g_error.error_number, ELOOP);
  EXPECT_EQ(Ensure("/x/file", false), "/x/file");
  EXPECT_EQ(Ensure("/x/file/below", true), "make the mount point /x/file/below");
  EXPECT_EQ(g_error.error_number, ENOTDIR);
  EXPECT_EQ(Ensure(std::string("/" + std::string(300, 'n')).c_str(), true).substr(0, 22),
            "make the mount point /");
  EXPECT_EQ(g_error.error_number, ENAMETOOLONG);
}

TEST_F(TreeTest, CopiesATreeAndFollowsNothing) {
  ASSERT_OK(AtomicWriteFile(root_ + "/a/file", std::string(200000, 'f'), 0640, Durability::kNone));
  ASSERT_EQ(mkfifo((root_ + "/a/fifo").c_str(), 0620), 0);
  ASSERT_EQ(chmod((root_ + "/a").c_str(), 01750), 0);
  const timespec times[2] = {{.tv_sec = 7, .tv_nsec = 8}, {.tv_sec = 9, .tv_nsec = 10}};
  ASSERT_EQ(utimensat(AT_FDCWD, (root_ + "/a/file").c_str(), times, 0), 0);
  const std::string copy = dir_.path() + "/copy";
  ASSERT_OK(MakeDirs(copy));
  const Fd from(open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Fd to(open(copy.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(CopyTree(from.get(), to.get())) << g_error.text;
  EXPECT_EQ(ReadFile(copy + "/a/file").value_or(""), std::string(200000, 'f'));
  struct stat status;
  ASSERT_EQ(stat((copy + "/a/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_EQ(status.st_mtim.tv_sec, 9);
  EXPECT_EQ(status.st_mtim.tv_nsec, 10);
  ASSERT_EQ(stat((copy + "/a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 01750u);
  ASSERT_EQ(lstat((copy + "/a/fifo").c_str(), &status), 0);
  EXPECT_TRUE(S_ISFIFO(status.st_mode));
  char target[64] = "";
  ASSERT_GT(readlink((copy + "/up").c_str(), target, sizeof(target) - 1), 0);
  EXPECT_STREQ(target, "../../outside");
  // Nothing is written over what is there.
  const Fd again(open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(CopyTree(again.get(), to.get()));
}

TEST_F(TreeTest, DoesNotCopyWhatNestsWithoutEnd) {
  Fd at(open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Fd from(dup(at.get()));
  for (int i = 0; i < 210; ++i) {
    ASSERT_EQ(mkdirat(at.get(), "d", 0755), 0);
    at.Reset(openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  const std::string copy = dir_.path() + "/copy";
  ASSERT_OK(MakeDirs(copy));
  const Fd to(open(copy.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(CopyTree(from.get(), to.get()));
  EXPECT_STREQ(g_error.text, "directories nest too deeply to copy");
}

}  // namespace
}  // namespace crisp::shim
