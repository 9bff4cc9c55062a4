#include <stdlib.h>
#include <sys/stat.h>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/image/testing/image_store_fixture.h"

namespace crisp::storage {
namespace {

using ::testing::SizeIs;

// A store that changes its mind keeps what it has, and stacks both on each other.
TEST(MixedStoreTest, FormsStandBesideEachOther) {
  const TempDir dir;
  const LayerForm& erofs = *FindLayerForm("erofs");
  if (!erofs.Probe(dir.path()).ok()) GTEST_SKIP() << erofs.Probe(dir.path());
  FakeRegistry registry;
  const std::string base = TarBuilder().Dir("data", 0700).File("f", "base").Build();
  registry.Put("docker.io/library/base:latest", {base});
  const std::string id = registry.Put(kBox, {base, TarBuilder().File("data/f", "top").Build()});
  ImageStoreOptions options{.root = dir.path() + "/store", .unpacker = CRISP_UNPACKER};
  for (const bool images : {false, true, false}) {
    options.layer_format = images ? erofs.name() : Directories().name();
    ASSERT_OK_AND_ASSIGN(const auto store,
                         ImageStoreImpl::Open(options, std::make_unique<Borrowed>(registry)));
    ASSERT_OK(store->Pull(images ? "box" : "base", {}, Operation()));
    if (!images && !store->Find(id).ok()) continue;
    const uint64_t inodes = store->ImageUsage().inodes_used;
    EXPECT_EQ(inodes, 9u);  // four for the directory, two for the image, three for what it inherits
    ASSERT_OK_AND_ASSIGN(const RootFs root, store->PrepareContainer("c", id));
    ASSERT_THAT(root.lower_dirs, SizeIs(3));  // data as it is in the base
    struct stat st {};
    ASSERT_EQ(stat((PathOf(root.lower_dirs[0]) + "/data").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0700u);
    EXPECT_TRUE(root.lower_dirs[1].is_mount());
    EXPECT_EQ(*ReadFile(PathOf(root.lower_dirs[1]) + "/data/f"), "top");
    EXPECT_EQ(*ReadFile(PathOf(root.lower_dirs[2]) + "/f"), "base");
    ASSERT_OK(store->ReleaseContainer("c"));
  }
}

// Files of a tmpfs cannot be mounted.
TEST(MixedStoreTest, WhereImagesCannotBeMountedLayersAreDirectories) {
  char root[] = "/dev/shm/crisp-test.XXXXXX";
  ASSERT_NE(mkdtemp(root), nullptr);
  const auto remove = absl::MakeCleanup([&] { EXPECT_OK(RemoveTree(root)); });
  if (FindLayerForm("erofs")->Probe(root).ok())
    GTEST_SKIP() << "this kernel mounts files of " << root;
  FakeRegistry registry;
  const std::string id = registry.Put(kBox, {TarBuilder().File("f", "there").Build()});
  ASSERT_OK_AND_ASSIGN(
      const auto store,
      ImageStoreImpl::Open({.root = root, .unpacker = CRISP_UNPACKER, .layer_format = "erofs"},
                           std::make_unique<Borrowed>(registry)));
  ASSERT_OK(store->Pull("box", {}, Operation()));
  ASSERT_OK_AND_ASSIGN(const RootFs view, store->PrepareContainer("c", id));
  EXPECT_EQ(*ReadFile(PathOf(view.lower_dirs[0]) + "/f"), "there");
  EXPECT_FALSE(view.lower_dirs[0].is_mount());
}

}  // namespace
}  // namespace crisp::storage
