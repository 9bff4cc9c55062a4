#include "storage/oci/image_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/testing/status_matchers.h"
#include "storage/oci/digest.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string Digest(char c) { return "sha256:" + std::string(64, c); }

Json Desc(const char* type, char c, int64_t size = 10) {
  return {{"mediaType", type}, {"digest", Digest(c)}, {"size", size}};
}

Json Manifest() {
  return {{"schemaVersion", 2},
          {"mediaType", kOciManifest},
          {"config", Desc(kOciConfig, 'c')},
          {"layers", Json::array({Desc(kOciLayerGzip, '1'), Desc(kOciLayerZstd, '2')})}};
}

Json Entry(char c, const char* architecture, const char* variant = "") {
  Json entry = Desc(kOciManifest, c);
  entry["platform"] = {{"os", "linux"}, {"architecture", architecture}, {"variant", variant}};
  return entry;
}

Json Index(Json entries) {
  return {{"schemaVersion", 2}, {"mediaType", kOciIndex}, {"manifests", std::move(entries)}};
}

TEST(ImageManifestTest, ParsesBothFamilies) {
  ASSERT_OK_AND_ASSIGN(ImageManifest oci, ParseManifest(Manifest().dump(), kOciManifest));
  EXPECT_EQ(oci.config.digest, Digest('c'));
  ASSERT_EQ(oci.layers.size(), 2u);
  EXPECT_EQ(oci.layers[1].digest, Digest('2'));
  EXPECT_EQ(oci.layers[1].size, 10u);

  Json docker = Manifest();
  docker["mediaType"] = kDockerManifest;
  docker["config"]["mediaType"] = kDockerConfig;
  docker["layers"] = Json::array({Desc(kDockerLayerGzip, '3')});
  ASSERT_OK_AND_ASSIGN(
      ImageManifest parsed,
      ParseManifest(docker.dump(), absl::StrCat(kDockerManifest, "; charset=utf-8")));
  EXPECT_EQ(parsed.media_type, kDockerManifest);
}

TEST(ImageManifestTest, TakesTheDeclaredTypeWhenTheBodyNamesNone) {
  Json document = Manifest();
  document.erase("mediaType");
  EXPECT_EQ(ParseManifest(document.dump(), kDockerManifest)->media_type, kDockerManifest);
  EXPECT_EQ(ParseManifest(document.dump(), "application/json")->media_type, kOciManifest);
  EXPECT_THAT(ParseManifest(document.dump(), kOciIndex),
              StatusIs(kInvalid, HasSubstr("ambiguous")));
}

TEST(ImageManifestTest, RefusesAmbiguousDocuments) {
  Json both = Manifest();
  both["manifests"] = Json::array();
  EXPECT_THAT(ParseManifest(both.dump()), StatusIs(kInvalid, HasSubstr("ambiguous")));
  EXPECT_THAT(ParseIndex(both.dump()), StatusIs(kInvalid, HasSubstr("ambiguous")));
  EXPECT_THAT(ParseManifest(Manifest().dump(), kDockerManifest),
              StatusIs(kInvalid, HasSubstr("announced")));
  Json lying = Manifest();
  lying["mediaType"] = kOciIndex;
  EXPECT_THAT(DocumentMediaType(lying.dump(), ""), StatusIs(kInvalid, HasSubstr("ambiguous")));
}

TEST(ImageManifestTest, RefusesOldForeignAndMalformedDocuments) {
  EXPECT_THAT(ParseManifest(R"({"schemaVersion":1,"fsLayers":[]})"), StatusIs(kInvalid));
  EXPECT_THAT(ParseManifest("[]"), StatusIs(kInvalid));
  EXPECT_THAT(ParseManifest("{"), StatusIs(kInvalid));
  Json artifact = Manifest();
  artifact["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json";
  EXPECT_THAT(ParseManifest(artifact.dump()), StatusIs(kInvalid, HasSubstr("artifact")));
  Json encrypted = Manifest();
  encrypted["layers"][0]["mediaType"] = absl::StrCat(kOciLayerGzip, "+encrypted");
  EXPECT_THAT(ParseManifest(encrypted.dump()), StatusIs(kInvalid, HasSubstr("layer")));
  Json bad_digest = Manifest();
  bad_digest["layers"][0]["digest"] = "sha256:../../etc";
  EXPECT_THAT(ParseManifest(bad_digest.dump()), StatusIs(kInvalid, HasSubstr("digest")));
  Json negative = Manifest();
  negative["layers"][0]["size"] = -1;
  EXPECT_THAT(ParseManifest(negative.dump()), StatusIs(kInvalid, HasSubstr("size")));
  Json big_config = Manifest();
  big_config["config"]["size"] = kMaxConfigBytes + 1;
  EXPECT_THAT(ParseManifest(big_config.dump()), StatusIs(kInvalid, HasSubstr("limit")));
}

TEST(ImageManifestTest, BoundsSizeLayersAndEntries) {
  EXPECT_THAT(ParseManifest(std::string(kMaxManifestBytes + 1, ' ')),
              StatusIs(absl::StatusCode::kResourceExhausted));
  Json many = Manifest();
  many["layers"] = Json(kMaxLayers + 1, Desc(kOciLayer, '1'));
  EXPECT_THAT(ParseManifest(many.dump()), StatusIs(kInvalid, HasSubstr("limit")));
  const Json entries(kMaxIndexEntries + 1, Entry('1', "amd64"));
  EXPECT_THAT(ParseIndex(Index(entries).dump()), StatusIs(kInvalid, HasSubstr("limit")));
}

std::string Chosen(const Json& index, const Platform& platform) {
  const auto parsed = ParseIndex(index.dump(), kOciIndex);
  if (!parsed.ok()) return parsed.status().ToString();
  const auto entry = ChoosePlatform(*parsed, platform);
  return entry.ok() ? entry->descriptor.digest : entry.status().ToString();
}

TEST(ChoosePlatformTest, PrefersTheBestVariantThatRuns) {
  const Json arms =
      Index({Entry('5', "arm", "v5"), Entry('7', "arm", "v7"), Entry('6', "arm", "v6"),
             Entry('8', "aarch64", "v8"), Entry('9', "arm64", "v9"), Entry('a', "amd64"),
             Entry('3', "amd64", "v3")});
  EXPECT_EQ(Chosen(arms, {"linux", "arm", "v6"}), Digest('6'));
  EXPECT_EQ(Chosen(arms, {"linux", "arm", "v7"}), Digest('7'));
  EXPECT_EQ(Chosen(arms, {"linux", "arm64", "v8"}), Digest('8'));
  EXPECT_EQ(Chosen(arms, {"linux", "amd64", ""}), Digest('a'));
  EXPECT_THAT(Chosen(arms, {"linux", "s390x", ""}), HasSubstr("linux/arm/v5, linux/arm/v7"));
}

TEST(ChoosePlatformTest, TakesAnonymousEntriesLastAndAttestationsNever) {
  Json attestation = Entry('e', "unknown");
  attestation["platform"]["os"] = "unknown";
  const Json anonymous = Desc(kOciManifest, 'f');
  const Json artifact = Desc("application/x", '0');
  const Json all = Index({artifact, attestation, anonymous, Entry('a', "amd64")});
  EXPECT_EQ(Chosen(all, {"linux", "amd64", ""}), Digest('a'));
  EXPECT_EQ(Chosen(all, {"linux", "arm64", "v8"}), Digest('f'));
  EXPECT_THAT(Chosen(Index({attestation}), {"linux", "amd64", ""}), HasSubstr("NOT_FOUND"));
}

TEST(ChoosePlatformTest, TakesTheThirtyTwoBitSiblingBeforeNothing) {
  const Json small = Index({Entry('3', "386"), Entry('7', "arm", "v7"), Entry('6', "arm", "v6")});
  EXPECT_EQ(Chosen(small, {"linux", "amd64", ""}), Digest('3'));
  EXPECT_EQ(Chosen(small, {"linux", "arm64", "v8"}), Digest('7'));
  EXPECT_THAT(Chosen(small, {"linux", "riscv64", ""}), HasSubstr("NOT_FOUND"));
  EXPECT_EQ(Chosen(Index({Entry('3', "386"), Entry('a', "amd64")}), {"linux", "amd64", ""}),
            Digest('a'));
  EXPECT_EQ(Chosen(Index({Desc(kOciManifest, 'f'), Entry('3', "386")}), {"linux", "amd64", ""}),
            Digest('3'));
  EXPECT_THAT(Chosen(Index(Json::array()), {"linux", "amd64", ""}), HasSubstr("it has: nothing"));
}

TEST(ChoosePlatformTest, HostPlatformIsLinux) { EXPECT_EQ(HostPlatform().os, "linux"); }

// As Go's decoder reads it: U+FFFD for each byte that is no character.
TEST(ImageConfigTest, ReadsBytesThatAreNoText) {
  ASSERT_OK_AND_ASSIGN(
      const ImageConfig config,
      ParseImageConfig(
          "{\"author\":\"Jos\xe9\",\"config\":{\"User\":\"u\",\"Labels\":{\"\xff\":\"\"}}}"));
  EXPECT_EQ(config.user, "u");
  const std::string deep(60, '[');
  EXPECT_OK(ParseImageConfig("{\"vendor\":" + deep + std::string(60, ']') + "}").status());
}

TEST(ImageConfigTest, ReadsWhatAContainerNeeds) {
  const std::string text = absl::StrCat(
      R"({"os":"linux","architecture":"amd64","created":"2024-01-02T03:04:05.5Z","config":{
      "User":"1003:1004","Entrypoint":["/e"],"Cmd":["a","b"],"Env":["K=V"],"WorkingDir":"/w",
      "StopSignal":"SIGINT","Volumes":{"/z":{},"/a":{}},"ExposedPorts":null},
      "rootfs":{"type":"layers","diff_ids":[")",
      Digest('1'), R"("]},
      "history":[{"created_by":"ADD x","comment":"c","created":"junk"},{"empty_layer":true}]})");
  ASSERT_OK_AND_ASSIGN(const ImageConfig config, ParseImageConfig(text));
  EXPECT_EQ(config.user, "1003:1004");
  EXPECT_THAT(config.entrypoint, ElementsAre("/e"));
  EXPECT_THAT(config.command, ElementsAre("a", "b"));
  EXPECT_THAT(config.environment, ElementsAre("K=V"));
  EXPECT_THAT(config.volumes, ElementsAre("/a", "/z"));
  EXPECT_THAT(config.diff_ids, ElementsAre(Digest('1')));
  EXPECT_EQ(absl::ToUnixMillis(config.created), 1704164645500);
  ASSERT_EQ(config.history.size(), 2u);
  EXPECT_EQ(config.history[0].created_by, "ADD x");
  EXPECT_EQ(config.history[0].created, absl::UnixEpoch());
  EXPECT_TRUE(config.history[1].empty_layer);
}

TEST(ImageConfigTest, RefusesWhatCouldMislead) {
  EXPECT_OK(ParseImageConfig("{}"));
  EXPECT_OK(ParseImageConfig(R"({"config":null,"history":null})"));
  EXPECT_THAT(ParseImageConfig(R"({"config":{"User":"root\u0000x"}})"),
              StatusIs(kInvalid, HasSubstr("NUL")));
  EXPECT_THAT(ParseImageConfig(R"({"config":{"Env":["A\u0000=1"]}})"),
              StatusIs(kInvalid, HasSubstr("NUL")));
  EXPECT_THAT(ParseImageConfig(R"({"config":{"Cmd":[1]}})"), StatusIs(kInvalid));
  EXPECT_THAT(ParseImageConfig(R"({"rootfs":{"type":"wat"}})"), StatusIs(kInvalid));
  EXPECT_THAT(ParseImageConfig(R"({"rootfs":{"diff_ids":["sha256:x"]}})"), StatusIs(kInvalid));
  EXPECT_THAT(ParseImageConfig(std::string(kMaxConfigBytes + 1, ' ')),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(CheckImageTest, LayersAndDiffIdsMustMatch) {
  ImageManifest manifest{.layers = {Descriptor{}}};
  ImageConfig config{.platform = {"linux", "amd64", ""}, .diff_ids = {Digest('1')}};
  EXPECT_OK(CheckImage(manifest, config));
  config.diff_ids.clear();
  EXPECT_THAT(CheckImage(manifest, config), StatusIs(kInvalid));
  manifest.layers.clear();
  config.platform.os = "windows";
  EXPECT_THAT(CheckImage(manifest, config), StatusIs(kInvalid, HasSubstr("windows")));
}

}  // namespace
}  // namespace crisp::storage
