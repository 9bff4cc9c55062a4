#include "storage/image/image_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/json.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "base/utf8.h"
#include "storage/oci/digest.h"

namespace crisp::storage {
namespace {

constexpr size_t kMaxImages = 1000;

absl::StatusOr<std::vector<std::string>> Strings(const Json& object, const char* key) {
  CRISP_ASSIGN_OR_RETURN(const Json* array, JsonArray(object, key));
  std::vector<std::string> strings;
  for (const Json& item : *array) {
    if (!item.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat("manifest.json: ", key, " holds no strings"));
    }
    strings.push_back(item.get<std::string>());
  }
  if (strings.size() > kMaxLayers) {
    return absl::ResourceExhaustedError(absl::StrCat("manifest.json: too many ", key));
  }
  return strings;
}

// The names that one index entry gives the image: containerd's annotation, else a full reference in
// OCI's. The name with the entry's own digest is the image's as well, as after a pull. A digest
// that is not the entry's counts for nothing.
std::vector<std::string> NamesOf(const IndexEntry& entry) {
  for (const std::string& text : {entry.image_name, entry.ref_name}) {
    // A bare tag ("latest") is what OCI allows there; it names no repository.
    if (text.find_first_of("/:@") == std::string::npos) continue;
    const absl::StatusOr<ImageReference> parsed = ImageReference::Parse(text);
    if (!parsed.ok()) continue;
    std::vector<std::string> names;
    if (!parsed->RepoTag().empty()) names.push_back(parsed->RepoTag());
    if (parsed->digest.empty() || parsed->digest == entry.descriptor.digest) {
      names.push_back(parsed->RepoDigest(entry.descriptor.digest));
    }
    return names;
  }
  return {};
}

// Entries that are platforms of one image: those of one name, or all that have none. Of these only
// what this node runs is wanted, if there is any.
std::vector<IndexEntry> ForThisNode(const std::vector<IndexEntry>& entries) {
  std::map<std::string, std::vector<IndexEntry>> by_name;
  std::vector<std::string> order;
  for (const IndexEntry& entry : entries) {
    const std::string name = absl::StrCat(entry.image_name, "\n", entry.ref_name);
    if (by_name.count(name) == 0) order.push_back(name);
    by_name[name].push_back(entry);
  }
  std::vector<IndexEntry> wanted;
  for (const std::string& name : order) {
    const std::vector<IndexEntry>& same = by_name[name];
    bool told = false;  // by an entry of this node's platform
    std::vector<IndexEntry> fit;
    for (const IndexEntry& entry : same) {
      const bool anonymous = entry.platform.os.empty() && entry.platform.architecture.empty();
      const bool fits = ChoosePlatform({.entries = {entry}}, HostPlatform()).ok();
      told |= fits && !anonymous;
      if (fits) fit.push_back(entry);
    }
    const bool named = name != "\n";
    if (told && named) {
      wanted.push_back(*ChoosePlatform({.entries = fit}, HostPlatform()));
    } else {
      const std::vector<IndexEntry>& all = told ? fit : same;
      wanted.insert(wanted.end(), all.begin(), all.end());
    }
  }
  return wanted;
}

bool IsAttestation(const IndexEntry& entry) {
  return entry.platform.os == "unknown" && entry.platform.architecture == "unknown";
}

}  // namespace

absl::StatusOr<std::vector<DockerArchiveEntry>> ParseDockerManifest(absl::string_view bytes) {
  CRISP_ASSIGN_OR_RETURN(const Json json, ParseJson(bytes, {.max_bytes = kMaxManifestBytes}));
  if (!json.is_array()) return absl::InvalidArgumentError("manifest.json: not a list");
  if (json.size() > kMaxImages)
    return absl::ResourceExhaustedError("manifest.json: too many images");
  std::vector<DockerArchiveEntry> entries;
  for (const Json& item : json) {
    if (!item.is_object())
      return absl::InvalidArgumentError("manifest.json: not a list of objects");
    DockerArchiveEntry entry;
    CRISP_ASSIGN_OR_RETURN(entry.config, JsonString(item, "Config"));
    CRISP_ASSIGN_OR_RETURN(entry.layers, Strings(item, "Layers"));
    CRISP_ASSIGN_OR_RETURN(entry.tags, Strings(item, "RepoTags"));
    if (entry.config.empty()) return absl::InvalidArgumentError("manifest.json: no Config");
    entries.push_back(std::move(entry));
  }
  return entries;
}

absl::StatusOr<std::string> ImageArchive::ReadDocument(const std::string& path, size_t limit) {
  // O_NONBLOCK: a FIFO in the archive must not hang us.
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, OpenInRoot(dir_, path, O_RDONLY | O_NONBLOCK));
  struct stat st {};
  if (fstat(fd.get(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(st.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("archive: ", path, " is not a file"));
  }
  return ReadFd(fd.get(), path, limit);
}

absl::StatusOr<std::string> ImageArchive::ReadBlob(const Descriptor& blob, size_t limit) {
  if (blob.size > limit) {
    return absl::ResourceExhaustedError(absl::StrCat("archive: ", blob.digest, " is too large"));
  }
  std::string bytes;
  CRISP_RETURN_IF_ERROR(FetchBlob(
      blob,
      [&](absl::string_view piece) {
        bytes.append(piece.data(), piece.size());
        return absl::OkStatus();
      },
      Operation()));
  return bytes;
}

absl::Status ImageArchive::Stream(const std::string& path,
                                  const std::function<absl::Status(absl::string_view)>& sink,
                                  const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, OpenInRoot(dir_, path, O_RDONLY | O_NONBLOCK));
  struct stat st {};
  if (fstat(fd.get(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(st.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("archive: ", path, " is not a file"));
  }
  std::vector<char> buffer(256 << 10);
  while (true) {
    CRISP_RETURN_IF_ERROR(operation.Check("import"));
    const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, absl::StrCat("read ", path));
    if (n == 0) return absl::OkStatus();
    CRISP_RETURN_IF_ERROR(sink({buffer.data(), static_cast<size_t>(n)}));
  }
}

absl::Status ImageArchive::FetchBlob(const Descriptor& blob,
                                     const std::function<absl::Status(absl::string_view)>& sink,
                                     const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(Verifier verifier, Verifier::Create(blob.digest, blob.size));
  const auto known = paths_.find(blob.digest);
  std::string path;
  if (known != paths_.end()) {
    path = known->second;
  } else {
    const size_t colon = blob.digest.find(':');
    path = absl::StrCat("blobs/", blob.digest.substr(0, colon), "/", DigestHex(blob.digest));
  }
  auto checked = [&](absl::string_view bytes) -> absl::Status {
    CRISP_RETURN_IF_ERROR(verifier.Update(bytes));
    return sink(bytes);
  };
  CRISP_RETURN_IF_ERROR(Stream(path, checked, operation));
  return verifier.Finish();
}

absl::StatusOr<ResolvedImage> ImageArchive::Resolve(const Operation&, const OnLayers&) {
  return absl::FailedPreconditionError("an archive is read by Images()");
}

absl::StatusOr<std::vector<ArchivedImage>> ImageArchive::Images(const Operation& operation) {
  std::vector<ArchivedImage> images;
  absl::StatusOr<std::string> index = ReadDocument("index.json", kMaxManifestBytes);
  if (index.ok()) {
    CRISP_ASSIGN_OR_RETURN(const ImageIndex parsed, ParseIndex(*index, kOciIndex));
    CRISP_RETURN_IF_ERROR(FromLayout(parsed, images));
    return images;
  }
  if (!absl::IsNotFound(index.status())) return index.status();
  absl::StatusOr<std::string> docker = ReadDocument("manifest.json", kMaxManifestBytes);
  if (absl::IsNotFound(docker.status())) {
    return absl::InvalidArgumentError("neither an OCI layout nor a docker archive");
  }
  if (!docker.ok()) return docker.status();
  CRISP_ASSIGN_OR_RETURN(const std::vector<DockerArchiveEntry> entries,
                         ParseDockerManifest(*docker));
  for (const DockerArchiveEntry& entry : entries) {
    CRISP_ASSIGN_OR_RETURN(ArchivedImage image, FromDocker(entry, operation));
    images.push_back(std::move(image));
  }
  return images;
}

// A layout's index lists images, and what else is kept beside them.
absl::Status ImageArchive::FromLayout(const ImageIndex& index, std::vector<ArchivedImage>& images) {
  std::vector<IndexEntry> candidates;
  std::vector<std::string> passed_over;
  for (const IndexEntry& entry : index.entries) {
    const std::string& type = entry.descriptor.media_type;
    const bool possible = (IsIndexType(type) || IsManifestType(type)) && !IsAttestation(entry);
    if (possible) candidates.push_back(entry);
    if (!possible)
      passed_over.push_back(absl::StrCat(entry.descriptor.digest, " (", ShownBytes(type), ")"));
  }
  for (const IndexEntry& entry : ForThisNode(candidates)) {
    absl::StatusOr<std::optional<ArchivedImage>> found = FromEntry(entry, 0);
    if (!found.ok())
      return Annotate(found.status(), absl::StrCat("archive: ", entry.descriptor.digest));
    if (!found->has_value()) {
      passed_over.push_back(absl::StrCat(entry.descriptor.digest, " (an artifact)"));
      continue;
    }
    ArchivedImage image = **std::move(found);
    image.names = NamesOf(entry);
    // `docker save` lists an image once for each of its tags.
    const auto same = std::find_if(images.begin(), images.end(), [&](const ArchivedImage& other) {
      return other.image.manifest.digest == image.image.manifest.digest;
    });
    if (same != images.end()) {
      same->names.insert(same->names.end(), image.names.begin(), image.names.end());
      continue;
    }
    if (images.size() >= kMaxImages)
      return absl::ResourceExhaustedError("archive: too many images");
    images.push_back(std::move(image));
  }
  if (!images.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("archive: no container image in it; it has: ",
                   passed_over.empty() ? "nothing" : absl::StrJoin(passed_over, ", ")));
}

absl::StatusOr<std::optional<ArchivedImage>> ImageArchive::FromEntry(const IndexEntry& entry,
                                                                     int depth) {
  if (depth > kMaxIndexDepth) return absl::InvalidArgumentError("indexes nested too deep");
  CRISP_ASSIGN_OR_RETURN(const std::string bytes, ReadBlob(entry.descriptor, kMaxManifestBytes));
  if (!IsIndexType(entry.descriptor.media_type)) {
    if (IsArtifact(bytes)) return std::nullopt;
    CRISP_ASSIGN_OR_RETURN(ArchivedImage image, FromManifest(entry.descriptor));
    return image;
  }
  CRISP_ASSIGN_OR_RETURN(const ImageIndex index, ParseIndex(bytes, entry.descriptor.media_type));
  CRISP_ASSIGN_OR_RETURN(const IndexEntry chosen, ChoosePlatform(index, HostPlatform()));
  CRISP_ASSIGN_OR_RETURN(std::optional<ArchivedImage> image, FromEntry(chosen, depth + 1));
  if (image) {
    image->image.target = entry.descriptor;
    image->image.target_bytes = bytes;
  }
  return image;
}

absl::StatusOr<ArchivedImage> ImageArchive::FromManifest(const Descriptor& descriptor) {
  ArchivedImage archived;
  ResolvedImage& image = archived.image;
  image.manifest = image.target = descriptor;
  CRISP_ASSIGN_OR_RETURN(image.manifest_bytes, ReadBlob(descriptor, kMaxManifestBytes));
  CRISP_ASSIGN_OR_RETURN(const ImageManifest manifest,
                         ParseManifest(image.manifest_bytes, descriptor.media_type));
  image.target_bytes = image.manifest_bytes;
  image.config = manifest.config;
  image.layers = manifest.layers;
  CRISP_ASSIGN_OR_RETURN(image.config_bytes, ReadBlob(manifest.config, kMaxConfigBytes));
  CRISP_ASSIGN_OR_RETURN(image.image_config, ParseImageConfig(image.config_bytes));
  CRISP_RETURN_IF_ERROR(CheckImage(manifest, image.image_config));
  return archived;
}

absl::StatusOr<Descriptor> ImageArchive::DescribeLayer(const std::string& path,
                                                       const Operation& operation) {
  Descriptor layer{.media_type = kDockerLayer};
  Hasher hasher;
  std::string head;
  CRISP_RETURN_IF_ERROR(Stream(
      path,
      [&](absl::string_view bytes) {
        if (head.empty()) head = std::string(bytes.substr(0, 4));
        hasher.Update(bytes);
        layer.size += bytes.size();
        return absl::OkStatus();
      },
      operation));
  if (head.substr(0, 2) == "\x1f\x8b") layer.media_type = kDockerLayerGzip;
  if (head == "\x28\xb5\x2f\xfd") layer.media_type = kOciLayerZstd;
  layer.digest = hasher.Finish();
  paths_[layer.digest] = path;
  return layer;
}

absl::StatusOr<ArchivedImage> ImageArchive::FromDocker(const DockerArchiveEntry& entry,
                                                       const Operation& operation) {
  ArchivedImage archived;
  ResolvedImage& image = archived.image;
  CRISP_ASSIGN_OR_RETURN(image.config_bytes, ReadDocument(entry.config, kMaxConfigBytes));
  CRISP_ASSIGN_OR_RETURN(image.image_config, ParseImageConfig(image.config_bytes));
  image.config = {.media_type = kDockerConfig,
                  .digest = Sha256Digest(image.config_bytes),
                  .size = image.config_bytes.size()};
  Json manifest = {{"schemaVersion", 2},
                   {"mediaType", kDockerManifest},
                   {"config",
                    {{"mediaType", kDockerConfig},
                     {"digest", image.config.digest},
                     {"size", image.config.size}}},
                   {"layers", Json::array()}};
  for (const std::string& path : entry.layers) {
    CRISP_ASSIGN_OR_RETURN(Descriptor layer, DescribeLayer(path, operation));
    manifest["layers"].push_back(
        {{"mediaType", layer.media_type}, {"digest", layer.digest}, {"size", layer.size}});
    image.layers.push_back(std::move(layer));
  }
  image.manifest_bytes = image.target_bytes = DumpJson(manifest);
  CRISP_ASSIGN_OR_RETURN(const ImageManifest parsed, ParseManifest(image.manifest_bytes));
  CRISP_RETURN_IF_ERROR(CheckImage(parsed, image.image_config));
  image.manifest = image.target = {.media_type = kDockerManifest,
                                   .digest = Sha256Digest(image.manifest_bytes),
                                   .size = image.manifest_bytes.size()};
  for (const std::string& tag : entry.tags) {
    CRISP_ASSIGN_OR_RETURN(const ImageReference reference, ImageReference::Parse(tag));
    if (!reference.RepoTag().empty()) archived.names.push_back(reference.RepoTag());
  }
  return archived;
}

}  // namespace crisp::storage
