// What an archive's entries become, the same in every form that a layer is kept in.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/forms/testing/every_form.h"
#include "storage/forms/testing/kept_layer.h"
#include "storage/layer/testing/tar_builder.h"
#include "storage/layer/tree_walk.h"

namespace crisp::storage {
namespace {

class LayerEntriesTest : public ::testing::TestWithParam<const LayerForm*> {
 protected:
  void SetUp() override {
    const absl::Status able = GetParam()->Probe(dir_.path());
    if (!able.ok()) GTEST_SKIP() << able;
    ASSERT_OK(AtomicWriteFile(dir_.path() + "/outside", "safe", 0600, Durability::kNone));
  }
  void TearDown() override {
    if (IsSkipped()) return;
    // Whatever a layer tried: what is beside it is as it was.
    EXPECT_EQ(*ReadFile(dir_.path() + "/outside"), "safe");
    EXPECT_EQ(ListDir(dir_.path())->size(), 2u);
  }

  absl::StatusOr<LayerContent> Apply(const TarBuilder& tar, ApplyLimits limits = {}) {
    return ApplyBytes(tar.Build(), limits);
  }
  absl::StatusOr<LayerContent> ApplyBytes(const std::string& bytes, ApplyLimits limits = {}) {
    layer_ = {};
    CRISP_ASSIGN_OR_RETURN(layer_, Keep(*GetParam(), dir_.path() + "/layer", bytes, limits));
    const absl::StatusOr<TreeCount> count = CountTree(AT_FDCWD, root() + "/.");
    EXPECT_EQ(layer_.content.inodes + 1, count->inodes);
    EXPECT_EQ(layer_.content.bytes, count->bytes);
    return layer_.content;
  }
  std::string root() const { return PathOf(layer_.root.lower); }
  struct stat Stat(const std::string& name) {
    struct stat st {};
    EXPECT_EQ(lstat((root() + "/" + name).c_str(), &st), 0) << name;
    return st;
  }
  std::string Content(const std::string& name) {
    return ReadFile(root() + "/" + name).value_or("<unreadable>");
  }
  bool IsOpaque(const std::string& name) {
    char value = 0;
    return getxattr((root() + "/" + name).c_str(), "trusted.overlay.opaque", &value, 1) == 1 &&
           value == 'y';
  }

  TempDir dir_;
  KeptLayer layer_;
};

TEST_P(LayerEntriesTest, KeepsOwnersModesAndTimes) {
  TarBuilder tar;
  tar.Add({.name = "./", .type = '5', .mode = 0711});
  tar.Add({.name = "d/", .type = '5', .mode = 02775, .uid = 3, .gid = 4, .mtime = 1234});
  tar.Add({.name = "d/su",
           .content = "#!",
           .mode = 04755,
           .uid = 10,
           .gid = 20,
           .pax = {{"mtime", "1500000000.123456789"}}});
  tar.Add({.name = "fifo", .type = '6', .mode = 0640});
  tar.Add({.name = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3});
  tar.Symlink("d/link", "../../../outside");
  tar.Hardlink("hard", "d/su");
  ASSERT_OK_AND_ASSIGN(const LayerContent content, Apply(tar));
  EXPECT_EQ(content.inodes, 5u);
  EXPECT_EQ(content.entries, 7u);
  EXPECT_EQ(Stat(".").st_mode & 07777, 0711u);
  EXPECT_EQ(Stat("d").st_mode & 07777, 02775u);
  EXPECT_EQ(Stat("d").st_uid, 3u);
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, 1234);
  EXPECT_EQ(Stat("d/su").st_mode & 07777, 04755u);
  EXPECT_EQ(Stat("d/su").st_gid, 20u);
  EXPECT_EQ(Stat("d/su").st_mtim.tv_nsec, 123456789);
  EXPECT_EQ(Stat("hard").st_ino, Stat("d/su").st_ino);
  EXPECT_EQ(Stat("null").st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISFIFO(Stat("fifo").st_mode));
  EXPECT_TRUE(S_ISLNK(Stat("d/link").st_mode));
}

TEST_P(LayerEntriesTest, KeepsLongAndForeignNames) {
  const std::string accented = "caf\xc3\xa9";
  const std::string lengthy = std::string(200, 'a') + "/" + std::string(200, 'b');
  TarBuilder tar;
  tar.Add({.name = "pax", .pax = {{"path", accented}}});
  tar.Add({.name = "pax", .pax = {{"path", lengthy}}});
  tar.File("latin\xe9");
  ASSERT_OK(Apply(tar));
  Stat(accented);
  Stat(lengthy);
  Stat("latin\xe9");
}

TEST_P(LayerEntriesTest, ReadsExtendedAttributes) {
  const std::string capability(
      "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00",
      20);
  TarBuilder tar;
  tar.Add({.name = "f",
           .mode = 0755,
           .uid = 5,
           .pax = {{"SCHILY.xattr.security.capability", capability},
                   {"SCHILY.xattr.user.note", "hello"},
                   {"SCHILY.xattr.user.overlay.opaque", "y"},
                   {"SCHILY.xattr.trusted.overlay.redirect", "/etc"}}});
  ASSERT_OK(Apply(tar));
  char value[64];
  const std::string path = root() + "/f";
  EXPECT_EQ(getxattr(path.c_str(), "user.note", value, sizeof(value)), 5);
  EXPECT_EQ(getxattr(path.c_str(), "security.capability", value, sizeof(value)), 20);
  EXPECT_EQ(getxattr(path.c_str(), "trusted.overlay.redirect", value, sizeof(value)), -1);
  EXPECT_EQ(getxattr(path.c_str(), "user.overlay.opaque", value, sizeof(value)), -1);
}

TEST_P(LayerEntriesTest, RefusesNamesThatLeadOut) {
  for (const char* name : {"../outside", "a/../../outside", "a/.."}) {
    EXPECT_THAT(Apply(TarBuilder().File(name, "evil")),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << name;
  }
  // An absolute name is one below the root, as in every tar tool.
  EXPECT_OK(Apply(TarBuilder().File("/outside", "inside")));
  EXPECT_EQ(Content("outside"), "inside");
}

TEST_P(LayerEntriesTest, FollowsSymlinksOnlyInside) {
  TarBuilder tar;
  tar.Symlink("up", "../..").File("up/outside", "evil");
  tar.Symlink("absolute", dir_.path()).File("absolute/outside", "evil");
  tar.Symlink("direct", "../outside").File("direct", "evil");
  tar.Symlink("loop", "loop").File("loop/f", "kept");
  ASSERT_OK(Apply(tar));
  EXPECT_EQ(Content("outside"), "evil");  // the root's, not ours
  EXPECT_EQ(Content("direct"), "evil");
  EXPECT_TRUE(S_ISREG(Stat("direct").st_mode));
  EXPECT_EQ(Content("loop/f"), "kept");
}

TEST_P(LayerEntriesTest, NoticesAParentSwappedForASymlink) {
  TarBuilder tar;
  tar.Dir("d").File("d/one", "1").Symlink("d", "../").File("d/outside", "evil").Dir("e");
  ASSERT_OK(Apply(tar));
  EXPECT_TRUE(S_ISLNK(Stat("d").st_mode));
  EXPECT_EQ(Content("outside"), "evil");
}

TEST_P(LayerEntriesTest, LinksOnlyToFilesOfTheLayer) {
  EXPECT_FALSE(Apply(TarBuilder().Hardlink("h", "../outside")).ok());
  EXPECT_FALSE(Apply(TarBuilder().Hardlink("h", dir_.path() + "/outside")).ok());
  EXPECT_FALSE(Apply(TarBuilder().Symlink("up", dir_.path()).Hardlink("h", "up/outside")).ok());
  EXPECT_FALSE(Apply(TarBuilder().Hardlink("a", "b").Hardlink("b", "a")).ok());
  EXPECT_FALSE(Apply(TarBuilder().Dir("d").Hardlink("h", "d")).ok());
  EXPECT_FALSE(Apply(TarBuilder().Hardlink("h", ".")).ok());
}

TEST_P(LayerEntriesTest, LinksASymlinkItselfAndWritesNotThroughIt) {
  TarBuilder tar;
  tar.Symlink("s", "../outside").Hardlink("h", "s").File("h", "evil");
  ASSERT_OK(Apply(tar));
  EXPECT_TRUE(S_ISLNK(Stat("s").st_mode));
  EXPECT_EQ(Content("h"), "evil");
}

TEST_P(LayerEntriesTest, LinkToItselfIsNothing) {
  TarBuilder tar;
  tar.File("f", "kept").Hardlink("f", "./f").Hardlink("g", "f").Hardlink("g", "f");
  ASSERT_OK(Apply(tar));
  EXPECT_EQ(Content("g"), "kept");
}

TEST_P(LayerEntriesTest, LinkReplacesWhatHasItsName) {
  TarBuilder tar;
  tar.File("f", "kept").File("file", "old").Hardlink("file", "f");
  tar.Dir("d").File("d/inner", "old").Hardlink("d", "f");
  tar.File(".wh.gone", "").Hardlink("gone", "f").File("e/g", "far").Hardlink("near", "e/g");
  ASSERT_OK_AND_ASSIGN(const LayerContent content, Apply(tar));
  for (const char* name : {"file", "d", "gone"}) EXPECT_EQ(Stat(name).st_ino, Stat("f").st_ino);
  EXPECT_EQ(Stat("near").st_ino, Stat("e/g").st_ino);
  EXPECT_EQ(content.inodes, 3u);  // f, e, e/g
  EXPECT_EQ(content.bytes, 7u);
}

TEST_P(LayerEntriesTest, LaterEntriesReplace) {
  TarBuilder tar;
  tar.File("f", "first").File("f", "second");
  tar.Dir("d").File("d/inner", "gone").File("d", "file now");
  tar.File("e", "file").Dir("e").File("e/inner", "here");
  tar.Dir("k", 0700).File("k/inner", "stays").Dir("k", 0750);
  tar.File("p", "file").File("p/inner", "parent replaced");
  ASSERT_OK_AND_ASSIGN(const LayerContent content, Apply(tar));
  EXPECT_EQ(Content("f"), "second");
  EXPECT_EQ(Content("d"), "file now");
  EXPECT_EQ(Content("e/inner"), "here");
  EXPECT_EQ(Content("k/inner"), "stays");
  EXPECT_EQ(Stat("k").st_mode & 0777, 0750u);
  EXPECT_EQ(Content("p/inner"), "parent replaced");
  EXPECT_EQ(content.inodes, 8u);
}

TEST_P(LayerEntriesTest, TranslatesWhiteouts) {
  TarBuilder tar;
  tar.Dir("a").File("a/.wh.gone", "").File("a/.wh..wh..opq", "").File(".wh..wh.plnk", "");
  tar.File("stays", "own").File(".wh.stays", "");
  tar.File(".wh.back", "").File("back", "again");
  tar.File(".wh.dir", "").Dir("dir");
  tar.Dir("dir2").File(".wh.dir2", "");
  ASSERT_OK(Apply(tar));
  EXPECT_TRUE(S_ISCHR(Stat("a/gone").st_mode));
  EXPECT_EQ(Stat("a/gone").st_rdev, makedev(0, 0));
  EXPECT_EQ(Content("stays"), "own");
  EXPECT_EQ(Content("back"), "again");
  for (const char* name : {"a", "dir", "dir2"}) EXPECT_TRUE(IsOpaque(name)) << name;
  for (const char* name : {".", "stays", "back"}) EXPECT_FALSE(IsOpaque(name)) << name;
}

TEST_P(LayerEntriesTest, RefusesWhiteoutTricks) {
  for (const char* name : {".wh.", ".wh..", ".wh...", "d/.wh..."}) {
    EXPECT_THAT(Apply(TarBuilder().File(name, "")), StatusIs(absl::StatusCode::kInvalidArgument))
        << name;
  }
}

TEST_P(LayerEntriesTest, KeepsLimits) {
  TarBuilder many;
  for (int i = 0; i < 20; ++i) many.File(absl::StrCat("f", i));
  EXPECT_THAT(Apply(many, {.max_entries = 10}), StatusIs(absl::StatusCode::kResourceExhausted));
  std::string deep;
  for (int i = 0; i < 600; ++i) deep += "d/";
  TarBuilder tar;
  tar.Add({.name = "x", .type = '5', .pax = {{"path", deep}}});
  EXPECT_THAT(Apply(tar), StatusIs(absl::StatusCode::kInvalidArgument));
  TarBuilder lengthy;
  lengthy.Add({.name = "x", .pax = {{"path", std::string(5000, 'n')}}});
  EXPECT_THAT(Apply(lengthy), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(LayerEntriesTest, SymlinksCannotMakeATreeTooDeep) {
  TarBuilder tar;
  std::string step;
  for (int i = 0; i < 10; ++i) step += "d/";
  std::string at;
  for (int i = 0; i < 4; ++i) {
    tar.Dir(at + step).Symlink(absl::StrCat("s", i), at + step);
    at = absl::StrCat("s", i, "/");
  }
  EXPECT_THAT(Apply(tar, {.max_depth = 25}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(LayerEntriesTest, RefusesATruncatedArchive) {
  const std::string bytes = TarBuilder().File("f", std::string(5000, 'x')).Build();
  EXPECT_THAT(ApplyBytes(bytes.substr(0, 2000)), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ApplyBytes("this is no tar archive at all" + std::string(600, 'z')),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_OK(ApplyBytes(""));
}

TEST_P(LayerEntriesTest, ReadsSparseFiles) {
  // pax sparse format 1.0: the map is at the start of the data.
  std::string map = "1\n1048576\n4\n";
  map.resize(512);
  TarBuilder tar;
  tar.Add({.name = "GNUSparseFile.0/sparse",
           .content = map + "data",
           .pax = {{"GNU.sparse.major", "1"},
                   {"GNU.sparse.minor", "0"},
                   {"GNU.sparse.name", "sparse"},
                   {"GNU.sparse.realsize", "2097152"}}});
  ASSERT_OK(Apply(tar));
  EXPECT_EQ(Stat("sparse").st_size, 2097152);
  EXPECT_EQ(Content("sparse").substr(1048576, 4), "data");
}

INSTANTIATE_TEST_SUITE_P(Forms, LayerEntriesTest, EveryForm(), NameOfForm);

}  // namespace
}  // namespace crisp::storage
