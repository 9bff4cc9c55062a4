// Writes the input, a tar, as an EROFS image, and looks at that as the daemon would.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "base/unique_fd.h"
#include "storage/erofs_applier.h"
#include "storage/erofs_mount.h"
#include "storage/layer_tar.h"
#include "storage/tar_mutator.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const crisp::UniqueFd image(memfd_create("image", MFD_CLOEXEC));
  if (!image) abort();
  crisp::storage::ErofsApplier applier(image.get(), {}, {.max_entries = 200});
  size_t at = 0;
  auto source = [&](char* buffer, size_t room) -> absl::StatusOr<size_t> {
    const size_t n = std::min(room, size - at);
    memcpy(buffer, data + at, n);
    at += n;
    return n;
  };
  if (!crisp::storage::ApplyTar(source, applier).ok()) return 0;
  const absl::StatusOr<crisp::storage::LayerContent> content = applier.Finish();
  if (!content.ok()) return 0;
  // Whatever the archive says, the image is one that the daemon takes.
  const auto summary = crisp::storage::SummarizeErofs(image.get());
  if (!summary.ok() || summary->size != content->disk_bytes) abort();
  return 0;
}
