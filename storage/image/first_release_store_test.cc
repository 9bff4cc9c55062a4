// A store as the first release wrote it, table by table and file by file: it opens unchanged, and
// what is written today is what that release reads.
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "base/database.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "storage/forms/testing/kept_layer.h"
#include "storage/image/testing/image_store_fixture.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// Not the catalog's own constant, which may grow.
constexpr char kFirstRelease[] = R"(
  CREATE TABLE images (
    id TEXT PRIMARY KEY, config TEXT NOT NULL, manifest TEXT NOT NULL, pulled_at INTEGER NOT NULL);
  CREATE TABLE names (name TEXT PRIMARY KEY, image TEXT NOT NULL);
  CREATE TABLE layers (
    number INTEGER PRIMARY KEY, diff_id TEXT NOT NULL, blob_digest TEXT NOT NULL,
    blob_size INTEGER NOT NULL, blob_kept INTEGER NOT NULL, archive_bytes INTEGER NOT NULL,
    inodes INTEGER NOT NULL, bytes INTEGER NOT NULL, disk_bytes INTEGER NOT NULL);
  CREATE TABLE layer_images (
    number INTEGER PRIMARY KEY, size INTEGER NOT NULL, metadata_digest TEXT NOT NULL);
  CREATE TABLE indexes (
    image TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, bytes TEXT NOT NULL,
    PRIMARY KEY (image, digest));
  CREATE TABLE opaque_layers (number INTEGER PRIMARY KEY);
  CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
)";

class FirstReleaseStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::Status able = FindLayerForm("erofs")->Probe(dir_.path());
    if (!able.ok()) GTEST_SKIP() << able;
  }
  std::string Layer(int64_t number) const { return absl::StrCat(root_, "/layers/", number); }

  // Layer 3: a directory of two inodes. Layer 4: an EROFS file. A container stands on both.
  void WriteStore() {
    id_ = registry_.Put(kBox, {base_, top_});
    const ResolvedImage& image = registry_.images[kBox];
    ASSERT_OK(MakeDirs(Layer(3) + "/fs/etc"));
    ASSERT_OK(AtomicWriteFile(Layer(3) + "/fs/etc/os", "base", 0644, Durability::kNone));
    ASSERT_OK(AtomicWriteFile(Layer(3) + "/implicit_dirs", std::string(".\0", 2), 0600,
                              Durability::kNone));
    ASSERT_OK_AND_ASSIGN(const KeptLayer kept, Keep(*FindLayerForm("erofs"), Layer(4), top_));
    struct stat st {};
    ASSERT_EQ(stat((Layer(4) + "/image.erofs").c_str(), &st), 0);
    ASSERT_OK(MakeDirs(root_ + "/containers/c/upper"));
    ASSERT_OK(MakeDirs(root_ + "/containers/c/work"));
    const std::vector<std::string>& diff_ids = image.image_config.diff_ids;
    ASSERT_OK(AtomicWriteFile(
        root_ + "/containers/c/ref",
        absl::StrCat("container\n", diff_ids[0], "\n", diff_ids[1], "\nnumbers 3 4"), 0600,
        Durability::kNone));
    ASSERT_OK_AND_ASSIGN(const auto database,
                         Database::Open(root_ + "/images.db", Database::Sync::kOff, kFirstRelease));
    const auto run = [&](const char* sql, const std::vector<Database::Value>& values) {
      ASSERT_OK(database->Execute(sql, values).status());
    };
    run("INSERT INTO images VALUES (?, ?, ?, ?)",
        {id_, image.config_bytes, image.manifest_bytes, int64_t{1}});
    run("INSERT INTO names VALUES (?, ?)", {kBox, id_});
    run("INSERT INTO layers VALUES (3, ?, ?, 100, 0, 1000, 2, 4, 8192)",
        {diff_ids[0], image.layers[0].digest});
    run("INSERT INTO layers VALUES (4, ?, ?, 100, 0, 1000, 1, 3, ?)",
        {diff_ids[1], image.layers[1].digest, static_cast<int64_t>(st.st_size)});
    run("INSERT INTO layer_images VALUES (4, ?, ?)",
        {static_cast<int64_t>(st.st_size), kept.facts.seal.digest});
    run("INSERT INTO facts VALUES ('boot_id', ?)", {"another"});  // a power cut: all is verified
    run("INSERT INTO facts VALUES ('clean', 'no')", {});
    run("PRAGMA user_version = 0", {});  // it did not say
  }
  void Open(const std::string& format) {
    store_.reset();
    ASSERT_OK_AND_ASSIGN(
        store_,
        ImageStoreImpl::Open({.root = root_, .unpacker = CRISP_UNPACKER, .layer_format = format},
                             std::make_unique<Borrowed>(registry_)));
  }

  const std::string base_ = TarBuilder().File("etc/os", "base").Build();
  const std::string top_ = TarBuilder().File("app", "top").Build();
  TempDir dir_;
  const std::string root_ = dir_.path() + "/store";
  std::string id_;
  FakeRegistry registry_;
  std::unique_ptr<ImageStore> store_;
};

TEST_F(FirstReleaseStoreTest, OpensUnchanged) {
  WriteStore();
  for (const char* format : {"directories", "erofs"}) {
    Open(format);
    EXPECT_EQ(*store_->Pull("box", {}, Operation()), id_);
    EXPECT_EQ(registry_.fetches, 0) << "both layers are there";
    EXPECT_THAT(store_->PinnedKeys(), ElementsAre("c"));
    ASSERT_OK(store_->CollectGarbage());
    EXPECT_THAT(*ListDir(root_ + "/layers"), SizeIs(2));
    ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer("c", id_));
    ASSERT_THAT(root.lower_dirs, SizeIs(2));
    EXPECT_EQ(*ReadFile(PathOf(root.lower_dirs[0]) + "/app"), "top");
    EXPECT_TRUE(root.lower_dirs[0].is_mount());
    EXPECT_EQ(root.lower_dirs[1], Lower(Layer(3) + "/fs"));
    EXPECT_EQ(root.upper_dir, root_ + "/containers/c/upper");
    ASSERT_OK_AND_ASSIGN(const RootFs other, store_->PrepareView("v", id_));
    EXPECT_EQ(other.lower_dirs, root.lower_dirs);
    ASSERT_OK(store_->ReleaseContainer("v"));
    EXPECT_EQ(store_->ImageUsage().inodes_used, 6u);
  }
  ASSERT_OK(store_->ReleaseContainer("c"));
  ASSERT_OK(store_->Remove(id_));
  ASSERT_OK(store_->CollectGarbage());
  EXPECT_THAT(*ListDir(root_ + "/layers"), SizeIs(0));
}

TEST_F(FirstReleaseStoreTest, DamageOfBothFormsIsFoundByWhatItRecorded) {
  WriteStore();
  ASSERT_OK(DamageLayer(Directories(), Layer(3)));
  ASSERT_OK(DamageLayer(*FindLayerForm("erofs"), Layer(4)));
  Open("directories");
  EXPECT_FALSE(store_->PrepareView("v", id_).ok());
  EXPECT_EQ(*store_->Pull("box", {}, Operation()), id_);
  EXPECT_EQ(registry_.fetches, 2);
}

TEST_F(FirstReleaseStoreTest, ReadsWhatIsWrittenToday) {
  registry_.Put("docker.io/library/base:latest", {base_});
  id_ = registry_.Put(kBox, {base_, top_});
  Open("directories");
  ASSERT_OK(store_->Pull("base", {}, Operation()));
  Open("erofs");
  ASSERT_OK(store_->Pull("box", {}, Operation()));
  store_.reset();
  ASSERT_OK_AND_ASSIGN(const auto database,
                       Database::Open(root_ + "/images.db", Database::Sync::kOff, ""));
  int64_t mark = 0;
  ASSERT_OK(
      database
          ->Execute("PRAGMA user_version", {}, [&](const Database::Row& row) { mark = row.Int(0); })
          .status());
  EXPECT_EQ(mark, 1000);
  std::map<int64_t, int64_t> files;
  ASSERT_OK(database
                ->Execute("SELECT number, size FROM layer_images WHERE metadata_digest <> ''", {},
                          [&](const Database::Row& row) { files[row.Int(0)] = row.Int(1); })
                .status());
  // How that release tells the forms: what has a row is image.erofs, what has none is fs.
  int directories = 0;
  ASSERT_OK(database
                ->Execute("SELECT number, inodes, bytes FROM layers", {},
                          [&](const Database::Row& row) {
                            struct stat st {};
                            const std::string folder = Layer(row.Int(0));
                            if (files.count(row.Int(0)) == 0) {
                              ++directories;
                              EXPECT_EQ(stat((folder + "/fs").c_str(), &st), 0);
                              EXPECT_TRUE(S_ISDIR(st.st_mode));
                            } else {
                              EXPECT_EQ(stat((folder + "/image.erofs").c_str(), &st), 0);
                              EXPECT_EQ(st.st_size, files[row.Int(0)]);
                            }
                            EXPECT_GE(row.Int(1), 1);
                            EXPECT_GE(row.Int(2), 3);
                          })
                .status());
  EXPECT_EQ(directories, 1);
  EXPECT_THAT(files, SizeIs(1));
}

}  // namespace
}  // namespace crisp::storage
