#ifndef CRISP_STORAGE_VALUES_IMAGE_H_
#define CRISP_STORAGE_VALUES_IMAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/lower.h"

namespace crisp::storage {

// The values that the image store returns. They have no tie to the store.

// One image, keyed by its config's digest. A value: a snapshot of the record.
struct Image {
  std::string id;                         // "sha256:<64 hex>", the one id everywhere
  std::vector<std::string> repo_tags;     // "host/repo:tag", sorted
  std::vector<std::string> repo_digests;  // "host/repo@sha256:…", sorted
  uint64_t size_bytes = 0;                // compressed layers + config + manifest, always > 0
  bool pinned = false;
  absl::Time pulled_at;
  // From the image config.
  std::string user;  // "", "u", "u:g", names or numbers
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::vector<std::string> environment;  // "K=V"
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> volumes;    // declared paths, sorted
  std::string config_json;             // the OCI image config as pulled
  std::vector<std::string> chain_ids;  // the layers' diff_ids, bottom first
};

struct HistoryEntry {
  std::string created_by;
  std::string comment;
  absl::Time created;
  bool empty_layer = false;
  std::string diff_id;      // the rest is set for non-empty layers only
  std::string digest;       // of the compressed blob as pulled
  uint64_t size_bytes = 0;  // compressed
  uint64_t unpacked_bytes = 0;
  std::vector<std::string> containers;  // ids whose root stands on this layer
};

// Keys with this prefix belong to no container. History and ContainersUsage leave them out.
inline constexpr absl::string_view kSpareKeyPrefix = "spare-";

// The parts of a container's root. The directories are there, and the mounts' descriptors open,
// until ReleaseContainer().
struct RootFs {
  std::vector<Lower> lower_dirs;  // topmost first; shared and read-only
  std::string upper_dir;          // empty for a view
  std::string work_dir;
};

struct FsUsage {
  std::string mountpoint;  // directory of the store
  uint64_t used_bytes = 0;
  uint64_t inodes_used = 0;
  absl::Time timestamp;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_VALUES_IMAGE_H_
