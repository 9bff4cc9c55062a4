#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/status_matchers.h"
#include "storage/image_store_fixture.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct ImageTransferTest : ImageStoreTest {};

TEST_P(ImageTransferTest, ExportsAndImports) {
  const std::string id = registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
  ASSERT_OK(store_->Export({"box", id}, file.get(), Cancel()));
  EXPECT_EQ(registry_.fetches, 4);  // each layer again, once
  ASSERT_OK(store_->Remove("box"));
  ExpectClean(0);
  ASSERT_EQ(lseek(file.get(), 0, SEEK_SET), 0);
  ASSERT_OK_AND_ASSIGN(const auto names, store_->Import(file.get(), Cancel()));
  EXPECT_THAT(names, ElementsAre(kBox));
  EXPECT_EQ(store_->Find("box")->id, id);
  ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer("c", id));
  EXPECT_EQ(*ReadFile(root.lower_dirs[0] + "/app"), "top");
  ExpectClean(2, 2);
  UniqueFd again(memfd_create("archive", MFD_CLOEXEC));
  ASSERT_OK(store_->Export({"box"}, again.get(), Cancel()));
  EXPECT_EQ(registry_.fetches, 4);
  EXPECT_EQ(*ReadFile(absl::StrCat("/proc/self/fd/", again.get())),
            *ReadFile(absl::StrCat("/proc/self/fd/", file.get())));
}

TEST_P(ImageTransferTest, AnExportThatTheRegistryFailsFails) {
  registry_.Put(kBox, {base_});
  ASSERT_OK(Pull("box"));
  registry_.break_off = true;
  UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
  EXPECT_THAT(store_->Export({"box"}, file.get(), Cancel()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("broke off")));
}

TEST_P(ImageTransferTest, KeepsLayersCompressedWhereAskedTo) {
  keep_blobs_ = true;
  Reopen();
  registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  ExpectClean(2, 2);
  UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
  ASSERT_OK(store_->Export({"box"}, file.get(), Cancel()));
  EXPECT_EQ(registry_.fetches, 2);
  ASSERT_OK(store_->Remove("box"));
  ExpectClean(0);
}

TEST_P(ImageTransferTest, ImportsDockerArchives) {
  const std::string config = DumpJson(
      Json{{"architecture", "amd64"}, {"os", "linux"},
           {"rootfs", {{"type", "layers"}, {"diff_ids", {Sha256Digest(base_)}}}}});
  auto archive = [&](const std::string& layer) {
    return Gzip(TarBuilder()
                    .File("c.json", config)
                    .Dir("l")
                    .File("l/layer.tar", layer)
                    .Symlink("link.tar", "l/layer.tar")
                    .File("manifest.json", DumpJson(Json::array({{{"Config", "c.json"},
                                                                 {"RepoTags", {"x/y:1"}},
                                                                 {"Layers", {"link.tar"}}}})))
                    .Build());
  };
  auto import = [&](const std::string& bytes) {
    UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
    EXPECT_OK(WriteAll(file.get(), bytes, "memfd"));
    lseek(file.get(), 0, SEEK_SET);
    return store_->Import(file.get(), Cancel());
  };
  EXPECT_THAT(import(archive(top_)), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(import("no archive"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(import(TarBuilder().File("f").Build()), StatusIs(absl::StatusCode::kInvalidArgument));
  ExpectClean(0);
  EXPECT_THAT(*import(archive(base_)), ElementsAre("docker.io/x/y:1"));
  EXPECT_EQ(store_->Find("x/y:1")->id, Sha256Digest(config));
  ExpectClean(1, 1);
}

INSTANTIATE_TEST_SUITE_P(Layers,
                         ImageTransferTest,
                         ::testing::Bool(),
                         [](const auto& form) { return form.param ? "Images" : "Directories"; });

}  // namespace
}  // namespace crisp::storage
