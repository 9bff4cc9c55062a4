#ifndef CRISP_STORAGE_VALUES_IMAGE_STORE_OPTIONS_H_
#define CRISP_STORAGE_VALUES_IMAGE_STORE_OPTIONS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace crisp::storage {

// The names of the forms that new layers may have. After the last comes null. The first is the
// default. storage/forms says what they are.
inline constexpr std::array<const char*, 4> kLayerFormats = {"directories", "erofs"};

// The section `image` of the configuration, and what the daemon adds to it. The defaults here are
// the configuration's.
struct ImageStoreOptions {
  std::string root;      // e.g. /var/lib/crisp; created 0700 when absent
  std::string unpacker;  // path of crisp-unpacker; opened once, by Open()
  // certs.d roots (<dir>/<host>/hosts.toml). The first that knows a host wins.
  std::vector<std::string> registry_config_dirs = {"/etc/crisp/certs.d", "/etc/containerd/certs.d"};
  std::vector<std::string> pinned_images;  // references or globs reported as pinned
  int64_t max_parallel_downloads = 4;      // layers per image
  int64_t max_parallel_unpacks = 4;
  // Keeps pulled layers as the registry compressed them, too, which costs disk space and writing.
  // Without them Export() asks the registry again. Imported layers are always kept.
  bool keep_layer_blobs = false;
  absl::Duration stall_timeout = absl::Minutes(1);  // without a byte; then DeadlineExceeded
  // The greatest size of one layer, uncompressed. Beyond it the pull fails with ResourceExhausted.
  int64_t max_layer_bytes = int64_t{256} << 30;
  int64_t max_layer_files = 10'000'000;
  absl::Duration max_unpack_cpu = absl::Hours(1);  // processor time
  // What new layers become, one of kLayerFormats. Where this kernel cannot use it they become the
  // first of those. Existing layers stay as they are.
  std::string layer_format = kLayerFormats.front();
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_VALUES_IMAGE_STORE_OPTIONS_H_
