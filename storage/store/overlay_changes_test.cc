#include "storage/store/overlay_changes.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Change::Kind;

class OverlayChangesTest : public ::testing::Test {
 protected:
  // `tree` is one of "upper", "top", "base".
  std::string In(const std::string& tree, const std::string& path) {
    return absl::StrCat(dir_.path(), "/", tree, "/", path);
  }
  void SetUp() override {
    for (const char* tree : {"upper", "top", "base"}) ASSERT_OK(MakeDirs(In(tree, "")));
  }
  void File(const std::string& tree, const std::string& path) {
    const std::string full = In(tree, path);
    ASSERT_OK(MakeDirs(full.substr(0, full.rfind('/'))));
    ASSERT_OK(AtomicWriteFile(full, "x", 0644, Durability::kNone));
  }
  void Dir(const std::string& tree, const std::string& path) {
    ASSERT_OK(MakeDirs(In(tree, path)));
  }
  void Opaque(const std::string& tree, const std::string& path) {
    Dir(tree, path);
    ASSERT_EQ(setxattr(In(tree, path).c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  }
  void Whiteout(const std::string& tree, const std::string& path) {
    const std::string full = In(tree, path);
    ASSERT_OK(MakeDirs(full.substr(0, full.rfind('/'))));
    ASSERT_EQ(mknod(full.c_str(), S_IFCHR, makedev(0, 0)), 0);
  }
  // "A path", "C path", "D path".
  std::vector<std::string> List(const ChangeLimits& limits = {}) {
    const absl::StatusOr<Changes> changes =
        ListChanges(In("upper", ""), {In("top", ""), In("base", "")}, limits, Operation());
    EXPECT_OK(changes);
    if (!changes.ok()) return {};
    truncated_ = changes->truncated;
    std::vector<std::string> list;
    for (const Change& change : changes->list) {
      const char* const kind = change.kind == Kind::kAdded     ? "A "
                               : change.kind == Kind::kChanged ? "C "
                                                               : "D ";
      list.push_back(kind + change.path);
    }
    return list;
  }

  TempDir dir_;
  bool truncated_ = false;
};

TEST_F(OverlayChangesTest, AnUntouchedRootHasNone) {
  File("base", "etc/os");
  EXPECT_THAT(List(), IsEmpty());
}

TEST_F(OverlayChangesTest, TellsAddedChangedAndDeleted) {
  File("base", "etc/os");
  File("base", "etc/gone");
  File("top", "app");
  File("upper", "app");       // changed, or replaced
  File("upper", "etc/os");    // in a directory that is there
  File("upper", "new/deep");  // in one that is not
  Whiteout("upper", "etc/gone");
  Whiteout("upper", "never");  // of nothing
  ASSERT_EQ(symlink("/etc", In("upper", "link").c_str()), 0);
  EXPECT_THAT(List(), ElementsAre("C /app", "C /etc", "D /etc/gone", "C /etc/os", "A /link",
                                  "A /new", "A /new/deep"));
  EXPECT_FALSE(truncated_);
}

// What an upper layer of the image hides is not in the image.
TEST_F(OverlayChangesTest, WhatTheImagesOwnLayersHideWasNotThere) {
  File("base", "a/file");
  Whiteout("top", "a");
  File("base", "b/old");
  Opaque("top", "b");
  File("base", "c/below");
  File("top", "c");  // a file where the base has a directory
  File("upper", "a/file");
  File("upper", "b/old");
  File("upper", "c");
  EXPECT_THAT(List(), ElementsAre("A /a", "A /a/file", "C /b", "A /b/old", "C /c"));
}

TEST_F(OverlayChangesTest, ADirectoryThatHidesTheOneBelowLacksWhatIsNotInIt) {
  File("base", "d/kept");
  File("base", "d/gone");
  File("top", "d/gone_too");
  File("base", "d/sub/gone");
  File("base", "d/sub/kept");
  Whiteout("top", "d/hidden");
  File("base", "d/hidden");
  Opaque("upper", "d");
  File("upper", "d/kept");
  File("upper", "d/new");
  File("upper", "d/sub/kept");
  EXPECT_THAT(List(), ElementsAre("C /d", "D /d/gone", "D /d/gone_too", "C /d/kept", "A /d/new",
                                  "C /d/sub", "D /d/sub/gone", "C /d/sub/kept"));
}

TEST_F(OverlayChangesTest, AFileInTheDirectorysPlaceAndTheOtherWayRound) {
  File("base", "was_dir/file");
  File("base", "was_file");
  File("upper", "was_dir");
  File("upper", "was_file/inside");
  EXPECT_THAT(List(), ElementsAre("C /was_dir", "C /was_file", "A /was_file/inside"));
}

TEST_F(OverlayChangesTest, PathsAreBytes) {
  File("upper", "n\xff\xfe\n");
  EXPECT_THAT(List(), ElementsAre("A /n\xff\xfe\n"));
}

TEST_F(OverlayChangesTest, IsBoundedInEveryWay) {
  for (int i = 0; i < 10; ++i) File("upper", absl::StrCat("f", i));
  EXPECT_EQ(List({.paths = 10}).size(), 10u);
  EXPECT_FALSE(truncated_);
  EXPECT_EQ(List({.paths = 9}).size(), 9u);
  EXPECT_TRUE(truncated_);
  EXPECT_EQ(List({.bytes = 8}).size(), 2u);
  EXPECT_TRUE(truncated_);
  Dir("upper", "a/b/c/d/e");
  EXPECT_EQ(List({.depth = 5}).size(), 15u);
  EXPECT_FALSE(truncated_);
  EXPECT_EQ(List({.depth = 3}).size(), 14u) << "what is beside it is listed all the same";
  EXPECT_TRUE(truncated_);
}

TEST_F(OverlayChangesTest, ACancelledCallEnds) {
  CancelSource source;
  source.Cancel();
  EXPECT_THAT(ListChanges(In("upper", ""), {In("base", "")}, {}, source.operation()),
              StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace crisp::storage
