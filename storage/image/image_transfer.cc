// Import and export of archives.
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "storage/forms/layer_forms.h"
#include "storage/image/image_archive.h"
#include "storage/image/image_store_impl.h"
#include "storage/image/layer_fetch.h"
#include "storage/oci/digest.h"
#include "storage/unpack/layer_unpack.h"

namespace crisp::storage {
namespace {

Json DescriptorJson(const Descriptor& descriptor) {
  return {{"mediaType", descriptor.media_type},
          {"digest", descriptor.digest},
          {"size", descriptor.size}};
}

Descriptor Describe(absl::string_view media_type, absl::string_view bytes) {
  return {
      .media_type = std::string(media_type), .digest = Sha256Digest(bytes), .size = bytes.size()};
}

std::string BlobName(absl::string_view digest) {
  return absl::StrCat("blobs/sha256/", DigestHex(digest));
}

// Writes members to a descriptor. Sizes beyond 8 GiB need pax, the rest is plain ustar.
class TarWriter {
 public:
  TarWriter(int fd, const Operation& operation)
      : fd_(fd), operation_(operation), archive_(archive_write_new(), archive_write_free) {
    archive_write_set_format_pax_restricted(archive_.get());
    archive_write_open(archive_.get(), this, nullptr, &TarWriter::Output, nullptr);
  }

  absl::Status Add(const std::string& name, absl::string_view bytes) {
    if (!names_.insert(name).second) return absl::OkStatus();
    CRISP_RETURN_IF_ERROR(Begin(name, bytes.size()));
    return Data(bytes);
  }
  absl::Status AddFile(const std::string& name, const std::string& path, uint64_t size) {
    if (!names_.insert(name).second) return absl::OkStatus();
    CRISP_ASSIGN_OR_RETURN(const UniqueFd file, crisp::Open(path, O_RDONLY));
    CRISP_RETURN_IF_ERROR(Begin(name, size));
    std::vector<char> buffer(256 << 10);
    while (true) {
      const ssize_t n = read(file.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, absl::StrCat("read ", path));
      if (n == 0) return absl::OkStatus();
      CRISP_RETURN_IF_ERROR(Data({buffer.data(), static_cast<size_t>(n)}));
    }
  }
  // `produce` hands `size` bytes to what it is given.
  using Sink = std::function<absl::Status(absl::string_view)>;
  absl::Status AddStream(const std::string& name,
                         uint64_t size,
                         const std::function<absl::Status(const Sink&)>& produce) {
    if (!names_.insert(name).second) return absl::OkStatus();
    CRISP_RETURN_IF_ERROR(Begin(name, size));
    return produce([this](absl::string_view bytes) { return Data(bytes); });
  }
  absl::Status Finish() {
    return archive_write_close(archive_.get()) == ARCHIVE_OK ? absl::OkStatus() : Error("finish");
  }

 private:
  static la_ssize_t Output(struct archive* archive, void* self, const void* data, size_t size) {
    auto* writer = static_cast<TarWriter*>(self);
    writer->status_ = writer->operation_.Check("export");
    if (writer->status_.ok()) {
      writer->status_ =
          WriteAll(writer->fd_, {static_cast<const char*>(data), size}, "the archive");
    }
    if (writer->status_.ok()) return static_cast<la_ssize_t>(size);
    archive_set_error(archive, EIO, "output failed");
    return -1;
  }
  absl::Status Error(absl::string_view what) {
    if (!status_.ok()) return status_;
    return absl::InternalError(
        absl::StrCat("export: ", what, ": ", archive_error_string(archive_.get())));
  }
  absl::Status Begin(const std::string& name, uint64_t size) {
    const std::unique_ptr<struct archive_entry, void (*)(struct archive_entry*)> entry(
        archive_entry_new(), archive_entry_free);
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_mtime(entry.get(), 0, 0);  // the same image gives the same archive
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
    return archive_write_header(archive_.get(), entry.get()) == ARCHIVE_OK ? absl::OkStatus()
                                                                           : Error(name);
  }
  absl::Status Data(absl::string_view bytes) {
    const la_ssize_t n = archive_write_data(archive_.get(), bytes.data(), bytes.size());
    if (n < 0 || static_cast<size_t>(n) != bytes.size()) return Error("write data");
    return absl::OkStatus();
  }

  const int fd_;
  const Operation& operation_;
  absl::Status status_;
  std::set<std::string> names_;
  // Last: closing it still writes.
  std::unique_ptr<struct archive, int (*)(struct archive*)> archive_;
};

struct ExportIndex {
  Json oci = {{"schemaVersion", 2}, {"mediaType", kOciIndex}, {"manifests", Json::array()}};
  Json docker = Json::array();
};

// The manifest as pulled, but with the layers' blobs that are at hand (another image brought the
// same layer, compressed otherwise). The config, and so the id, stays.
absl::StatusOr<std::string> ExportManifest(const ImageRecord& image,
                                           const std::vector<LayerRecord>& layers) {
  CRISP_ASSIGN_OR_RETURN(Json json, ParseJson(image.manifest_bytes));
  bool same = true;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!layers[i].blob_kept || layers[i].blob_digest == image.manifest.layers[i].digest) continue;
    same = false;
    json["layers"][i]["digest"] = layers[i].blob_digest;
    json["layers"][i]["size"] = layers[i].blob_size;
  }
  return same ? image.manifest_bytes : DumpJson(json);
}

using FetchLayer =
    std::function<absl::Status(const Descriptor& layer, const TarWriter::Sink& sink)>;

using FindIndex = std::function<absl::StatusOr<ImageCatalog::Index>(absl::string_view digest)>;

absl::Status ExportImage(const ImageRecord& image,
                         const std::vector<std::string>& names,
                         const std::vector<LayerRecord>& layers,
                         const StorePaths& paths,
                         const FetchLayer& fetch,
                         const FindIndex& find_index,
                         TarWriter& tar,
                         ExportIndex& index) {
  CRISP_ASSIGN_OR_RETURN(const std::string manifest, ExportManifest(image, layers));
  Json docker_layers = Json::array();
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerRecord& layer = layers[i];
    const Descriptor& pulled = image.manifest.layers[i];
    const std::string name = BlobName(layer.blob_kept ? layer.blob_digest : pulled.digest);
    CRISP_RETURN_IF_ERROR(layer.blob_kept
                              ? tar.AddFile(name, paths.Blob(layer.blob_digest), layer.blob_size)
                              : tar.AddStream(name, pulled.size, [&](const auto& sink) {
                                  return fetch(pulled, sink);
                                }));
    docker_layers.push_back(name);
  }
  CRISP_RETURN_IF_ERROR(tar.Add(BlobName(image.image.id), image.image.config_json));
  const Descriptor descriptor = Describe(image.manifest.media_type, manifest);
  CRISP_RETURN_IF_ERROR(tar.Add(BlobName(descriptor.digest), manifest));
  Json tags = Json::array();
  const size_t listed = index.oci["manifests"].size();
  for (const std::string& name : names) {
    CRISP_ASSIGN_OR_RETURN(const ImageReference reference, ImageReference::Parse(name));
    Json entry = DescriptorJson(descriptor);
    Json annotations = {{"io.containerd.image.name", name}};
    if (reference.digest.empty()) {
      tags.push_back(name);
      annotations["org.opencontainers.image.ref.name"] = reference.tag;
    } else if (reference.digest != descriptor.digest) {
      // It is the index's, or that of a manifest which this archive does not have.
      const absl::StatusOr<ImageCatalog::Index> kept = find_index(reference.digest);
      if (!kept.ok() || manifest != image.manifest_bytes) continue;
      entry = {
          {"mediaType", kept->media_type}, {"digest", kept->digest}, {"size", kept->bytes.size()}};
      CRISP_RETURN_IF_ERROR(tar.Add(BlobName(kept->digest), kept->bytes));
    }
    entry["annotations"] = std::move(annotations);
    index.oci["manifests"].push_back(std::move(entry));
  }
  if (index.oci["manifests"].size() == listed)
    index.oci["manifests"].push_back(DescriptorJson(descriptor));
  index.docker.push_back({{"Config", BlobName(image.image.id)},
                          {"RepoTags", std::move(tags)},
                          {"Layers", std::move(docker_layers)}});
  return absl::OkStatus();
}

}  // namespace

absl::Status ImageStoreImpl::FetchAgain(const ImageRecord& image,
                                        const Descriptor& layer,
                                        const std::function<absl::Status(absl::string_view)>& sink,
                                        const Operation& operation) {
  std::vector<std::string> names = image.image.repo_digests;
  names.insert(names.end(), image.image.repo_tags.begin(), image.image.repo_tags.end());
  absl::Status last = absl::FailedPreconditionError("it has no name to ask a registry by");
  bool begun = false;
  const auto pass_on = [&](absl::string_view bytes) {
    begun = true;
    return sink(bytes);
  };
  for (const std::string& name : names) {
    CRISP_ASSIGN_OR_RETURN(const ImageReference reference, ImageReference::Parse(name));
    CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<RegistrySession> session,
                           registry_->Open(reference, {}));
    last = session->FetchBlob(layer, pass_on, operation);
    // Bytes that were written to the archive cannot be taken back.
    if (last.ok() || begun) break;
    CRISP_RETURN_IF_ERROR(operation.Check("export"));
  }
  return Annotate(
      last, absl::StrCat("export ", image.image.id, ": fetch a layer, which is not kept, again"));
}

// By image: what it is asked for by.
absl::StatusOr<std::map<std::string, std::vector<std::string>>> ImageStoreImpl::ExportedNames(
    const std::vector<std::string>& references) {
  std::map<std::string, std::vector<std::string>> wanted;
  for (const std::string& reference : references) {
    CRISP_ASSIGN_OR_RETURN(const ImagePtr image, catalog_->Find(reference));
    std::vector<std::string>& names = wanted[image->image.id];
    std::vector<std::string> all = image->image.repo_tags;
    all.insert(all.end(), image->image.repo_digests.begin(), image->image.repo_digests.end());
    const absl::StatusOr<ImageReference> parsed = ImageReference::Parse(reference);
    std::string named;
    if (parsed.ok())
      named = parsed->digest.empty() ? parsed->RepoTag() : parsed->RepoDigest(parsed->digest);
    const bool by_name = std::find(all.begin(), all.end(), named) != all.end();
    for (const std::string& name : by_name ? std::vector<std::string>{named} : all) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return wanted;
}

absl::Status ImageStoreImpl::Export(const std::vector<std::string>& references,
                                    int fd,
                                    const Operation& operation) {
  TarWriter tar(fd, operation);
  ExportIndex index;
  std::set<std::string> done;
  CRISP_ASSIGN_OR_RETURN(const auto names, ExportedNames(references));
  for (const std::string& reference : references) {
    CRISP_ASSIGN_OR_RETURN(const ImagePtr image, catalog_->Find(reference));
    const auto known = names.find(image->image.id);
    if (known == names.end() || !done.insert(image->image.id).second) continue;
    // Pinned, so that a removal meanwhile takes no blob away.
    CRISP_ASSIGN_OR_RETURN(const std::vector<LayerRecord> layers,
                           layers_->Pin(
                               [&]() -> absl::StatusOr<std::vector<std::string>> {
                                 CRISP_RETURN_IF_ERROR(catalog_->Find(image->image.id).status());
                                 return image->config.diff_ids;
                               },
                               operation));
    auto unpin = absl::MakeCleanup([&] { layers_->Unpin(image->config.diff_ids); });
    const FetchLayer fetch = [&](const Descriptor& layer, const TarWriter::Sink& sink) {
      return FetchAgain(*image, layer, sink, operation);
    };
    const FindIndex find_index = [&](absl::string_view digest) {
      return catalog_->FindIndex(digest);
    };
    CRISP_RETURN_IF_ERROR(
        ExportImage(*image, known->second, layers, paths_, fetch, find_index, tar, index));
  }
  CRISP_RETURN_IF_ERROR(tar.Add("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  CRISP_RETURN_IF_ERROR(tar.Add("index.json", DumpJson(index.oci)));
  CRISP_RETURN_IF_ERROR(tar.Add("manifest.json", DumpJson(index.docker)));
  return tar.Finish();
}

absl::StatusOr<std::vector<std::string>> ImageStoreImpl::Import(int fd,
                                                                const std::string& name,
                                                                const Operation& operation) {
  std::string tag;
  if (!name.empty()) {
    CRISP_ASSIGN_OR_RETURN(tag, TagOf(name, "import as"));
  }
  // The same confined child that unpacks layers unpacks the archive.
  const std::string dir = absl::StrCat(paths_.ingest(), "/", layers_->NextNumber());
  CRISP_RETURN_IF_ERROR(MakeDirs(dir, 0700));
  auto clean = absl::MakeCleanup([&] {
    layers_->TrashSurely(dir);
    WakeBackground();
  });
  CRISP_ASSIGN_OR_RETURN(const UniqueFd target, crisp::Open(dir, O_RDONLY | O_DIRECTORY));
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<UnpackBroker> broker, Broker());
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<LayerUnpack> unpack,
                         LayerUnpack::Start(*broker, Directories(), target.get(), UnpackLimits()));
  std::vector<char> buffer(256 << 10);
  while (true) {
    CRISP_RETURN_IF_ERROR(operation.Check("import"));
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read the archive to import");
    if (n == 0) break;
    CRISP_RETURN_IF_ERROR(Annotate(
        unpack->Write({buffer.data(), static_cast<size_t>(n)}, operation), "read the archive"));
  }
  CRISP_RETURN_IF_ERROR(Annotate(unpack->Finish(operation).status(), "read the archive"));
  return ImportArchive(dir, tag, operation);
}

absl::StatusOr<std::vector<std::string>> ImageStoreImpl::ImportArchive(const std::string& dir,
                                                                       const std::string& tag,
                                                                       const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, crisp::Open(dir, O_RDONLY | O_DIRECTORY));
  ImageArchive archive(fd.get());
  CRISP_ASSIGN_OR_RETURN(std::vector<ArchivedImage> images, archive.Images(operation));
  if (!tag.empty() && images.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("import as ", tag, ": the archive has ",
                                                   images.size(),
                                                   " images, and one can have the name"));
  }
  if (!tag.empty() && !images.empty()) {
    images[0].names.push_back(tag);
    images[0].names.push_back(
        ImageReference::Parse(tag)->RepoDigest(images[0].image.target.digest));
  }
  std::vector<std::string> brought;
  for (const ArchivedImage& image : images) {
    CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<StoreSync> sync, StoreSync::Open(options_.root));
    EarlyLayers none;
    CRISP_ASSIGN_OR_RETURN(const std::string id, Ingest(image.image, archive, *sync, none,
                                                        image.names, Blobs::kKept, operation));
    const auto is_tag = [](const std::string& name) { return name.find('@') == std::string::npos; };
    const bool tagged = std::any_of(image.names.begin(), image.names.end(), is_tag);
    for (const std::string& brings : image.names) {
      if (!tagged || is_tag(brings)) brought.push_back(brings);
    }
    if (image.names.empty()) brought.push_back(id);
  }
  return brought;
}

}  // namespace crisp::storage
