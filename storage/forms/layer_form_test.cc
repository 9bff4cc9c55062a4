// A layer's life in every form: made, sealed, used, doubted, removed.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/forms/testing/every_form.h"
#include "storage/forms/testing/kept_layer.h"
#include "storage/layer/testing/tar_builder.h"
#include "storage/layer/tree_walk.h"
#include "storage/values/image_store_options.h"

namespace crisp::storage {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LayerFormTest : public ::testing::TestWithParam<const LayerForm*> {
 protected:
  void SetUp() override {
    const absl::Status able = form().Probe(dir_.path());
    if (!able.ok()) GTEST_SKIP() << able;
  }
  const LayerForm& form() const { return *GetParam(); }
  std::string folder() const { return dir_.path() + "/7"; }
  absl::StatusOr<bool> Intact(const LayerFacts& facts) {
    return form().IsIntact(folder(), facts, Operation());
  }

  const std::string tar_ =
      TarBuilder().Dir("etc", 0750).File("etc/os", "crisp").File("app", "program").Build();
  TempDir dir_;
};

TEST_P(LayerFormTest, IsToldByItsNameAndByItsMark) {
  EXPECT_EQ(FindLayerForm(form().name()), &form());
  EXPECT_LE(strlen(form().name()), LayerForm::kMaxName);
  EXPECT_EQ(std::string(form().mark()).find('/'), std::string::npos);
  EXPECT_THAT(LayerFormIn(folder()).status(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(MakeDirs(folder()));
  EXPECT_THAT(LayerFormIn(folder()).status(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(form().MakeTarget(folder()));
  ASSERT_OK_AND_ASSIGN(const LayerForm* const found, LayerFormIn(folder()));
  EXPECT_EQ(found, &form());
}

TEST_P(LayerFormTest, WhatCannotBeLookedAtIsNotAbsent) {
  ASSERT_EQ(symlink(folder().c_str(), folder().c_str()), 0);  // ELOOP, as EIO on a bad disk
  const absl::Status failed = LayerFormIn(folder()).status();
  EXPECT_FALSE(failed.ok());
  EXPECT_FALSE(absl::IsNotFound(failed));
  EXPECT_THAT(failed.message(), HasSubstr(folder()));
}

TEST_P(LayerFormTest, TriesWhatTheKernelCanAndLeavesNothing) {
  EXPECT_OK(form().Probe(dir_.path()));
  EXPECT_THAT(*ListDir(dir_.path()), IsEmpty());
}

TEST_P(LayerFormTest, ATargetIsNewAndOfItsKind) {
  ASSERT_OK(MakeDirs(folder()));
  const mode_t mask = umask(0077);
  absl::StatusOr<UniqueFd> target = form().MakeTarget(folder());
  (void)umask(mask);
  ASSERT_OK(target);
  struct stat st {};
  ASSERT_EQ(fstat(target->get(), &st), 0);
  if (form().target() == LayerTarget::kDirectory) {
    EXPECT_TRUE(S_ISDIR(st.st_mode));
    EXPECT_EQ(st.st_mode & 07777, 0755u)
        << "what the image's root shows if its archive says nothing";
  } else {
    EXPECT_TRUE(S_ISREG(st.st_mode));
    EXPECT_EQ(st.st_size, 0);
    EXPECT_EQ(st.st_mode & 07077, 0u) << "nobody else's to read";
  }
  EXPECT_THAT(form().MakeTarget(folder()), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(form().MakeTarget(dir_.path() + "/none"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(LayerFormTest, SaysWhatHasToBeSynced) {
  ASSERT_OK(MakeDirs(folder()));
  ASSERT_OK(form().MakeTarget(folder()));
  for (const std::string& path : form().SyncSet(folder())) {
    EXPECT_TRUE(std::filesystem::is_regular_file(path)) << path;
    EXPECT_THAT(path, ::testing::StartsWith(folder() + "/"));
  }
  if (form().target() == LayerTarget::kDirectory) {
    EXPECT_THAT(form().SyncSet(folder()), IsEmpty());
  }
}

TEST_P(LayerFormTest, IsWholeAndIntactWhenItIsMade) {
  for (const std::string& tar : {tar_, std::string(), TarBuilder().File("empty", "").Build()}) {
    ASSERT_OK_AND_ASSIGN(const KeptLayer layer, Keep(form(), folder(), tar));
    EXPECT_TRUE(form().LooksWhole(folder(), layer.facts)) << tar.size();
    EXPECT_EQ(*Intact(layer.facts), true) << tar.size();
  }
}

TEST_P(LayerFormTest, DamageIsFoundByLookingClosely) {
  ASSERT_OK_AND_ASSIGN(const KeptLayer layer, Keep(form(), folder(), tar_));
  ASSERT_OK(DamageLayer(form(), folder()));
  EXPECT_EQ(*Intact(layer.facts), false);
}

TEST_P(LayerFormTest, ALayerThatWasEmptiedDoesNotLookWhole) {
  ASSERT_OK_AND_ASSIGN(const KeptLayer layer, Keep(form(), folder(), tar_));
  ASSERT_OK(EmptyLayer(form(), folder()));
  EXPECT_FALSE(form().LooksWhole(folder(), layer.facts));
  EXPECT_EQ(*Intact(layer.facts), false);
  ASSERT_OK(RemoveTree(form().MarkIn(folder())));
  EXPECT_FALSE(form().LooksWhole(folder(), layer.facts));
  EXPECT_EQ(*Intact(layer.facts), false);
}

TEST_P(LayerFormTest, AnotherLayerInItsPlaceIsNotTheLayer) {
  ASSERT_OK_AND_ASSIGN(const KeptLayer layer, Keep(form(), folder(), tar_));
  ASSERT_OK(Keep(form(), folder(), TarBuilder().File("other", "bytes").Build()));
  EXPECT_EQ(*Intact(layer.facts), false);
}

// As a crash or a failed pull leaves it: the target is there and has been begun.
TEST_P(LayerFormTest, WhatIsHalfMadeIsNoLayer) {
  ASSERT_OK(MakeDirs(folder()));
  ASSERT_OK_AND_ASSIGN(const UniqueFd target, form().MakeTarget(folder()));
  const std::string content(100'000, 'x');
  const std::string whole = TarBuilder().File("a", content).File("b", content).Build();
  ASSERT_OK_AND_ASSIGN(const KeptLayer other, Keep(form(), dir_.path() + "/8", whole));
  EXPECT_THAT(Unpack(form(), target.get(), whole.substr(0, whole.size() / 2)),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(*Intact(other.facts), false);
  if (form().target() == LayerTarget::kFile) {
    EXPECT_THAT(form().Seal(folder(), target.get()), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_FALSE(form().Open(folder()).ok());
  }
}

// The unpacker may have been taken over.
TEST_P(LayerFormTest, AFileThatItsSinkDidNotWriteGetsNoSeal) {
  ASSERT_OK(MakeDirs(folder()));
  ASSERT_OK_AND_ASSIGN(const UniqueFd target, form().MakeTarget(folder()));
  if (form().target() == LayerTarget::kDirectory) {
    EXPECT_EQ(*form().Seal(folder(), target.get()), LayerSeal()) << "counts are all it needs";
    return;
  }
  for (const std::string& bytes : {std::string(), std::string("x"), std::string(1 << 20, '\0')}) {
    ASSERT_EQ(ftruncate(target.get(), 0), 0);
    ASSERT_EQ(pwrite(target.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    EXPECT_THAT(form().Seal(folder(), target.get()), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_P(LayerFormTest, OccupiesWhatItSays) {
  TarBuilder tar;
  for (int i = 0; i < 50; ++i) tar.File(absl::StrCat("d/", i), std::string(5000, 'x'));
  ASSERT_OK_AND_ASSIGN(const KeptLayer layer, Keep(form(), folder(), tar.Build()));
  const LayerUsage usage = form().Usage(layer.facts);
  ASSERT_OK_AND_ASSIGN(const TreeCount count, CountTree(AT_FDCWD, folder()));
  EXPECT_EQ(usage.inodes, count.inodes);
  EXPECT_GE(usage.bytes, 50 * 5000u);
  EXPECT_LE(usage.bytes, count.disk_bytes);
}

// Layers of one form on each other and on directories, with and without a directory to write to.
TEST_P(LayerFormTest, IsWhatAnOverlayStandsOn) {
  ASSERT_OK_AND_ASSIGN(const KeptLayer base, Keep(form(), dir_.path() + "/1", tar_));
  ASSERT_OK_AND_ASSIGN(const KeptLayer top,
                       Keep(form(), dir_.path() + "/2",
                            TarBuilder().File("etc/.wh.os", "").File("new", "n").Build()));
  ASSERT_OK_AND_ASSIGN(const KeptLayer plain, Keep(Directories(), dir_.path() + "/3",
                                                   TarBuilder().File("lowest", "l").Build()));
  const UniqueFd fs(fsopen("overlay", FSOPEN_CLOEXEC));
  for (const KeptLayer* layer : {&top, &base, &plain}) {
    const Lower& lower = layer->root.lower;
    ASSERT_EQ(lower.is_mount()
                  ? fsconfig(fs.get(), FSCONFIG_SET_FD, "lowerdir+", nullptr, lower.mount_fd)
                  : fsconfig(fs.get(), FSCONFIG_SET_STRING, "lowerdir+", lower.path.c_str(), 0),
              0)
        << PathOf(lower) << ": " << strerror(errno);
  }
  ASSERT_EQ(fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), 0) << strerror(errno);
  const UniqueFd merged(fsmount(fs.get(), FSMOUNT_CLOEXEC, 0));
  ASSERT_TRUE(merged.valid());
  EXPECT_EQ(*ReadFileAt(merged.get(), "new"), "n");
  EXPECT_EQ(*ReadFileAt(merged.get(), "app"), "program");
  EXPECT_EQ(*ReadFileAt(merged.get(), "lowest"), "l");
  EXPECT_THAT(ReadFileAt(merged.get(), "etc/os"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(LayerFormTest, IsOpenedByManyAndOutlivesItsFolderForThem) {
  ASSERT_OK_AND_ASSIGN(const KeptLayer layer, Keep(form(), folder(), tar_));
  ASSERT_OK_AND_ASSIGN(const LayerForm::Root again, form().Open(folder()));
  EXPECT_EQ(*ReadFile(PathOf(again.lower) + "/app"), "program");
  EXPECT_EQ(again.lower.is_mount(), again.mount.valid());
  ASSERT_OK_AND_ASSIGN(const UniqueFd held, OpenLower(layer.root.lower, O_PATH));
  ASSERT_OK(RemoveTree(folder()));
  EXPECT_THAT(LayerFormIn(folder()).status(), StatusIs(absl::StatusCode::kNotFound));
  if (again.lower.is_mount()) {
    EXPECT_THAT(form().Open(folder()).status(), StatusIs(absl::StatusCode::kNotFound));
    EXPECT_EQ(*ReadFileAt(held.get(), "app"), "program");
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, LayerFormTest, EveryForm(), NameOfForm);

// The configuration, the catalog and the wire to the unpacker use these.
TEST(LayerFormsTest, TheTableHasTheNamesThatTheConfigurationKnows) {
  std::vector<std::string> names, known;
  std::set<std::string> marks;
  for (const LayerForm* form : LayerForms()) {
    names.push_back(form->name());
    marks.insert(form->mark());
  }
  for (const char* name : kLayerFormats) {
    if (name != nullptr) known.push_back(name);
  }
  EXPECT_EQ(names, known);
  EXPECT_THAT(marks, SizeIs(names.size()));
  EXPECT_EQ(FindLayerForm("tar"), nullptr);
}

// They are on the disks of nodes.
TEST(LayerFormsTest, NamesAndMarksStay) {
  EXPECT_STREQ(Directories().name(), "directories");
  EXPECT_STREQ(Directories().mark(), "fs");
  EXPECT_EQ(Directories().target(), LayerTarget::kDirectory);
  ASSERT_NE(FindLayerForm("erofs"), nullptr);
  EXPECT_STREQ(FindLayerForm("erofs")->mark(), "image.erofs");
}

}  // namespace
}  // namespace crisp::storage
