// Writes the input, a tar, as an EROFS image, and looks at that as the daemon would: at what was
// written, and at what somebody could have made of it.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <random>

#include "base/unique_fd.h"
#include "storage/erofs/erofs_check.h"
#include "storage/erofs/erofs_sink.h"
#include "storage/layer/layer_tar.h"
#include "storage/layer/testing/byte_source.h"
#include "storage/layer/testing/tar_mutator.h"

namespace {

uint64_t Mix(uint64_t sum, uint8_t byte) { return (sum ^ byte) * 0x100000001b3; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view tar(reinterpret_cast<const char*>(data), size);
  const crisp::UniqueFd file(memfd_create("layer", MFD_CLOEXEC));
  if (!file) abort();
  crisp::storage::ErofsSink sink(file.get(), {}, {.max_entries = 200});
  if (!crisp::storage::ApplyTar(crisp::storage::FromBytes(tar), sink).ok()) return 0;
  const absl::StatusOr<crisp::storage::LayerContent> content = sink.Finish();
  if (!content.ok()) return 0;
  // Whatever the archive says, the file is one that the daemon takes.
  const auto summary = crisp::storage::CheckErofs(file.get());
  if (!summary.ok() || summary->size != content->disk_bytes) abort();
  std::mt19937_64 random(std::accumulate(data, data + size, uint64_t{size}, Mix));
  for (int round = 0; round < 24; ++round) {
    // Metadata is at the end; most of a small file's other bytes are nobody's.
    const uint64_t reach = std::min<uint64_t>(summary->size, uint64_t{4096} << random() % 3);
    const uint64_t value = random() >> random() % 64;
    const size_t width = size_t{1} << random() % 4;
    const off_t to = static_cast<off_t>(summary->size - reach + random() % reach);
    if (pwrite(file.get(), &value, width, to) < 0) abort();
    if (round % 3 == 2) (void)crisp::storage::CheckErofs(file.get());
  }
  return 0;
}
