#include "storage/oci/image_manifest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/json.h"
#include "base/status.h"
#include "storage/oci/digest.h"

namespace crisp::storage {
namespace {

constexpr char kOciForeign[] = "application/vnd.oci.image.layer.nondistributable.v1.tar";
constexpr char kOciForeignGzip[] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
constexpr char kOciForeignZstd[] = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
constexpr char kDockerForeign[] = "application/vnd.docker.image.rootfs.foreign.diff.tar";
constexpr char kDockerForeignGzip[] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
constexpr char kDockerLayerZstd[] = "application/vnd.docker.image.rootfs.diff.tar.zstd";
constexpr char kOctetStream[] = "application/octet-stream";
// As deep as any real manifest nests, several times over.
constexpr int kMaxDepth = 24;

absl::Status Invalid(absl::string_view what) { return absl::InvalidArgumentError(what); }

// A media type without parameters; empty when it says nothing about the document.
std::string Meaningful(absl::string_view media_type) {
  const std::string type =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(media_type.substr(0, media_type.find(';'))));
  if (type == "application/json" || type == kOctetStream || type == "text/plain") return "";
  return type;
}

bool Has(const Json& document, const char* key) {
  const auto it = document.find(key);
  return it != document.end() && !it->is_null();
}

// The kind of a document, judged by its members alone. The two kinds must never be mixed, or a
// verifier and a runtime could each see another image in the same bytes.
absl::StatusOr<std::string> TypeByMembers(const Json& document) {
  const bool index = Has(document, "manifests");
  const bool manifest = Has(document, "layers") || Has(document, "config");
  if (index && manifest) {
    return Invalid("ambiguous document: it is an index and a manifest at once");
  }
  if (Has(document, "fsLayers")) return Invalid("Docker schema 1 manifests are not supported");
  if (!index && !manifest) return Invalid("document is neither an index nor a manifest");
  return std::string(index ? kOciIndex : kOciManifest);
}

absl::StatusOr<std::string> TypeOf(const Json& document, absl::string_view declared) {
  if (!document.is_object()) return Invalid("document is not a JSON object");
  CRISP_ASSIGN_OR_RETURN(const std::string by_members, TypeByMembers(document));
  CRISP_ASSIGN_OR_RETURN(const int64_t schema, JsonInt(document, "schemaVersion"));
  if (schema != 2) return Invalid(absl::StrCat("schemaVersion is ", schema, ", not 2"));

  CRISP_ASSIGN_OR_RETURN(const std::string body, JsonString(document, "mediaType"));
  const std::string outside = Meaningful(declared);
  if (!body.empty() && !outside.empty() && body != outside) {
    return Invalid(absl::StrCat("document calls itself ", absl::CHexEscape(body),
                                " but was announced as ", absl::CHexEscape(outside)));
  }
  const std::string type = !body.empty() ? body : !outside.empty() ? outside : by_members;
  if (!IsIndexType(type) && !IsManifestType(type)) {
    return Invalid(absl::StrCat("unknown media type ", absl::CHexEscape(type)));
  }
  if (IsIndexType(type) != (by_members == kOciIndex)) {
    return Invalid(absl::StrCat("ambiguous document: its members are not those of ", type));
  }
  return type;
}

absl::StatusOr<Descriptor> ParseDescriptor(const Json& json) {
  if (!json.is_object()) return Invalid("descriptor is not a JSON object");
  Descriptor descriptor;
  CRISP_ASSIGN_OR_RETURN(descriptor.media_type, JsonString(json, "mediaType"));
  CRISP_ASSIGN_OR_RETURN(descriptor.digest, JsonString(json, "digest"));
  CRISP_RETURN_IF_ERROR(CheckDigest(descriptor.digest));
  CRISP_ASSIGN_OR_RETURN(const int64_t size, JsonInt(json, "size", -1));
  if (size < 0) return Invalid(absl::StrCat("descriptor of ", descriptor.digest, " has no size"));
  descriptor.size = static_cast<uint64_t>(size);
  return descriptor;
}

std::string NormalArchitecture(std::string name) {
  name = absl::AsciiStrToLower(name);
  if (name == "x86_64" || name == "x86-64") return "amd64";
  if (name == "aarch64") return "arm64";
  if (name == "i386") return "386";
  return name;
}

absl::StatusOr<Platform> ParsePlatform(const Json& json) {
  Platform platform;
  CRISP_ASSIGN_OR_RETURN(platform.os, JsonString(json, "os"));
  platform.os = absl::AsciiStrToLower(platform.os);
  CRISP_ASSIGN_OR_RETURN(platform.architecture, JsonString(json, "architecture"));
  platform.architecture = NormalArchitecture(std::move(platform.architecture));
  CRISP_ASSIGN_OR_RETURN(platform.variant, JsonString(json, "variant"));
  return platform;
}

absl::StatusOr<IndexEntry> ParseIndexEntry(const Json& json) {
  IndexEntry entry;
  CRISP_ASSIGN_OR_RETURN(entry.descriptor, ParseDescriptor(json));
  CRISP_ASSIGN_OR_RETURN(const Json* platform, JsonObject(json, "platform"));
  CRISP_ASSIGN_OR_RETURN(entry.platform, ParsePlatform(*platform));
  CRISP_ASSIGN_OR_RETURN(const Json* annotations, JsonObject(json, "annotations"));
  CRISP_ASSIGN_OR_RETURN(entry.ref_name,
                         JsonString(*annotations, "org.opencontainers.image.ref.name"));
  CRISP_ASSIGN_OR_RETURN(entry.image_name, JsonString(*annotations, "io.containerd.image.name"));
  return entry;
}

// The generation in "v8" or "v8.2" of an architecture; its baseline when none is named, -1 for what
// is no generation.
int VariantRank(absl::string_view architecture, absl::string_view variant) {
  if (variant.empty()) return architecture == "arm64" ? 8 : architecture == "arm" ? 7 : 1;
  int rank = 0;
  if (!absl::ConsumePrefix(&variant, "v")) return -1;
  return absl::SimpleAtoi(variant.substr(0, variant.find('.')), &rank) && rank >= 0 ? rank : -1;
}

// How well an entry suits a platform.
constexpr int kUnfit = -2;
constexpr int kAnonymous = -1;
constexpr int kSameArchitecture = 1000;  // and its variant

int PlatformRank(const Platform& platform, const Platform& is) {
  if (is.os != platform.os) return kUnfit;
  const int rank = VariantRank(is.architecture, is.variant);
  if (rank < 0) return kUnfit;
  if (is.architecture == platform.architecture) {
    return rank <= VariantRank(platform.architecture, platform.variant) ? kSameArchitecture + rank
                                                                        : kUnfit;
  }
  const bool sibling = (platform.architecture == "amd64" && is.architecture == "386") ||
                       (platform.architecture == "arm64" && is.architecture == "arm");
  return sibling && rank < kSameArchitecture ? rank : kUnfit;
}

constexpr size_t kMaxUrls = 8;

bool IsForeign(absl::string_view type) {
  return type == kOciForeign || type == kOciForeignGzip || type == kOciForeignZstd ||
         type == kDockerForeign || type == kDockerForeignGzip;
}

// The first schema 2 clients pushed configs as octet streams.
bool IsConfigType(absl::string_view type) {
  return type == kOciConfig || type == kDockerConfig || type == kOctetStream;
}

}  // namespace

bool IsIndexType(absl::string_view media_type) {
  return media_type == kOciIndex || media_type == kDockerList;
}

bool IsManifestType(absl::string_view media_type) {
  return media_type == kOciManifest || media_type == kDockerManifest;
}

absl::StatusOr<Compression> LayerCompression(absl::string_view media_type) {
  if (media_type == kOciLayer || media_type == kDockerLayer || media_type == kOciForeign ||
      media_type == kDockerForeign) {
    return Compression::kNone;
  }
  if (media_type == kOciLayerGzip || media_type == kDockerLayerGzip ||
      media_type == kOciForeignGzip || media_type == kDockerForeignGzip) {
    return Compression::kGzip;
  }
  if (media_type == kOciLayerZstd || media_type == kDockerLayerZstd ||
      media_type == kOciForeignZstd) {
    return Compression::kZstd;
  }
  return Invalid(absl::StrCat("\"", absl::CHexEscape(media_type.substr(0, 200)),
                              "\" is not a media type of a container image's layer"));
}

Platform HostPlatform() {
#if defined(__x86_64__)
  return {.os = "linux", .architecture = "amd64"};
#elif defined(__aarch64__)
  return {.os = "linux", .architecture = "arm64", .variant = "v8"};
#elif defined(__arm__)
  return {.os = "linux", .architecture = "arm", .variant = absl::StrCat("v", __ARM_ARCH)};
#elif defined(__i386__)
  return {.os = "linux", .architecture = "386"};
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  return {.os = "linux", .architecture = "ppc64le"};
#elif defined(__s390x__)
  return {.os = "linux", .architecture = "s390x"};
#elif defined(__riscv) && __riscv_xlen == 64
  return {.os = "linux", .architecture = "riscv64"};
#elif defined(__loongarch64)
  return {.os = "linux", .architecture = "loong64"};
#else
#error "name this architecture as the OCI image specification does"
#endif
}

std::string PlatformString(const Platform& platform) {
  return absl::StrCat(platform.os.empty() ? "unknown" : platform.os, "/",
                      platform.architecture.empty() ? "unknown" : platform.architecture,
                      platform.variant.empty() ? "" : "/", platform.variant);
}

absl::StatusOr<std::string> DocumentMediaType(absl::string_view bytes, absl::string_view declared) {
  CRISP_ASSIGN_OR_RETURN(const Json document, ParseJson(bytes, {kMaxManifestBytes, kMaxDepth}));
  return TypeOf(document, declared);
}

absl::StatusOr<ImageIndex> ParseIndex(absl::string_view bytes, absl::string_view declared) {
  CRISP_ASSIGN_OR_RETURN(const Json document, ParseJson(bytes, {kMaxManifestBytes, kMaxDepth}));
  ImageIndex index;
  CRISP_ASSIGN_OR_RETURN(index.media_type, TypeOf(document, declared));
  if (!IsIndexType(index.media_type)) return Invalid("document is a manifest, not an index");
  CRISP_ASSIGN_OR_RETURN(const Json* entries, JsonArray(document, "manifests"));
  if (entries->size() > kMaxIndexEntries) {
    return Invalid(
        absl::StrCat("index of ", entries->size(), " entries, the limit is ", kMaxIndexEntries));
  }
  for (const Json& json : *entries) {
    CRISP_ASSIGN_OR_RETURN(IndexEntry entry, ParseIndexEntry(json));
    index.entries.push_back(std::move(entry));
  }
  return index;
}

absl::StatusOr<ImageManifest> ParseManifest(absl::string_view bytes, absl::string_view declared) {
  CRISP_ASSIGN_OR_RETURN(const Json document, ParseJson(bytes, {kMaxManifestBytes, kMaxDepth}));
  ImageManifest manifest;
  CRISP_ASSIGN_OR_RETURN(manifest.media_type, TypeOf(document, declared));
  if (!IsManifestType(manifest.media_type)) return Invalid("document is an index, not a manifest");
  CRISP_ASSIGN_OR_RETURN(const Json* config, JsonObject(document, "config"));
  CRISP_ASSIGN_OR_RETURN(manifest.config, ParseDescriptor(*config));
  const std::string& type = manifest.config.media_type;
  if (!IsConfigType(type)) {
    return Invalid(absl::StrCat("an artifact, no container image: its config is of media type ",
                                absl::CHexEscape(type.substr(0, 200))));
  }
  if (manifest.config.size > kMaxConfigBytes) {
    return Invalid(
        absl::StrCat("config of ", manifest.config.size, " bytes, the limit is ", kMaxConfigBytes));
  }
  CRISP_ASSIGN_OR_RETURN(const Json* layers, JsonArray(document, "layers"));
  if (layers->size() > kMaxLayers) {
    return Invalid(absl::StrCat(layers->size(), " layers, the limit is ", kMaxLayers));
  }
  for (const Json& json : *layers) {
    CRISP_ASSIGN_OR_RETURN(Descriptor layer, ParseDescriptor(json));
    CRISP_RETURN_IF_ERROR(LayerCompression(layer.media_type).status());
    CRISP_ASSIGN_OR_RETURN(const Json* urls, JsonArray(json, "urls"));
    for (const Json& url : *urls) {
      if (!IsForeign(layer.media_type) || layer.urls.size() == kMaxUrls) break;
      if (url.is_string()) layer.urls.push_back(url.get<std::string>());
    }
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

bool IsArtifact(absl::string_view manifest_bytes) {
  const absl::StatusOr<Json> document = ParseJson(manifest_bytes, {kMaxManifestBytes, kMaxDepth});
  if (!document.ok() || !document->is_object()) return false;
  const absl::StatusOr<const Json*> config = JsonObject(*document, "config");
  if (!config.ok() || !Has(*document, "config")) return false;
  return !IsConfigType(JsonString(**config, "mediaType").value_or(""));
}

absl::StatusOr<IndexEntry> ChoosePlatform(const ImageIndex& index, const Platform& platform) {
  const IndexEntry* best = nullptr;
  int best_rank = kUnfit;
  std::vector<std::string> offered;
  for (const IndexEntry& entry : index.entries) {
    const std::string& type = entry.descriptor.media_type;
    if (!IsIndexType(type) && !IsManifestType(type)) continue;
    const Platform& is = entry.platform;
    const bool anonymous = is.os.empty() && is.architecture.empty();
    if (!anonymous) offered.push_back(PlatformString(is));
    const int rank = anonymous ? kAnonymous : PlatformRank(platform, is);
    if (rank > best_rank) {
      best = &entry;
      best_rank = rank;
    }
  }
  if (best != nullptr) return *best;
  return absl::NotFoundError(absl::StrCat(
      "no image for ", PlatformString(platform),
      " in the index; it has: ", offered.empty() ? "nothing" : absl::StrJoin(offered, ", ")));
}

absl::Status CheckImage(const ImageManifest& manifest, const ImageConfig& config) {
  if (manifest.layers.size() != config.diff_ids.size()) {
    return Invalid(absl::StrCat("manifest has ", manifest.layers.size(),
                                " layers, its config names ", config.diff_ids.size()));
  }
  if (!config.platform.os.empty() && config.platform.os != "linux") {
    return Invalid(absl::StrCat("image is for ", PlatformString(config.platform)));
  }
  return absl::OkStatus();
}

}  // namespace crisp::storage
