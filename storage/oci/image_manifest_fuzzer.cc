#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "storage/oci/digest.h"
#include "storage/oci/image_manifest.h"

// Index, manifest and config of the same bytes: no crash, never both an index and a manifest, and
// nothing in a result that the header rules out.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace storage = crisp::storage;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto index = storage::ParseIndex(bytes);
  const auto manifest = storage::ParseManifest(bytes);
  if (index.ok() && manifest.ok()) std::abort();
  if (index.ok()) {
    if (index->entries.size() > storage::kMaxIndexEntries) std::abort();
    const auto chosen = storage::ChoosePlatform(*index, storage::HostPlatform());
    if (chosen.ok() && !storage::IsDigest(chosen->descriptor.digest)) std::abort();
  }
  if (manifest.ok()) {
    if (manifest->layers.size() > storage::kMaxLayers) std::abort();
    for (const storage::Descriptor& layer : manifest->layers) {
      if (!storage::IsDigest(layer.digest) || !storage::LayerCompression(layer.media_type).ok()) {
        std::abort();
      }
    }
  }
  const auto config = storage::ParseImageConfig(bytes);
  if (config.ok() && config->diff_ids.size() > storage::kMaxLayers) std::abort();
  return 0;
}
