#ifndef CRISP_STORAGE_IMAGE_IMAGE_ARCHIVE_H_
#define CRISP_STORAGE_IMAGE_IMAGE_ARCHIVE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/registry/registry.h"

namespace crisp::storage {

// One image of an archive: its documents and its future names.
struct ArchivedImage {
  ResolvedImage image;
  std::vector<std::string> names;  // repo tags and repo digests, normalised; may be empty
};

// One image as `docker save` lists it in manifest.json.
struct DockerArchiveEntry {
  std::string config;  // paths inside the archive
  std::vector<std::string> layers;
  std::vector<std::string> tags;  // as written
};
// Parses bytes from outside. InvalidArgument for anything but the documented form,
// ResourceExhausted for too much.
absl::StatusOr<std::vector<DockerArchiveEntry>> ParseDockerManifest(absl::string_view bytes);

// An OCI layout or `docker save` archive that was unpacked into a directory whose contents are not
// trusted. Files are opened within it only, and every digest is checked. As a RegistrySession it
// serves the layers; Resolve() is not for use.
class ImageArchive : public RegistrySession {
 public:
  // `dir_fd` is the unpacked archive.
  explicit ImageArchive(int dir_fd) : dir_(dir_fd) {}

  // The images of the archive. Artifacts (SBOMs, signatures) that lie beside images in a layout are
  // passed over. Of several platforms under one name, or without any, this node's is taken.
  // InvalidArgument if the archive is of neither kind, malformed, or has no image; DataLoss if a
  // digest does not match.
  absl::StatusOr<std::vector<ArchivedImage>> Images(const Operation& operation);

  absl::StatusOr<ResolvedImage> Resolve(const Operation& operation,
                                        const OnLayers& on_layers) override;
  absl::Status FetchBlob(const Descriptor& blob,
                         const std::function<absl::Status(absl::string_view)>& sink,
                         const Operation& operation) override;

 private:
  absl::StatusOr<std::string> ReadDocument(const std::string& path, size_t limit);
  absl::StatusOr<std::string> ReadBlob(const Descriptor& blob, size_t limit);
  absl::StatusOr<ArchivedImage> FromDocker(const DockerArchiveEntry& entry,
                                           const Operation& operation);
  absl::Status FromLayout(const ImageIndex& index, std::vector<ArchivedImage>& images);
  // The image of an entry of a layout, through indexes of platforms. nullopt if it is not an image.
  absl::StatusOr<std::optional<ArchivedImage>> FromEntry(const IndexEntry& entry, int depth);
  absl::StatusOr<ArchivedImage> FromManifest(const Descriptor& descriptor);
  absl::StatusOr<Descriptor> DescribeLayer(const std::string& path, const Operation& operation);
  absl::Status Stream(const std::string& path,
                      const std::function<absl::Status(absl::string_view)>& sink,
                      const Operation& operation);

  int dir_;
  std::map<std::string, std::string> paths_;  // digest → file, of a docker archive
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_IMAGE_IMAGE_ARCHIVE_H_
