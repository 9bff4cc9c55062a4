#ifndef CRISP_STORAGE_REGISTRY_TESTING_REGISTRY_TEST_UTIL_H_
#define CRISP_STORAGE_REGISTRY_TESTING_REGISTRY_TEST_UTIL_H_

// For tests: a small image and a registry that serves it.

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/json.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/oci/digest.h"
#include "storage/oci/image_manifest.h"
#include "storage/registry/registry.h"
#include "storage/registry/testing/http_test_server.h"

namespace crisp::storage {

// The documents of an image with one layer, and its blobs' bytes.
struct FakeImage {
  std::string layer;
  std::string config;
  std::string manifest;
  std::string index;
  Descriptor layer_descriptor;

  explicit FakeImage(std::string layer_bytes = std::string(300000, 'L'))
      : layer(std::move(layer_bytes)) {
    const Platform platform = HostPlatform();
    layer_descriptor = {kOciLayerGzip, Sha256Digest(layer), layer.size()};
    config = Json{{"os", "linux"},
                  {"architecture", platform.architecture},
                  {"config", {{"User", "7"}}},
                  {"rootfs", {{"type", "layers"}, {"diff_ids", {Sha256Digest("tar")}}}}}
                 .dump();
    manifest = Json{{"schemaVersion", 2},
                    {"mediaType", kOciManifest},
                    {"config", Describe(kOciConfig, config)},
                    {"layers", Json::array({Describe(kOciLayerGzip, layer)})}}
                   .dump();
    Json entry = Describe(kOciManifest, manifest);
    entry["platform"] = {{"os", "linux"}, {"architecture", platform.architecture}};
    index =
        Json{{"schemaVersion", 2}, {"mediaType", kOciIndex}, {"manifests", Json::array({entry})}}
            .dump();
  }

  static Json Describe(const char* type, const std::string& bytes) {
    return {{"mediaType", type}, {"digest", Sha256Digest(bytes)}, {"size", bytes.size()}};
  }
};

// `body`, or the part of it that a Range header asks for.
inline HttpTestServer::Response Ranged(const HttpTestServer::Request& request,
                                       const std::string& body) {
  const std::string range = request.Header("range");
  absl::string_view rest = range;
  size_t start = 0;
  if (!absl::ConsumePrefix(&rest, "bytes=") || !absl::ConsumeSuffix(&rest, "-") ||
      !absl::SimpleAtoi(rest, &start)) {
    return {.body = body};
  }
  const std::string content_range =
      absl::StrCat("bytes ", start, "-", body.size() - 1, "/", body.size());
  return {.status = 206, .headers = {{"Content-Range", content_range}}, .body = body.substr(start)};
}

// The answers of an honest registry for repository "team/app" with the tags "1" (an index) and
// "plain" (a manifest).
inline HttpTestServer::Response Serve(const FakeImage& image,
                                      const HttpTestServer::Request& request) {
  absl::string_view object = request.path;
  if (!absl::ConsumePrefix(&object, "/v2/team/app/")) return {.status = 404};
  if (absl::ConsumePrefix(&object, "manifests/")) {
    if (object == "1" || object == Sha256Digest(image.index)) {
      return {.headers = {{"Content-Type", kOciIndex}}, .body = image.index};
    }
    if (object == "plain" || object == Sha256Digest(image.manifest)) {
      return {.headers = {{"Content-Type", kOciManifest}}, .body = image.manifest};
    }
    return {.status = 404,
            .body = R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such tag"}]})"};
  }
  if (object == absl::StrCat("blobs/", Sha256Digest(image.config))) return {.body = image.config};
  if (object == absl::StrCat("blobs/", image.layer_descriptor.digest)) {
    return Ranged(request, image.layer);
  }
  return {.status = 404};
}

// A certs.d directory and sessions that read it.
class RegistryFixture : public ::testing::Test {
 protected:
  // Declares the hosts of `registry` with the text of a hosts.toml.
  void Configure(const std::string& registry, const std::string& toml) {
    const std::string directory = absl::StrCat(certs_.path(), "/", registry);
    ASSERT_OK(MakeDirs(directory));
    ASSERT_OK(AtomicWriteFile(directory + "/hosts.toml", toml, 0644, Durability::kNone));
  }

  std::unique_ptr<RegistrySession> Open(const std::string& reference,
                                        const RegistryAuth& auth = {}) {
    if (registry_ == nullptr) {
      auto created = Registry::Create({.config_dirs = {certs_.path()}, .stall_timeout = stall_});
      EXPECT_OK(created);
      registry_ = std::move(created).value();
    }
    auto parsed = ImageReference::Parse(reference);
    EXPECT_OK(parsed);
    auto session = registry_->Open(*parsed, auth);
    EXPECT_OK(session);
    return std::move(session).value();
  }

  static Operation Soon() { return Operation(absl::Now() + absl::Seconds(20)); }

  TempDir certs_;
  FakeImage image_;
  absl::Duration stall_ = absl::Seconds(10);
  std::unique_ptr<Registry> registry_;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_TESTING_REGISTRY_TEST_UTIL_H_
