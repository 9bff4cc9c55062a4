// The meaning of images, the same in both forms in which layers are kept: pulled, stacked as a
// container's root is, and looked at.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "storage/image/testing/image_store_fixture.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LayerCasesTest : public ImageStoreTest {
 protected:
  void TearDown() override {
    (void)umount2(merged().c_str(), MNT_DETACH);
    store_.reset();
  }
  std::string merged() const { return dir_.path() + "/merged"; }

  // Pulls an image of these layers, bottom first, and shows its root (a container's, or one without
  // a directory to write to) at merged().
  absl::Status Show(const std::vector<std::string>& tars, bool writable = true) {
    (void)umount2(merged().c_str(), MNT_DETACH);
    if (store_->Find("box").ok()) {
      CRISP_RETURN_IF_ERROR(store_->ReleaseContainer("c"));
      CRISP_RETURN_IF_ERROR(store_->Remove("box"));
    }
    const std::string id = registry_.Put(kBox, tars);
    CRISP_RETURN_IF_ERROR(Pull("box").status());
    CRISP_ASSIGN_OR_RETURN(const RootFs root, writable ? store_->PrepareContainer("c", id)
                                                       : store_->PrepareView("c", id));
    CRISP_RETURN_IF_ERROR(MakeDirs(merged()));
    const auto as_path = [](std::string* out, const Lower& lower) { out->append(PathOf(lower)); };
    std::string options = absl::StrCat("lowerdir=", absl::StrJoin(root.lower_dirs, ":", as_path));
    if (writable)
      absl::StrAppend(&options, ",upperdir=", root.upper_dir, ",workdir=", root.work_dir);
    if (mount("overlay", merged().c_str(), "overlay", 0, options.c_str()) != 0) {
      return ErrnoError(errno, "mount the root");
    }
    return absl::OkStatus();
  }
  struct stat Stat(const std::string& name) {
    struct stat st {};
    EXPECT_EQ(lstat((merged() + "/" + name).c_str(), &st), 0) << name;
    return st;
  }
  std::vector<std::string> Names(const std::string& directory) {
    absl::StatusOr<std::vector<std::string>> names = ListDir(merged() + "/" + directory);
    EXPECT_OK(names.status());
    std::sort(names->begin(), names->end());
    return *names;
  }
  // Each name that is listed can be looked at.
  void ExpectNoGhosts(const std::string& directory) {
    for (const std::string& name : Names(directory)) Stat(directory + "/" + name);
  }
};

// Names are bytes, as Go's archive/tar writes them into pax headers.
TEST_P(LayerCasesTest, NamesAreBytes) {
  const std::string latin = "caf\xe9", none = "\xff\xfe", composed = "caf\xc3\xa9",
                    decomposed = "cafe\xcc\x81";
  TarBuilder tar;
  for (const std::string& name : {latin, none, composed, decomposed}) {
    tar.Add({.name = "short", .content = name, .pax = {{"path", name}}});
  }
  tar.Add({.name = "hard", .type = '1', .link = "x", .pax = {{"linkpath", latin}}});
  tar.Add({.name = "soft", .type = '2', .link = "x", .pax = {{"linkpath", none}}});
  tar.Add({.name = "x", .type = '5', .pax = {{"path", "dir\xe9"}}});
  tar.Add({.name = "x",
           .content = "in",
           .pax = {{"path", "im\xe9/f"}, {"SCHILY.xattr.user.k", "\xfe"}}});
  ASSERT_OK(Show({TarBuilder().Dir("im\xe9", 0711).Build(), tar.Build()}));
  for (const std::string& name : {latin, none, composed, decomposed}) {
    EXPECT_EQ(*ReadFile(merged() + "/" + name), name);
  }
  EXPECT_EQ(Stat("hard").st_ino, Stat(latin).st_ino);
  char target[8] = {};
  EXPECT_EQ(readlink((merged() + "/soft").c_str(), target, sizeof(target)), 2);
  EXPECT_EQ(std::string(target), none);
  EXPECT_TRUE(S_ISDIR(Stat("dir\xe9").st_mode));
  EXPECT_EQ(Stat("im\xe9").st_mode & 07777, 0711u);  // inherited
  char value = 0;
  EXPECT_EQ(getxattr((merged() + "/im\xe9/f").c_str(), "user.k", &value, 1), 1);
  EXPECT_EQ(value, '\xfe');
}

TEST_P(LayerCasesTest, ErrorsShowNamesThatAreNoText) {
  EXPECT_THAT(Show({TarBuilder().Add({.name = "x", .pax = {{"path", "../\xe9"}}}).Build()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::AllOf(HasSubstr("'../\\xe9'"), HasSubstr("layer sha256:"))));
}

TEST_P(LayerCasesTest, AnOpaqueMarkerHidesWhatIsInTheDirectoryOnly) {
  TarBuilder base;
  base.Add({.name = "d/", .type = '5', .mode = 0711, .uid = 4}).File("d/old");
  ASSERT_OK(Show({base.Build(), TarBuilder().File("d/.wh..wh..opq", "").Build()}));
  EXPECT_EQ(Stat("d").st_mode & 07777, 0711u);
  EXPECT_EQ(Stat("d").st_uid, 4u);
  EXPECT_THAT(Names("d"), IsEmpty());
  // One that takes the place of another is new.
  ASSERT_OK(Show({base.Build(), TarBuilder().File(".wh.d", "").File("d/f").Build()}));
  EXPECT_EQ(Stat("d").st_mode & 07777, 0755u);
  EXPECT_THAT(Names("d"), ElementsAre("f"));
  ASSERT_OK(Show({base.Build(), TarBuilder().File("d/f").File(".wh.d", "").Build()}));
  EXPECT_EQ(Stat("d").st_uid, 0u);
  EXPECT_THAT(Names("d"), ElementsAre("f"));
}

TEST_P(LayerCasesTest, AWhiteoutOfNothingIsNoName) {
  const std::string base = TarBuilder().Dir("d", 0750).File("d/.wh.gone", "").File("d/x").Build();
  for (const bool writable : {true, false}) {
    ASSERT_OK(Show({base}, writable));
    ExpectNoGhosts("d");
    EXPECT_THAT(Names("d"), ElementsAre("x"));
    EXPECT_EQ(Stat("d").st_mode & 07777, 0750u);
  }
  // In an opaque directory, whichever comes first; in one that no lower layer has; through a
  // symlink.
  const std::string lower =
      TarBuilder().Dir("d").File("d/gone").File("d/old").Symlink("l", "d").Build();
  ASSERT_OK(Show(
      {lower, TarBuilder().Dir("d").File("d/.wh..wh..opq", "").File("d/.wh.gone", "").Build()}));
  EXPECT_THAT(Names("d"), IsEmpty());
  ASSERT_OK(Show(
      {lower, TarBuilder().Dir("d").File("d/.wh.gone", "").File("d/.wh..wh..opq", "").Build()}));
  EXPECT_THAT(Names("d"), IsEmpty());
  ASSERT_OK(Show(
      {lower, TarBuilder().Dir("n").Dir("n/m").File("n/m/.wh.gone", "").File("n/m/f").Build()}));
  EXPECT_THAT(Names("n/m"), ElementsAre("f"));
  ASSERT_OK(Show({TarBuilder().Dir("d").Symlink("l", "d").File("l/.wh.gone", "").Build()}));
  EXPECT_THAT(Names("d"), IsEmpty());
  // Hidden files stay hidden.
  ASSERT_OK(Show({lower, TarBuilder().File("d/.wh.gone", "").Build()}));
  EXPECT_THAT(Names("d"), ElementsAre("old"));
  ASSERT_OK(Show({TarBuilder().File(".wh.gone", "").File("x").Build()}, false));
  EXPECT_THAT(Names(""), ElementsAre("x"));
}

TEST_P(LayerCasesTest, AnOpaqueMarkerAtTheRootHidesAllLayersBelow) {
  TarBuilder lowest;
  lowest.Add({.name = "./", .type = '5', .mode = 0711}).File("a").Dir("e", 0700);
  const std::vector<std::string> tars = {
      lowest.Build(), TarBuilder().File("a2").Build(),
      TarBuilder().File(".wh..wh..opq", "").File("b").File("e/f").Build(),
      TarBuilder().File("c").Build()};
  for (int again = 0; again < 2; ++again) {
    ASSERT_OK(Show(tars));
    EXPECT_THAT(Names(""), ElementsAre("b", "c", "e"));
    EXPECT_EQ(Stat("e").st_mode & 07777, 0755u);
    EXPECT_EQ(Stat("").st_mode & 07777, 0755u)
        << "the lowest layer's 0711, which everybody may look into";
    Reopen();  // it is known still
  }
}

TEST_P(LayerCasesTest, TimesBeforeTheEpochHaveFractions) {
  TarBuilder tar;
  tar.Add({.name = "quarter", .pax = {{"mtime", "-1.25"}}});
  tar.Add({.name = "half", .pax = {{"mtime", "-1.5"}}});
  tar.Add({.name = "whole", .pax = {{"mtime", "-3"}}});
  tar.Add({.name = "less", .pax = {{"mtime", "-0.75"}}});
  tar.Add({.name = "more", .pax = {{"mtime", "0.75"}}});
  // Wherever it lies in what is read at a time.
  for (int i = 0; i < 30; ++i) {
    tar.File(absl::StrCat("fill", i), std::string(static_cast<size_t>(32000 + i * 512), 'x'));
    tar.Add({.name = absl::StrCat("less", i), .pax = {{"mtime", "-0.5"}}});
  }
  ASSERT_OK(Show({tar.Build()}));
  EXPECT_EQ(Stat("less").st_mtim.tv_sec, -1);
  EXPECT_EQ(Stat("less").st_mtim.tv_nsec, 250'000'000);
  EXPECT_EQ(Stat("more").st_mtim.tv_sec, 0);
  EXPECT_EQ(Stat("more").st_mtim.tv_nsec, 750'000'000);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Stat(absl::StrCat("less", i)).st_mtim.tv_sec, -1) << i;
  EXPECT_EQ(Stat("quarter").st_mtim.tv_sec, -2);
  EXPECT_EQ(Stat("quarter").st_mtim.tv_nsec, 750'000'000);
  EXPECT_EQ(Stat("half").st_mtim.tv_sec, -2);
  EXPECT_EQ(Stat("half").st_mtim.tv_nsec, 500'000'000);
  EXPECT_EQ(Stat("whole").st_mtim.tv_sec, -3);
  EXPECT_EQ(Stat("whole").st_mtim.tv_nsec, 0);
}

TEST_P(LayerCasesTest, NamesThatGoUpStayInside) {
  TarBuilder tar;
  tar.Dir("d").File("d/../a", "a").Hardlink("h", "d/../a").File("d/../../b");
  EXPECT_THAT(Show({tar.Build()}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leads upwards")));
  ASSERT_OK(Show({TarBuilder().Dir("d").File("d/../a", "a").Hardlink("h", "d/../a").Build()}));
  EXPECT_THAT(Names(""), ElementsAre("a", "d", "h"));
  EXPECT_EQ(*ReadFile(merged() + "/h"), "a");
}

INSTANTIATE_TEST_SUITE_P(Forms, LayerCasesTest, EveryForm(), NameOfForm);

}  // namespace
}  // namespace crisp::storage
