#ifndef CRISP_STORAGE_IMAGE_TESTING_IMAGE_STORE_FIXTURE_H_
#define CRISP_STORAGE_IMAGE_TESTING_IMAGE_STORE_FIXTURE_H_

// For tests: an image store in a directory of its own, and the registry from which it pulls.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/json.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/forms/testing/every_form.h"
#include "storage/image/image_store_impl.h"
#include "storage/layer/testing/tar_builder.h"
#include "storage/layer/tree_walk.h"
#include "storage/oci/digest.h"

namespace crisp::storage {

// A registry in memory: images by "name:tag", blobs by digest.
struct FakeRegistry : Registry {
  std::map<std::string, ResolvedImage> images;
  std::map<std::string, std::string> blobs;
  std::atomic<int> fetches{0};  // begun
  std::atomic<int> delivered{0};
  std::atomic<bool> hang{false};  // after the first half of each blob, until cancelled
  std::atomic<bool> break_off{false};
  std::atomic<int> early{0};         // fetches that a config waits for
  std::atomic<int> early_layers{0};  // that are unpacked before there is a config
  std::atomic<bool> no_config{false};
  std::atomic<int> liars{0};  // hosts that have other bytes of the same size, asked first
  std::string layers;         // the folder where they appear

  // Layers are tars; returns the image id.
  std::string Put(const std::string& name,
                  const std::vector<std::string>& tars,
                  const std::string& mark = "") {
    Json config = {{"architecture", "amd64"},
                   {"os", "linux"},
                   {"config", {{"User", mark}}},
                   {"rootfs", {{"type", "layers"}, {"diff_ids", Json::array()}}}};
    Json manifest = {{"schemaVersion", 2}, {"mediaType", kOciManifest}, {"layers", Json::array()}};
    ResolvedImage image;
    for (const std::string& tar : tars) {
      const std::string blob = Gzip(tar);
      Descriptor layer{kOciLayerGzip, Sha256Digest(blob), blob.size()};
      blobs[layer.digest] = blob;
      config["rootfs"]["diff_ids"].push_back(Sha256Digest(tar));
      manifest["layers"].push_back(
          {{"mediaType", layer.media_type}, {"digest", layer.digest}, {"size", layer.size}});
      image.layers.push_back(layer);
    }
    image.config_bytes = DumpJson(config);
    image.config = {kOciConfig, Sha256Digest(image.config_bytes), image.config_bytes.size()};
    manifest["config"] = {
        {"mediaType", kOciConfig}, {"digest", image.config.digest}, {"size", image.config.size}};
    image.manifest_bytes = image.target_bytes = DumpJson(manifest);
    image.manifest = image.target = {kOciManifest, Sha256Digest(image.manifest_bytes),
                                     image.manifest_bytes.size()};
    image.image_config = *ParseImageConfig(image.config_bytes);
    images[name] = image;
    images[image.target.digest] = image;
    return image.config.digest;
  }

  // Layers that have something in them.
  int Unpacked() const {
    int count = 0;
    for (const std::string& number : ListDir(layers).value_or(std::vector<std::string>())) {
      // More than the folder and what it is unpacked into, which is empty at first.
      const absl::StatusOr<TreeCount> there =
          CountTree(AT_FDCWD, absl::StrCat(layers, "/", number));
      count += there.ok() && (there->inodes > 2 || there->bytes > 0);
    }
    return count;
  }

  absl::StatusOr<std::unique_ptr<RegistrySession>> Open(const ImageReference& reference,
                                                        const RegistryAuth&) override;
};

struct FakeSession : RegistrySession {
  FakeSession(FakeRegistry& r, ImageReference ref) : registry(r), reference(std::move(ref)) {}
  absl::StatusOr<ResolvedImage> Resolve(const Operation&, const OnLayers& on_layers) override {
    const auto it =
        registry.images.find(reference.digest.empty() ? reference.RepoTag() : reference.digest);
    if (it == registry.images.end()) return absl::NotFoundError("no such image");
    on_layers(it->second.layers);
    // Fetches that are asked for early are on their way before there is a config.
    EXPECT_TRUE(Eventually([this] {
      return registry.fetches >= registry.early && registry.Unpacked() >= registry.early_layers;
    }));
    if (registry.no_config) return absl::DataLossError("no config");
    return it->second;
  }
  absl::Status FetchBlob(const Descriptor& blob,
                         const std::function<absl::Status(absl::string_view)>& sink,
                         const Operation& operation) override {
    ++registry.fetches;
    std::string bytes = registry.blobs.at(blob.digest);
    if (lies < registry.liars) bytes = std::string(bytes.size(), lies % 2 == 0 ? 'x' : '\0');
    CRISP_RETURN_IF_ERROR(sink(absl::string_view(bytes).substr(0, bytes.size() / 2)));
    if (registry.break_off) return absl::DataLossError("broke off");
    absl::Status status;
    EXPECT_TRUE(Eventually([&] {
      status = operation.Check("fetch");
      return !registry.hang || !status.ok();
    }));
    CRISP_RETURN_IF_ERROR(status);
    CRISP_RETURN_IF_ERROR(sink(absl::string_view(bytes).substr(bytes.size() / 2)));
    ++registry.delivered;
    return lies < registry.liars ? absl::DataLossError("other bytes") : absl::OkStatus();
  }
  bool Distrust(const Descriptor&) override { return lies++ < registry.liars; }
  FakeRegistry& registry;
  std::atomic<int> lies{0};
  ImageReference reference;
};

inline absl::StatusOr<std::unique_ptr<RegistrySession>> FakeRegistry::Open(
    const ImageReference& reference, const RegistryAuth&) {
  return std::unique_ptr<RegistrySession>(new FakeSession(*this, reference));
}

// The store owns its registry; the test keeps this one.
struct Borrowed : Registry {
  explicit Borrowed(FakeRegistry& r) : real(r) {}
  absl::StatusOr<std::unique_ptr<RegistrySession>> Open(const ImageReference& reference,
                                                        const RegistryAuth& auth) override {
    return real.Open(reference, auth);
  }
  FakeRegistry& real;
};

inline constexpr char kBox[] = "docker.io/library/box:latest";

// With layers in each of their forms.
class ImageStoreTest : public ::testing::TestWithParam<const LayerForm*> {
 protected:
  void SetUp() override {
    const absl::Status able = form().Probe(dir_.path());
    if (!able.ok()) GTEST_SKIP() << able;
    Reopen();
  }
  const LayerForm& form() const { return *GetParam(); }
  void Reopen() {
    store_.reset();
    registry_.layers = root_ + "/layers";
    ImageStoreOptions options{.root = root_, .unpacker = CRISP_UNPACKER};
    options.pinned_images = {"registry.k8s.io/pause*"};
    options.keep_layer_blobs = keep_blobs_;
    options.layer_format = form().name();
    ASSERT_OK_AND_ASSIGN(store_,
                         ImageStoreImpl::Open(options, std::make_unique<Borrowed>(registry_)));
  }
  absl::StatusOr<std::string> Pull(const std::string& reference) {
    return store_->Pull(reference, {}, Operation());
  }
  std::vector<std::string> Entries(const std::string& dir) { return *ListDir(root_ + "/" + dir); }
  // Expects that what exists is what is recorded.
  void ExpectClean(size_t layers, size_t blobs = 0) {
    EXPECT_OK(store_->CollectGarbage());
    EXPECT_THAT(Entries("layers"), ::testing::SizeIs(layers));
    EXPECT_THAT(Entries("blobs/sha256"), ::testing::SizeIs(blobs));
    EXPECT_THAT(Entries("ingest"), ::testing::IsEmpty());
    EXPECT_THAT(Entries("trash"), ::testing::IsEmpty());
  }

  const std::string base_ = TarBuilder().Dir("etc").File("etc/os", "base").Build();
  const std::string top_ =
      TarBuilder().File("app", "top").Dir("etc").File("etc/.wh.os", "").Build();
  bool keep_blobs_ = false;
  TempDir dir_;
  std::string root_ = dir_.path() + "/store";
  FakeRegistry registry_;
  std::unique_ptr<ImageStore> store_;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_IMAGE_TESTING_IMAGE_STORE_FIXTURE_H_
