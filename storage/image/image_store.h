#ifndef CRISP_STORAGE_IMAGE_IMAGE_STORE_H_
#define CRISP_STORAGE_IMAGE_IMAGE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "storage/values/changes.h"
#include "storage/values/credentials.h"
#include "storage/values/image.h"
#include "storage/values/image_store_options.h"

namespace crisp::storage {

// The node's images: registry pulls, unpacked layers shared between images, per-container writable
// directories, garbage collection. Thread-safe. One process owns a root (an flock guards it;
// FailedPrecondition when another has it). Everything that a method reports as done survives
// kill -9; images also survive power loss (bytes are synced before the name that leads to them).
//
// For example, a container's root from a registry to its end:
//
//   ASSIGN_OR_RETURN(std::string image, store->Pull("busybox", auth, cancel));
//   ASSIGN_OR_RETURN(RootFs root, store->PrepareContainer("c1", image));
//   … an overlay of root.lower_dirs, upper_dir and work_dir; the container runs …
//   store->Remove(image);            // its layers stay, for c1 stands on them
//   store->ReleaseContainer("c1");   // when the overlay is gone: now they are collected
//
// A daemon that starts again finds c1 among PinnedKeys(), asks for its root by the same
// PrepareContainer(), and releases the keys that it does not know.
class ImageStore {
 public:
  static absl::StatusOr<std::unique_ptr<ImageStore>> Open(ImageStoreOptions options);
  virtual ~ImageStore() = default;

  // Pulls `reference` (tag, digest or bare name) and returns the image id. Pulls of the same image
  // join, layers are fetched and unpacked once however many pulls want them. InvalidArgument for a
  // bad reference, NotFound, Unauthenticated/PermissionDenied, DeadlineExceeded (deadline or
  // stall), DataLoss (digest, size or diff_id mismatch), Unavailable with "RegistryUnavailable"
  // first when no host could be reached. No failure leaves a name, and what was fetched partially
  // is collected.
  virtual absl::StatusOr<std::string> Pull(const std::string& reference,
                                           const RegistryAuth& auth,
                                           const Operation& operation) = 0;

  // Finds an image by id, "sha256:" id, unambiguous id prefix, tag, digest or short name. NotFound.
  virtual absl::StatusOr<Image> Find(absl::string_view reference) const = 0;
  // All images, sorted by id, from memory.
  virtual std::vector<Image> List() const = 0;
  // Removes the image with all its names, by any reference to it. Absent is OK. Layers in use by
  // containers stay until those are released; the rest is collected in the background.
  virtual absl::Status Remove(absl::string_view reference) = 0;

  // Gives the image of `reference` the tag `name`, which is taken from the image that had it.
  // Returns the tag in full. InvalidArgument for what is no tag, NotFound without such an image.
  virtual absl::StatusOr<std::string> Tag(absl::string_view reference, const std::string& name) = 0;
  // Takes the tag from its image. The image stays, also without a name. NotFound if none has it,
  // InvalidArgument for what is no tag.
  virtual absl::Status Untag(const std::string& name) = 0;

  // The space that the store occupies. It is cached and refreshed off the path, so it is cheap and
  // may lag seconds.
  virtual FsUsage ImageUsage() const = 0;
  virtual absl::StatusOr<FsUsage> ContainerUsage(absl::string_view container_id) const = 0;
  // Measures the writable directories of these containers now, one after another, however long that
  // takes. Others, and keys that are not known (any more), keep their figures.
  virtual void MeasureContainers(const std::vector<std::string>& keys) = 0;
  // What the container has made of its image, as its writable directory tells. NotFound for a key
  // without one. Waits for the disk; a container that is released meanwhile is NotFound, or its
  // list short.
  virtual absl::StatusOr<Changes> ContainerChanges(absl::string_view container_id,
                                                   const ChangeLimits& limits,
                                                   const Operation& operation) const = 0;
  // Sum over all containers' writable directories.
  virtual FsUsage ContainersUsage() const = 0;

  // Makes the writable directories of a container on `image_id` and pins its layers under
  // `container_id` (any unique key). AlreadyExists is not an error: the same RootFs comes back.
  // NotFound when the image is gone.
  virtual absl::StatusOr<RootFs> PrepareContainer(absl::string_view container_id,
                                                  absl::string_view image_id) = 0;
  // Gives what was prepared under `key` to `container_id`; the directories keep their names.
  // NotFound if nothing is. AlreadyExists, with nothing changed, if that container has something
  // already.
  virtual absl::Status Rekey(absl::string_view key, absl::string_view container_id) = 0;
  // Pins the image's layers under `key` without writable directories (image volumes).
  virtual absl::StatusOr<RootFs> PrepareView(absl::string_view key, absl::string_view image_id) = 0;
  // Unpins the layers and removes the writable directories (renamed away at once, deleted in the
  // background). Absent is OK.
  virtual absl::Status ReleaseContainer(absl::string_view key) = 0;
  // Every key that pins something. Recovery releases those that nobody knows any more.
  virtual std::vector<std::string> PinnedKeys() const = 0;

  virtual absl::StatusOr<std::vector<HistoryEntry>> History(absl::string_view reference) const = 0;

  // Reads an OCI layout or `docker save` tar from `fd`. Returns the references (or ids of untagged
  // images) that it brought. Verified exactly like a pull. `name`, which may be empty, is one more
  // tag for the archive's one image; InvalidArgument if there are several.
  virtual absl::StatusOr<std::vector<std::string>> Import(int fd,
                                                          const std::string& name,
                                                          const Operation& operation) = 0;
  // Writes a tar that is an OCI layout and that `docker load` takes. An image goes under the names
  // by which it is asked for, and under all its names if that is an id. Layers that were not kept
  // come from the registry, without credentials, with the errors of RegistrySession.
  virtual absl::Status Export(const std::vector<std::string>& references,
                              int fd,
                              const Operation& operation) = 0;

  // Collects unreferenced layers, blobs and half-done work now. It also runs by itself after
  // removals.
  virtual absl::Status CollectGarbage() = 0;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_IMAGE_IMAGE_STORE_H_
