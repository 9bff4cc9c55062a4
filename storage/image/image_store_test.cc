#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/testing/cancelled_wait.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/test_threads.h"
#include "storage/image/testing/image_store_fixture.h"
#include "storage/store/testing/dirty_pages.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_P(ImageStoreTest, PullsAndFindsByEveryName) {
  const std::string id = registry_.Put(kBox, {base_, top_}, "1000");
  EXPECT_EQ(*Pull("box"), id);
  const std::string target = registry_.images[kBox].target.digest;
  for (const std::string& name :
       {id, id.substr(7), id.substr(7, 12), std::string("box"), std::string(kBox), "box@" + target,
        "docker.io/library/box:latest@" + target}) {
    ASSERT_OK_AND_ASSIGN(const Image image, store_->Find(name));
    EXPECT_EQ(image.id, id) << name;
    EXPECT_THAT(image.repo_tags, ElementsAre(kBox));
    EXPECT_THAT(image.repo_digests, ElementsAre("docker.io/library/box@" + target));
    EXPECT_EQ(image.user, "1000");
    EXPECT_GT(image.size_bytes, 0u);
  }
  EXPECT_THAT(store_->Find("other"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Pull("other"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Pull("UPPER"), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(const auto history, store_->History("box"));
  EXPECT_THAT(history, SizeIs(2));
  ExpectClean(2);
  EXPECT_GT(store_->ImageUsage().used_bytes, 0u);
}

TEST_P(ImageStoreTest, ByDigestAddsNoTagAndSharesLayers) {
  const std::string one = registry_.Put(kBox, {base_, top_});
  const std::string two = registry_.Put("docker.io/library/two:latest", {base_}, "u");
  EXPECT_EQ(*Pull("box@" + registry_.images[kBox].target.digest), one);
  EXPECT_THAT(store_->Find(one)->repo_tags, IsEmpty());
  EXPECT_EQ(registry_.fetches, 2);
  EXPECT_EQ(*Pull("two"), two);
  EXPECT_EQ(*Pull("box"), one);
  EXPECT_EQ(registry_.fetches, 2);
  EXPECT_THAT(store_->List(), SizeIs(2));
  ExpectClean(2);
}

TEST_P(ImageStoreTest, MovesTags) {
  const std::string one = registry_.Put(kBox, {base_}, "one");
  ASSERT_OK(Pull("box"));
  const std::string two = registry_.Put(kBox, {base_}, "two");
  EXPECT_EQ(*Pull("box"), two);
  EXPECT_THAT(store_->Find(one)->repo_tags, IsEmpty());
  EXPECT_THAT(store_->Find(two)->repo_tags, ElementsAre(kBox));
  Reopen();
  EXPECT_EQ(store_->Find("box")->id, two);
  EXPECT_THAT(store_->Find(one)->repo_digests, SizeIs(1));
}

TEST_P(ImageStoreTest, ReportsPinnedImages) {
  registry_.Put("registry.k8s.io/pause:3.9", {base_});
  ASSERT_OK(Pull("registry.k8s.io/pause:3.9"));
  EXPECT_TRUE(store_->Find("registry.k8s.io/pause:3.9")->pinned);
}

TEST_P(ImageStoreTest, RemovesAllNamesAndThenTheLayers) {
  const std::string id = registry_.Put(kBox, {base_, top_});
  registry_.Put("docker.io/library/alias:latest", {base_, top_});
  ASSERT_OK(Pull("box"));
  ASSERT_OK(Pull("alias"));
  EXPECT_THAT(store_->Find(id)->repo_tags, SizeIs(2));
  std::vector<std::thread> threads;
  for (int i = 0; i < 5; ++i) threads.emplace_back([&] { EXPECT_OK(store_->Remove("alias")); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_OK(store_->Remove(id));
  ExpectClean(0);
}

TEST_P(ImageStoreTest, ContainersKeepLayers) {
  const std::string id = registry_.Put(kBox, {base_, top_, base_});
  ASSERT_OK(Pull("box"));
  ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer("c/1", id));
  EXPECT_THAT(root.lower_dirs, SizeIs(2));  // the same layer twice counts once
  EXPECT_EQ(*ReadFile(PathOf(root.lower_dirs[0]) + "/etc/os"), "base");
  EXPECT_EQ(*ReadFile(PathOf(root.lower_dirs[1]) + "/app"), "top");
  EXPECT_EQ(store_->PrepareContainer("c/1", id)->upper_dir, root.upper_dir);
  ASSERT_OK(AtomicWriteFile(root.upper_dir + "/f", "x", 0600, Durability::kNone));
  ASSERT_OK_AND_ASSIGN(const RootFs view, store_->PrepareView("view", id));
  EXPECT_EQ(view.upper_dir, "");
  ASSERT_OK(store_->Remove(id));
  EXPECT_THAT(store_->PrepareContainer("late", id), StatusIs(absl::StatusCode::kNotFound));
  Reopen();
  EXPECT_THAT(store_->PinnedKeys(), ElementsAre("c/1", "view"));
  ASSERT_OK(store_->ReleaseContainer("view"));
  ASSERT_OK(store_->CollectGarbage());
  ASSERT_OK_AND_ASSIGN(const RootFs now, store_->PrepareContainer("c/1", id));
  EXPECT_EQ(*ReadFile(PathOf(now.lower_dirs[1]) + "/app"), "top");
  EXPECT_EQ(*ReadFile(root.upper_dir + "/f"), "x");
  ASSERT_OK(AtomicWriteFile(root.upper_dir + "/large", std::string(100000, 'x'), 0600,
                            Durability::kNone));
  const uint64_t before = store_->ContainerUsage("c/1")->used_bytes;
  store_->MeasureContainers({"nobody's", "c/1"});
  EXPECT_GE(store_->ContainerUsage("c/1")->used_bytes, before + 100000);
  EXPECT_EQ(store_->ContainerUsage("c/1")->inodes_used, 3u);
  ASSERT_OK(store_->ReleaseContainer("c/1"));
  ASSERT_OK(store_->ReleaseContainer("c/1"));
  EXPECT_THAT(store_->ContainerUsage("c/1"), StatusIs(absl::StatusCode::kNotFound));
  ExpectClean(0);
}

TEST_P(ImageStoreTest, TellsWhatAContainerHasMadeOfItsImage) {
  const std::string id = registry_.Put(kBox, {top_, base_});
  ASSERT_OK(Pull("box"));
  ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer("c1", id));
  ASSERT_OK(store_->PrepareView("view", id));
  EXPECT_THAT(store_->ContainerChanges("c1", {}, Operation())->list, IsEmpty());
  const std::string& upper = root.upper_dir;
  ASSERT_OK(MakeDirs(upper + "/etc"));
  ASSERT_EQ(mknod((upper + "/etc/os").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ASSERT_OK(AtomicWriteFile(upper + "/app", "x", 0600, Durability::kNone));
  ASSERT_OK(AtomicWriteFile(upper + "/own", "x", 0600, Durability::kNone));
  using Kind = Change::Kind;
  // The image stays known to the container, whatever becomes of its name and of the daemon.
  ASSERT_OK(store_->Remove(id));
  for (const bool again : {false, true}) {
    if (again) Reopen();
    ASSERT_OK_AND_ASSIGN(const Changes changes, store_->ContainerChanges("c1", {}, Operation()));
    EXPECT_THAT(changes.list, ElementsAre(Change{.path = "/app", .kind = Kind::kChanged},
                                          Change{.path = "/etc", .kind = Kind::kChanged},
                                          Change{.path = "/etc/os", .kind = Kind::kDeleted},
                                          Change{.path = "/own", .kind = Kind::kAdded}));
  }
  EXPECT_THAT(store_->ContainerChanges("view", {}, Operation()),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->ContainerChanges("none", {}, Operation()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ImageStoreTest, DirectoriesMadeAheadBecomeAContainers) {
  const std::string id = registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer("spare-1", id));
  ASSERT_OK(store_->PrepareContainer("spare-2", id));
  EXPECT_EQ(store_->ContainersUsage().inodes_used, 0u);
  EXPECT_THAT(store_->History("box")->front().containers, IsEmpty());
  ASSERT_OK(store_->Rekey("spare-1", "c"));
  EXPECT_THAT(store_->Rekey("spare-1", "d"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Rekey("spare-2", "c"), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(store_->PrepareContainer("c", id)->upper_dir, root.upper_dir);
  EXPECT_EQ(store_->ContainersUsage().inodes_used, 1u);
  EXPECT_THAT(store_->History("box")->front().containers, ElementsAre("c"));
  ASSERT_OK(store_->Remove(id));
  Reopen();
  EXPECT_THAT(store_->PinnedKeys(), ElementsAre("c", "spare-2"));
  EXPECT_THAT(store_->Rekey("spare-2", "c"), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_OK(store_->ReleaseContainer("spare-2"));
  ASSERT_OK(store_->CollectGarbage());
  ASSERT_OK_AND_ASSIGN(const RootFs now, store_->PrepareContainer("c", id));
  EXPECT_EQ(*ReadFile(PathOf(now.lower_dirs[1]) + "/etc/os"), "base");
  ASSERT_OK(store_->ReleaseContainer("c"));
  ExpectClean(0);
}

// A directory that a layer does not list looks as its own image's lower layers have it, whatever
// image shares the layer.
TEST_P(ImageStoreTest, SharedLayersInheritDirectoriesPerImage) {
  auto base = [](unsigned uid) {
    return TarBuilder().Add({.name = "data", .type = '5', .mode = 0750, .uid = uid}).Build();
  };
  const std::string top = TarBuilder().File("data/f").Build();
  const std::string one = registry_.Put(kBox, {base(1000), top});
  const std::string two = registry_.Put("docker.io/library/two:latest", {base(2000), top});
  const std::string same = registry_.Put("docker.io/library/same:latest", {base(2000), top}, "u");
  const std::string plain = registry_.Put("docker.io/library/plain:latest", {base_, top});
  for (const char* name : {"box", "two", "same", "plain"}) ASSERT_OK(Pull(name));
  EXPECT_EQ(registry_.fetches, 4);
  ASSERT_OK(store_->CollectGarbage());
  EXPECT_THAT(Entries("layers"), SizeIs(6));  // four and one of directories for each of two chains
  auto owner = [&](const std::string& id) {
    const absl::StatusOr<RootFs> root = store_->PrepareContainer("of " + id, id);
    struct stat st {};
    if (!root.ok() || stat((PathOf(root->lower_dirs[0]) + "/data").c_str(), &st) != 0) return -1;
    return (st.st_mode & 07777) == 0750 ? static_cast<int>(st.st_uid) : -2;
  };
  EXPECT_EQ(owner(one), 1000);
  EXPECT_EQ(owner(two), 2000);
  ASSERT_OK_AND_ASSIGN(const RootFs not_below, store_->PrepareContainer("plain", plain));
  EXPECT_THAT(not_below.lower_dirs, SizeIs(2));
  Reopen();
  EXPECT_EQ(owner(same), 2000);
  ASSERT_OK(store_->Remove(two));
  ASSERT_OK(store_->ReleaseContainer("of " + two));
  ASSERT_OK(store_->CollectGarbage());
  EXPECT_THAT(Entries("layers"), SizeIs(6));  // `same` stands on them
  for (const std::string& key : store_->PinnedKeys()) ASSERT_OK(store_->ReleaseContainer(key));
  for (const std::string& id : {one, same, plain}) ASSERT_OK(store_->Remove(id));
  ExpectClean(0);
}

TEST_P(ImageStoreTest, EverybodyMayLookIntoAnImagesRoot) {
  const std::pair<mode_t, mode_t> modes[] = {
      {0700, 0755}, {0555, 0555}, {01777, 01777}, {0750, 0755}};
  int count = 0;
  for (const auto& [mode, expected] : modes) {
    const std::string name = absl::StrCat("docker.io/library/root", ++count, ":latest");
    const std::string id = registry_.Put(
        name,
        {TarBuilder().Add({.name = "./", .type = '5', .mode = mode, .uid = 7}).File("f").Build()});
    ASSERT_OK(Pull(absl::StrCat("root", count)));
    ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer(name, id));
    struct stat st {};
    ASSERT_EQ(stat(root.upper_dir.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, expected) << std::oct << mode;
    EXPECT_EQ(st.st_uid, 7u) << "the owner is the image's";
  }
}

TEST_P(ImageStoreTest, ALostLayerOfDirectoriesIsMadeAgain) {
  const std::string base = TarBuilder().Dir("data", 0700).Build();
  registry_.Put(kBox, {base, TarBuilder().File("data/f").Build()});
  ASSERT_OK_AND_ASSIGN(const std::string id, Pull("box"));
  ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareView("v", id));
  ASSERT_OK(store_->ReleaseContainer("v"));
  store_.reset();
  ASSERT_OK(RemoveTree(root.lower_dirs[0].path));
  Reopen();
  EXPECT_THAT(store_->Find("box"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(Pull("box"));
  EXPECT_THAT(store_->PrepareView("v", id)->lower_dirs, SizeIs(3));
}

TEST_P(ImageStoreTest, ViewsAndEmptyImagesAreMountable) {
  const std::string one = registry_.Put(kBox, {base_});
  const std::string none = registry_.Put("docker.io/library/none:latest", {});
  ASSERT_OK(Pull("box"));
  ASSERT_OK(Pull("none"));
  EXPECT_THAT(store_->PrepareView("v", one)->lower_dirs, SizeIs(2));
  EXPECT_THAT(store_->PrepareContainer("c", none)->lower_dirs, SizeIs(1));
}

TEST_P(ImageStoreTest, FailedPullsLeaveNothing) {
  registry_.Put(kBox, {base_, top_});
  registry_.break_off = true;
  EXPECT_THAT(Pull("box"), StatusIs(absl::StatusCode::kDataLoss));
  ExpectClean(0);
  registry_.break_off = false;
  // A config that promises another layer.
  registry_.images[kBox].image_config.diff_ids[1] = Sha256Digest("something else");
  EXPECT_THAT(Pull("box"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("unpacks to")));
  ExpectClean(0);
  registry_.Put("docker.io/library/evil:latest", {TarBuilder().File("../../evil").Build()});
  EXPECT_THAT(Pull("evil"), StatusIs(absl::StatusCode::kInvalidArgument));
  ExpectClean(0);
  EXPECT_THAT(store_->List(), IsEmpty());
  registry_.Put(kBox, {base_, top_});
  EXPECT_OK(Pull("box"));
}

TEST_P(ImageStoreTest, SameImageIsFetchedOnce) {
  registry_.Put(kBox, {base_, top_});
  registry_.Put("docker.io/library/two:latest", {base_}, "u");
  registry_.hang = true;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] { EXPECT_OK(Pull(i % 2 == 0 ? "box" : "two")); });
  }
  EXPECT_TRUE(Eventually([&] { return registry_.fetches == 2; }));
  EXPECT_TRUE(Stays([&] { return registry_.fetches == 2; })) << "one that came later fetches too";
  registry_.hang = false;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(registry_.delivered, 2);
  ExpectClean(2);
}

TEST_P(ImageStoreTest, WaitersLeaveOneByOne) {
  registry_.Put(kBox, {base_});
  registry_.hang = true;
  EXPECT_THAT(store_->Pull("box", {}, Operation(absl::Now() + absl::Milliseconds(1))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  std::thread patient([&] { EXPECT_OK(Pull("box")); });
  EXPECT_THAT(store_->Pull("box", {}, Operation(absl::Now() + absl::Milliseconds(100))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  registry_.hang = false;
  patient.join();
  registry_.hang = true;
  registry_.Put(kBox, {top_});
  EXPECT_THAT(store_->Pull("box", {}, Operation(absl::Now() + absl::Milliseconds(100))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  Reopen();  // closing waits for the abandoned one
  ExpectClean(1);
}

TEST_P(ImageStoreTest, AWaiterIsWokenByItsCancellation) {
  registry_.Put(kBox, {base_});
  registry_.hang = true;
  EXPECT_THAT(CancelledWhileAsleep([&](const Operation& operation) {
                return store_->Pull("box", {}, operation);
              }).status(),
              StatusIs(absl::StatusCode::kCancelled));
  registry_.hang = false;
}

TEST_P(ImageStoreTest, OneProcessOwnsARoot) {
  EXPECT_THAT(ImageStoreImpl::Open({.root = root_}, std::make_unique<Borrowed>(registry_)).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_P(ImageStoreTest, DoesNotOpenWithoutItsUnpacker) {
  EXPECT_THAT(ImageStoreImpl::Open({.root = root_ + "2", .unpacker = "/nonexistent"},
                                   std::make_unique<Borrowed>(registry_))
                  .status(),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ImageStoreTest, CleansUpWhatACrashLeft) {
  registry_.Put(kBox, {base_});
  ASSERT_OK(Pull("box"));
  store_.reset();
  ASSERT_OK(MakeDirs(root_ + "/layers/77"));
  ASSERT_OK(form().MakeTarget(root_ + "/layers/77"));  // and not committed
  ASSERT_OK(MakeDirs(root_ + "/layers/78/fs/half"));
  ASSERT_OK(AtomicWriteFile(root_ + "/blobs/sha256/abc", "x", 0600, Durability::kNone));
  ASSERT_OK(AtomicWriteFile(root_ + "/ingest/79", "x", 0600, Durability::kNone));
  ASSERT_OK(MakeDirs(root_ + "/containers/cut_short"));
  Reopen();
  EXPECT_THAT(store_->PinnedKeys(), ElementsAre("cut_short"));
  ASSERT_OK(store_->ReleaseContainer("cut_short"));
  ExpectClean(1);
  EXPECT_OK(store_->PrepareContainer("c", store_->Find("box")->id));
}

TEST_P(ImageStoreTest, ALostLayerIsPulledAgain) {
  registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  store_.reset();
  ASSERT_OK(RemoveTree(root_ + "/layers/" + ListDir(root_ + "/layers")->front()));
  Reopen();
  EXPECT_THAT(store_->Find("box"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(Pull("box"));
  ExpectClean(2);
}

TEST_P(ImageStoreTest, ALayerThatCannotBeLookedAtIsNotLost) {
  registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  store_.reset();
  const std::string layer = root_ + "/layers/" + ListDir(root_ + "/layers")->front();
  ASSERT_EQ(rename(layer.c_str(), (root_ + "/aside").c_str()), 0);
  ASSERT_EQ(symlink(layer.c_str(), layer.c_str()), 0);  // ELOOP, as EIO on a bad disk
  EXPECT_THAT(ImageStoreImpl::Open({.root = root_, .unpacker = CRISP_UNPACKER},
                                   std::make_unique<Borrowed>(registry_))
                  .status()
                  .message(),
              HasSubstr(layer));
  ASSERT_EQ(unlink(layer.c_str()), 0);
  ASSERT_EQ(rename((root_ + "/aside").c_str(), layer.c_str()), 0);
  Reopen();
  EXPECT_OK(store_->Find("box"));
  ExpectClean(2);
}

TEST_P(ImageStoreTest, AfterAPowerCutDamageIsFound) {
  registry_.Put(kBox, {base_, top_});
  ASSERT_OK_AND_ASSIGN(const std::string id, Pull("box"));
  ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareView("v", id));
  ASSERT_OK(store_->ReleaseContainer("v"));
  store_.reset();
  {
    // As another boot without a clean close would find it.
    ASSERT_OK_AND_ASSIGN(auto catalog, ImageCatalog::Open(root_ + "/images.db", {}, [] {}));
    ASSERT_OK(catalog->SetFact("clean", "no"));
    ASSERT_OK(catalog->SetFact("boot_id", "another"));
  }
  for (const std::string& number : Entries("layers")) {
    ASSERT_OK(DamageLayer(form(), root_ + "/layers/" + number));
  }
  Reopen();
  EXPECT_FALSE(store_->PrepareContainer("c", id).ok());
  EXPECT_EQ(*Pull("box"), id);
  ASSERT_OK_AND_ASSIGN(const RootFs again, store_->PrepareContainer("c", id));
  EXPECT_EQ(*ReadFile(PathOf(again.lower_dirs[0]) + "/app"), "top");
}

TEST_P(ImageStoreTest, MakesLayersBeforeTheConfigIsThere) {
  registry_.Put(kBox, {base_, top_});
  registry_.early = 2;
  registry_.early_layers = 2;
  ASSERT_OK(Pull("box"));
  EXPECT_EQ(registry_.fetches, 2);
  ExpectClean(2);
  // Those it has are not asked for again, neither early nor late.
  registry_.early = registry_.early_layers = 0;
  registry_.Put("docker.io/library/other:latest", {base_, TarBuilder().File("other", "o").Build()});
  ASSERT_OK(Pull("other"));
  EXPECT_EQ(registry_.fetches, 3);
}

TEST_P(ImageStoreTest, IsOnTheDiskWhenItIsPulled) {
  if (!CanTellUnsynced(dir_.path())) GTEST_SKIP() << "the kernel or the file system cannot tell";
  keep_blobs_ = true;
  Reopen();
  registry_.Put(kBox, {base_, TarBuilder().File("usr/lib/app", "top").Build()});
  ASSERT_OK(Pull("box"));
  std::vector<std::string> files;
  for (const std::string& blob : Entries("blobs/sha256"))
    files.push_back(root_ + "/blobs/sha256/" + blob);
  for (const std::string& number : Entries("layers")) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(root_ + "/layers/" + number)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  EXPECT_THAT(files, SizeIs(6));  // blobs, lists, and what the layers consist of
  for (const std::string& file : files) EXPECT_EQ(UnsyncedPages(file), 0u) << file;
}

TEST_P(ImageStoreTest, GivesUpLayersWhenThereIsNoConfig) {
  registry_.Put(kBox, {base_, top_});
  registry_.early = registry_.early_layers = 2;
  registry_.no_config = true;
  EXPECT_THAT(Pull("box"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no config")));
  ExpectClean(0);
}

// One that could not be begun is not waited for by the next.
TEST_P(ImageStoreTest, APullWithoutAThreadFailsAlone) {
  registry_.Put(kBox, {base_, top_});
  ASSERT_TRUE(WithoutNewThreads([&] {
    EXPECT_THAT(Pull("box"),
                StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("box")));
  }));
  ASSERT_OK(store_->Pull("box", {}, Operation(absl::Now() + absl::Minutes(1))));
  ExpectClean(2);
}

// Containers may run on while the catalog is lost: what they stand on stays until they are gone.
TEST_P(ImageStoreTest, ALostCatalogLeavesLayersToTheirContainers) {
  const std::string id = registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  ASSERT_OK(store_->PrepareContainer("c", id));
  ASSERT_OK(store_->PrepareView("v", id));
  ASSERT_OK(store_->PrepareContainer("old-name", id));
  ASSERT_OK(store_->Rekey("old-name", "d"));
  store_.reset();
  for (const char* part : {"", "-wal", "-shm"}) (void)unlink((root_ + "/images.db" + part).c_str());
  for (int again = 0; again < 2; ++again) {
    Reopen();
    EXPECT_OK(store_->CollectGarbage());
    EXPECT_THAT(store_->List(), IsEmpty());
    EXPECT_THAT(Entries("layers"), SizeIs(2));
    EXPECT_THAT(store_->PinnedKeys(), ::testing::UnorderedElementsAre("c", "d", "v"));
  }
  ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer("c", id));
  EXPECT_EQ(*ReadFile(PathOf(root.lower_dirs[0]) + "/app"), "top");
  EXPECT_THAT(root.upper_dir, ::testing::Not(IsEmpty()));
  ASSERT_OK(Pull("box"));
  EXPECT_THAT(Entries("layers"), SizeIs(4));
  for (const char* key : {"c", "d", "v"}) ASSERT_OK(store_->ReleaseContainer(key));
  ExpectClean(2);
}

TEST_P(ImageStoreTest, ADamagedCatalogIsSetAside) {
  const std::string id = registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  ASSERT_OK(store_->PrepareContainer("c", id));
  store_.reset();
  for (const char* part : {"-wal", "-shm"}) (void)unlink((root_ + "/images.db" + part).c_str());
  ASSERT_OK(AtomicWriteFile(root_ + "/images.db", std::string(8192, 'x'), 0600, Durability::kNone));
  Reopen();
  EXPECT_OK(store_->CollectGarbage());
  EXPECT_THAT(Entries("layers"), SizeIs(2));
  int set_aside = 0;
  for (const std::string& name : Entries(""))
    set_aside += absl::StartsWith(name, "images.db.damaged-");
  EXPECT_EQ(set_aside, 1);
  ASSERT_OK(Pull("box"));
  ASSERT_OK(store_->ReleaseContainer("c"));
  ExpectClean(2);
}

// Containers of a version that wrote no numbers.
TEST_P(ImageStoreTest, WhatCannotBeToldToBeUnusedStays) {
  const std::string id = registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  ASSERT_OK(store_->PrepareContainer("c", id));
  store_.reset();
  const std::string ref = root_ + "/containers/c/ref";
  const std::string text = *ReadFile(ref);
  ASSERT_OK(AtomicWriteFile(ref, text.substr(0, text.find("\nnumbers")), 0600, Durability::kNone));
  for (const char* part : {"", "-wal", "-shm"}) (void)unlink((root_ + "/images.db" + part).c_str());
  Reopen();
  EXPECT_OK(store_->CollectGarbage());
  EXPECT_THAT(Entries("layers"), SizeIs(2));
  ASSERT_OK(store_->ReleaseContainer("c"));
  Reopen();
  ExpectClean(0);
}

TEST_P(ImageStoreTest, APullHealsALayerThatWasEmptied) {
  registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  for (const bool reopen : {false, true}) {
    for (const std::string& number : Entries("layers")) {
      ASSERT_OK(EmptyLayer(form(), root_ + "/layers/" + number));
    }
    if (reopen) Reopen();
    ASSERT_OK(Pull("box"));
    ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer("c", store_->Find("box")->id));
    EXPECT_EQ(*ReadFile(PathOf(root.lower_dirs[0]) + "/app"), "top");
    ASSERT_OK(store_->ReleaseContainer("c"));
    ExpectClean(2);
  }
}

TEST_P(ImageStoreTest, WhatCannotBeMovedToTheTrashIsMovedLater) {
  const std::string id = registry_.Put(kBox, {base_});
  ASSERT_OK(Pull("box"));
  ASSERT_OK(store_->PrepareContainer("c", id));
  ASSERT_OK(store_->CollectGarbage());
  const std::string trash = root_ + "/trash";
  ASSERT_OK(RemoveTree(trash));
  ASSERT_OK(AtomicWriteFile(trash, "", 0600, Durability::kNone));  // renames fail
  ASSERT_OK(store_->ReleaseContainer("c"));
  EXPECT_THAT(store_->PinnedKeys(), IsEmpty());
  EXPECT_THAT(Entries("containers"), SizeIs(1));
  registry_.break_off = true;
  registry_.Put("docker.io/library/other:latest", {top_});
  EXPECT_FALSE(Pull("other").ok());
  EXPECT_THAT(Entries("layers"), SizeIs(2));  // one is rubbish
  ASSERT_EQ(unlink(trash.c_str()), 0);
  ASSERT_OK(MakeDirs(trash, 0700));
  // Both by themselves.
  const auto left = [&] { return Entries("containers").size() + Entries("layers").size() - 1; };
  EXPECT_TRUE(Eventually([&] { return left() == 0; }));
  EXPECT_THAT(Entries("containers"), IsEmpty());
  EXPECT_THAT(Entries("layers"), SizeIs(1));
  ExpectClean(1);
}

TEST_P(ImageStoreTest, WrongBytesOfAMirrorSendItToTheNextHost) {
  registry_.Put(kBox, {base_});
  registry_.liars = 2;
  ASSERT_OK(Pull("box"));
  EXPECT_EQ(registry_.fetches, 3);
  ExpectClean(1);
}

// Descriptors of one message are counted over a container's root and its image volumes.
TEST_P(ImageStoreTest, ImagesOfMoreLayersThanAFormTakesAreDirectories) {
  std::vector<std::string> tars;
  for (int i = 0; i < 61; ++i) tars.push_back(TarBuilder().File(absl::StrCat("f", i)).Build());
  const std::string many = registry_.Put(kBox, tars);
  tars.pop_back();
  tars[0] = TarBuilder().File("own").Build();
  const std::string few = registry_.Put("docker.io/library/few:latest", tars);
  ASSERT_OK(Pull("box"));
  ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer("c", many));
  for (const Lower& lower : root.lower_dirs) EXPECT_FALSE(lower.is_mount());
  ASSERT_OK(store_->ReleaseContainer("c"));
  ASSERT_OK(store_->Remove("box"));
  ExpectClean(0);
  ASSERT_OK(Pull("few"));
  ASSERT_OK_AND_ASSIGN(const RootFs other, store_->PrepareContainer("c", few));
  EXPECT_EQ(other.lower_dirs.back().is_mount(), form().most_layers() == 60);
}

INSTANTIATE_TEST_SUITE_P(Forms, ImageStoreTest, EveryForm(), NameOfForm);

}  // namespace
}  // namespace crisp::storage
