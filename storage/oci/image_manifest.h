#ifndef CRISP_STORAGE_OCI_IMAGE_MANIFEST_H_
#define CRISP_STORAGE_OCI_IMAGE_MANIFEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace crisp::storage {

// The documents of an image: index → manifest → config and layers, OCI and Docker schema 2. Every
// parser takes bytes from outside. It is bounded and typed, and never crashes. It returns
// InvalidArgument naming what is wrong, or ResourceExhausted for a document that is too large.
// Thread-safe.

constexpr size_t kMaxManifestBytes = 4u << 20;
constexpr size_t kMaxConfigBytes = 8u << 20;
constexpr int kMaxIndexDepth = 3;
constexpr size_t kMaxLayers = 500;
constexpr size_t kMaxIndexEntries = 1000;

inline constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";
inline constexpr char kOciManifest[] = "application/vnd.oci.image.manifest.v1+json";
inline constexpr char kOciConfig[] = "application/vnd.oci.image.config.v1+json";
inline constexpr char kOciLayer[] = "application/vnd.oci.image.layer.v1.tar";
inline constexpr char kOciLayerGzip[] = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr char kOciLayerZstd[] = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr char kDockerList[] = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr char kDockerManifest[] = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr char kDockerConfig[] = "application/vnd.docker.container.image.v1+json";
inline constexpr char kDockerLayer[] = "application/vnd.docker.image.rootfs.diff.tar";
inline constexpr char kDockerLayerGzip[] = "application/vnd.docker.image.rootfs.diff.tar.gzip";

bool IsIndexType(absl::string_view media_type);
bool IsManifestType(absl::string_view media_type);

enum class Compression { kNone, kGzip, kZstd };
// The compression of a layer's media type, non-distributable ones included. InvalidArgument for a
// type that is not a layer's, or is encrypted.
absl::StatusOr<Compression> LayerCompression(absl::string_view media_type);

struct Descriptor {
  std::string media_type;
  std::string digest;  // "sha256:…" or "sha512:…", always valid in what a parser returned
  uint64_t size = 0;   // bytes
  // Other places of a layer that must not be distributed, as the image gives them.
  std::vector<std::string> urls = {};

  bool operator==(const Descriptor&) const = default;
};

struct Platform {
  std::string os;            // "linux"
  std::string architecture;  // "amd64", "arm64", "arm", …; GOARCH names
  std::string variant;       // "v8", "v7", …; may be empty

  bool operator==(const Platform&) const = default;
};
// The platform that this program was built for.
Platform HostPlatform();

struct IndexEntry {
  Descriptor descriptor;
  Platform platform;       // empty strings when the entry names none
  std::string ref_name;    // annotation org.opencontainers.image.ref.name
  std::string image_name;  // annotation io.containerd.image.name
};

struct ImageIndex {
  std::string media_type;
  std::vector<IndexEntry> entries;  // in document order
};

struct ImageManifest {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // bottom first; every media type is a known layer type
};

struct ConfigHistory {
  std::string created_by;
  std::string comment;
  absl::Time created = absl::UnixEpoch();
  bool empty_layer = false;
};

struct ImageConfig {
  Platform platform;
  absl::Time created = absl::UnixEpoch();
  std::string user;
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> volumes;   // sorted
  std::vector<std::string> diff_ids;  // bottom first, valid digests
  std::vector<ConfigHistory> history;
};

// The document's media type. It is the "mediaType" member, which must equal `declared`: a
// Content-Type or a descriptor's media type. Parameters after ';' are ignored, and "",
// "application/json", "application/octet-stream" and "text/plain" declare nothing. If the body
// names none, the type is `declared`, or follows from the members. InvalidArgument if body and
// declaration disagree, if it has both "manifests" and "layers" or members of the other kind, and
// for Docker schema 1.
absl::StatusOr<std::string> DocumentMediaType(absl::string_view bytes, absl::string_view declared);

// `declared` as above.
absl::StatusOr<ImageIndex> ParseIndex(absl::string_view bytes, absl::string_view declared = "");
absl::StatusOr<ImageManifest> ParseManifest(absl::string_view bytes,
                                            absl::string_view declared = "");
absl::StatusOr<ImageConfig> ParseImageConfig(absl::string_view bytes);

// True if the manifest describes something other than a container image: an SBOM, a signature, a
// chart. False if the bytes are not a manifest.
bool IsArtifact(absl::string_view manifest_bytes);

// Checks that one image's documents fit together: as many layers as diff_ids, and an image for
// linux. InvalidArgument otherwise. The architecture is not compared, because images that are
// labelled wrongly, and foreign ones under binfmt_misc, run under other runtimes too.
absl::Status CheckImage(const ImageManifest& manifest, const ImageConfig& config);

// The best entry for `platform`. That is one of the same os and architecture, with the highest
// variant that the platform still runs, and of equals the first. Then comes its 32-bit sibling (386
// beside amd64, arm beside arm64), which the same processors run. Entries without a platform come
// last. Attestations ("unknown/unknown") are never chosen. NotFound, listing the platforms of the
// index.
absl::StatusOr<IndexEntry> ChoosePlatform(const ImageIndex& index, const Platform& platform);

// "linux/arm64/v8".
std::string PlatformString(const Platform& platform);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_OCI_IMAGE_MANIFEST_H_
