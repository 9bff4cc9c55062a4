#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "storage/image/testing/image_store_fixture.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct ImageTransferTest : ImageStoreTest {
  absl::StatusOr<std::vector<std::string>> Import(const std::string& bytes,
                                                  const std::string& name = "") {
    const UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
    CRISP_RETURN_IF_ERROR(WriteAll(file.get(), bytes, "memfd"));
    lseek(file.get(), 0, SEEK_SET);
    return store_->Import(file.get(), name, Operation());
  }
  absl::StatusOr<std::string> Export(const std::vector<std::string>& references) {
    const UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
    CRISP_RETURN_IF_ERROR(store_->Export(references, file.get(), Operation()));
    return ReadFile(absl::StrCat("/proc/self/fd/", file.get()));
  }
};

// An OCI layout, being made.
struct Layout {
  Json Blob(const std::string& type, const std::string& bytes) {
    const std::string digest = Sha256Digest(bytes);
    if (blobs.insert(digest).second) tar.File("blobs/sha256/" + digest.substr(7), bytes);
    return {{"mediaType", type}, {"digest", digest}, {"size", bytes.size()}};
  }
  // A manifest; `mark` makes it another image.
  Json Image(const std::string& layer,
             const std::string& architecture = "amd64",
             const std::string& mark = "") {
    const Json config = {{"architecture", architecture},
                         {"os", "linux"},
                         {"config", {{"User", mark}}},
                         {"rootfs", {{"type", "layers"}, {"diff_ids", {Sha256Digest(layer)}}}}};
    const Json manifest = {{"schemaVersion", 2},
                           {"mediaType", kOciManifest},
                           {"config", Blob(kOciConfig, DumpJson(config))},
                           {"layers", Json::array({Blob(kOciLayer, layer)})}};
    return Blob(kOciManifest, DumpJson(manifest));
  }
  Json Artifact() {
    const Json manifest = {
        {"schemaVersion", 2},
        {"mediaType", kOciManifest},
        {"artifactType", "application/spdx+json"},
        {"config", Blob("application/vnd.oci.empty.v1+json", "{}")},
        {"layers", Json::array({Blob("application/spdx+json", "{\"sbom\":1}")})}};
    return Blob(kOciManifest, DumpJson(manifest));
  }
  void List(Json entry, const std::string& name = "", const std::string& architecture = "") {
    if (!name.empty()) entry["annotations"] = {{"io.containerd.image.name", name}};
    if (!architecture.empty()) {
      entry["platform"] = {{"os", architecture == "unknown" ? "unknown" : "linux"},
                           {"architecture", architecture}};
    }
    index["manifests"].push_back(entry);
  }
  std::string Build() {
    return TarBuilder(tar)
        .File("oci-layout", R"({"imageLayoutVersion":"1.0.0"})")
        .File("index.json", DumpJson(index))
        .Build();
  }
  TarBuilder tar;
  std::set<std::string> blobs;
  Json index = {{"schemaVersion", 2}, {"mediaType", kOciIndex}, {"manifests", Json::array()}};
};

TEST_P(ImageTransferTest, ExportsAndImports) {
  const std::string id = registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
  ASSERT_OK(store_->Export({"box", "box"}, file.get(), Operation()));
  EXPECT_EQ(registry_.fetches, 4);  // each layer again, once
  ASSERT_OK(store_->Remove("box"));
  ExpectClean(0);
  ASSERT_EQ(lseek(file.get(), 0, SEEK_SET), 0);
  ASSERT_OK_AND_ASSIGN(const auto names, store_->Import(file.get(), "", Operation()));
  EXPECT_THAT(names, ElementsAre(kBox));
  EXPECT_EQ(store_->Find("box")->id, id);
  ASSERT_OK_AND_ASSIGN(const RootFs root, store_->PrepareContainer("c", id));
  EXPECT_EQ(*ReadFile(PathOf(root.lower_dirs[0]) + "/app"), "top");
  ExpectClean(2, 2);
  UniqueFd again(memfd_create("archive", MFD_CLOEXEC));
  ASSERT_OK(store_->Export({"box"}, again.get(), Operation()));
  EXPECT_EQ(registry_.fetches, 4);
  EXPECT_EQ(*ReadFile(absl::StrCat("/proc/self/fd/", again.get())),
            *ReadFile(absl::StrCat("/proc/self/fd/", file.get())));
}

TEST_P(ImageTransferTest, ATagIsGivenAndTaken) {
  const std::string id = registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  EXPECT_EQ(*store_->Tag("box", "mine"), "docker.io/library/mine:latest");
  EXPECT_EQ(*store_->Tag(id, "quay.io/x/y:2"), "quay.io/x/y:2");
  EXPECT_THAT(store_->Find("mine")->repo_tags,
              ElementsAre(kBox, "docker.io/library/mine:latest", "quay.io/x/y:2"));
  Reopen();
  EXPECT_EQ(store_->Find("quay.io/x/y:2")->id, id) << "after a restart";
  EXPECT_OK(store_->Untag("mine"));
  EXPECT_OK(store_->Untag(kBox));
  EXPECT_OK(store_->Untag("quay.io/x/y:2"));
  Reopen();
  EXPECT_THAT(store_->Find(id)->repo_tags, SizeIs(0)) << "the image stays";
  EXPECT_THAT(store_->Find("mine"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Untag("mine"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ImageTransferTest, ATagGoesFromOneImageToTheOther) {
  registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  ASSERT_OK(store_->Tag("box", "app:1"));
  const std::string other = registry_.Put("docker.io/library/other:latest", {base_});
  ASSERT_OK(Pull("other"));
  ASSERT_OK(store_->Tag("other", "app:1"));
  EXPECT_EQ(store_->Find("app:1")->id, other);
  EXPECT_THAT(store_->Find("box")->repo_tags, ElementsAre(kBox));
}

TEST_P(ImageTransferTest, ADigestAndNonsenseAreNoTags) {
  const std::string id = registry_.Put(kBox, {base_});
  ASSERT_OK(Pull("box"));
  EXPECT_THAT(store_->Tag("box", "x@" + id), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->Tag("box", "UPPER:1"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->Tag("nothing", "x"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Untag("x@" + id), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(ImageTransferTest, AnExportThatTheRegistryFailsFails) {
  registry_.Put(kBox, {base_});
  ASSERT_OK(Pull("box"));
  registry_.break_off = true;
  UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
  EXPECT_THAT(store_->Export({"box"}, file.get(), Operation()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("broke off")));
}

TEST_P(ImageTransferTest, KeepsLayersCompressedWhereAskedTo) {
  keep_blobs_ = true;
  Reopen();
  registry_.Put(kBox, {base_, top_});
  ASSERT_OK(Pull("box"));
  ExpectClean(2, 2);
  UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
  ASSERT_OK(store_->Export({"box"}, file.get(), Operation()));
  EXPECT_EQ(registry_.fetches, 2);
  ASSERT_OK(store_->Remove("box"));
  ExpectClean(0);
}

TEST_P(ImageTransferTest, ImportsDockerArchives) {
  const std::string config =
      DumpJson(Json{{"architecture", "amd64"},
                    {"os", "linux"},
                    {"rootfs", {{"type", "layers"}, {"diff_ids", {Sha256Digest(base_)}}}}});
  auto archive = [&](const std::string& layer) {
    return Gzip(
        TarBuilder()
            .File("c.json", config)
            .Dir("l")
            .File("l/layer.tar", layer)
            .Symlink("link.tar", "l/layer.tar")
            .File("manifest.json",
                  DumpJson(Json::array(
                      {{{"Config", "c.json"}, {"RepoTags", {"x/y:1"}}, {"Layers", {"link.tar"}}}})))
            .Build());
  };
  auto import = [&](const std::string& bytes) {
    UniqueFd file(memfd_create("archive", MFD_CLOEXEC));
    EXPECT_OK(WriteAll(file.get(), bytes, "memfd"));
    lseek(file.get(), 0, SEEK_SET);
    return store_->Import(file.get(), "", Operation());
  };
  EXPECT_THAT(import(archive(top_)), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(import("no archive"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(import(TarBuilder().File("f").Build()), StatusIs(absl::StatusCode::kInvalidArgument));
  ExpectClean(0);
  EXPECT_THAT(*import(archive(base_)), ElementsAre("docker.io/x/y:1"));
  EXPECT_EQ(store_->Find("x/y:1")->id, Sha256Digest(config));
  ExpectClean(1, 1);
}

TEST_P(ImageTransferTest, ArtifactsBesideAnImageArePassedOver) {
  Layout layout;
  layout.List(layout.Artifact());
  layout.List(layout.Image(base_), "x/y:1");
  layout.List(layout.Image(base_, "unknown"), "x/y:1", "unknown");  // an attestation
  layout.List(layout.Blob("application/octet-stream", "what is this"));
  EXPECT_THAT(*Import(layout.Build()), ElementsAre("docker.io/x/y:1"));
  EXPECT_THAT(store_->List(), SizeIs(1));
  Layout none;
  none.List(none.Artifact());
  EXPECT_THAT(Import(none.Build()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("an artifact")));
}

TEST_P(ImageTransferTest, OfSeveralPlatformsItTakesTheNodes) {
  if (HostPlatform().architecture != "amd64") GTEST_SKIP() << "the archive is made for amd64";
  Layout layout;
  const Json own = layout.Image(base_, "amd64");
  layout.List(own, "x/y:1", "amd64");
  layout.List(layout.Image(base_, "arm64"), "x/y:1", "arm64");
  EXPECT_THAT(*Import(layout.Build()), ElementsAre("docker.io/x/y:1"));
  EXPECT_THAT(store_->List(), SizeIs(1));
  EXPECT_THAT(store_->Find("x/y:1")->repo_digests,
              ElementsAre("docker.io/x/y@" + own["digest"].get<std::string>()));
  Layout unnamed;
  unnamed.List(unnamed.Image(base_, "arm64", "1"), "", "arm64");
  unnamed.List(unnamed.Image(base_, "amd64", "1"), "", "amd64");
  unnamed.List(unnamed.Image(base_, "amd64", "2"), "", "amd64");
  EXPECT_THAT(*Import(unnamed.Build()), SizeIs(2));
  // A node that has nothing else may want it.
  Layout foreign;
  foreign.List(foreign.Image(base_, "s390x"), "x/z:1", "s390x");
  EXPECT_THAT(*Import(foreign.Build()), ElementsAre("docker.io/x/z:1"));
}

TEST_P(ImageTransferTest, NamesByDigestSurvive) {
  Layout layout;
  const Json image = layout.Image(base_);
  const std::string digest = image["digest"];
  layout.List(image, "x/y@" + digest);
  EXPECT_THAT(*Import(layout.Build()), ElementsAre("docker.io/x/y@" + digest));
  EXPECT_OK(store_->Find("x/y@" + digest).status());
  // A digest that it has not is nobody's word.
  Layout liar;
  liar.List(liar.Image(base_, "amd64", "liar"), "x/y@" + digest);
  ASSERT_OK(Import(liar.Build()).status());
  EXPECT_EQ(store_->Find("x/y@" + digest)->user, "");
  // Through an archive of its own, too, whether the digest is the manifest's or an index's.
  registry_.Put(kBox, {top_}, "indexed");
  ResolvedImage& pulled = registry_.images[kBox];
  pulled.target_bytes = DumpJson(Json{
      {"schemaVersion", 2},
      {"mediaType", kOciIndex},
      {"manifests",
       Json::array(
           {{{"mediaType", kOciManifest},
             {"digest", pulled.manifest.digest},
             {"size", pulled.manifest.size},
             {"platform", {{"os", "linux"}, {"architecture", HostPlatform().architecture}}}}})}});
  pulled.target = {kOciIndex, Sha256Digest(pulled.target_bytes), pulled.target_bytes.size()};
  const std::string pinned = "docker.io/library/box@" + pulled.target.digest;
  ASSERT_OK(Pull("box"));
  Reopen();
  for (const std::string& name : {pinned, "docker.io/x/y@" + digest}) {
    ASSERT_OK_AND_ASSIGN(const std::string archive, Export({name}));
    const std::string id = store_->Find(name)->id;
    ASSERT_OK(store_->Remove(name));
    EXPECT_THAT(*Import(archive), ElementsAre(name));
    EXPECT_EQ(store_->Find(name)->id, id);
  }
}

TEST_P(ImageTransferTest, AnImportCanNameAnImage) {
  Layout layout;
  layout.List(layout.Image(base_));
  EXPECT_THAT(Import(layout.Build(), "no name"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Import(layout.Build(), "x@" + Sha256Digest("x")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(*Import(layout.Build(), "mine"), ElementsAre("docker.io/library/mine:latest"));
  EXPECT_THAT(store_->Find("mine")->repo_digests, SizeIs(1));
  layout.List(layout.Image(base_, "amd64", "two"));
  EXPECT_THAT(Import(layout.Build(), "mine"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 images")));
}

TEST_P(ImageTransferTest, AnExportHasTheNamesItIsAskedFor) {
  Layout layout;
  const Json image = layout.Image(base_);
  layout.List(image, "x/one:1");
  layout.List(image, "x/two:2");
  ASSERT_OK(Import(layout.Build()).status());
  const std::string id = store_->Find("x/one:1")->id;
  ASSERT_OK_AND_ASSIGN(const std::string one, Export({"x/one:1"}));
  ASSERT_OK_AND_ASSIGN(const std::string all, Export({id}));
  ASSERT_OK(store_->Remove(id));
  EXPECT_THAT(*Import(one), ElementsAre("docker.io/x/one:1"));
  EXPECT_FALSE(store_->Find("x/two:2").ok());
  ASSERT_OK(store_->Remove(id));
  EXPECT_THAT(*Import(all), ElementsAre("docker.io/x/one:1", "docker.io/x/two:2"));
}

INSTANTIATE_TEST_SUITE_P(Forms, ImageTransferTest, EveryForm(), NameOfForm);

}  // namespace
}  // namespace crisp::storage
