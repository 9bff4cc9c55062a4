// Applies the input as a tar below a fresh directory; run it with TMPDIR on a tmpfs. Needs root for
// device nodes and owners, but is of use without.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "base/file.h"
#include "storage/layer_applier.h"
#include "storage/layer_tar.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// A header whose checksum is wrong ends the archive, so nearly every mutation would be lost there:
// whatever says "ustar" where a header does gets the right one.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned) {
  constexpr size_t kBlock = 512, kSum = 148, kSumSize = 8, kMagic = 257;
  size = LLVMFuzzerMutate(data, size, max_size);
  for (size_t at = 0; at + kBlock <= size; at += kBlock) {
    uint8_t* header = data + at;
    if (memcmp(header + kMagic, "ustar", 5) != 0) continue;
    memset(header + kSum, ' ', kSumSize);
    const unsigned sum = std::accumulate(header, header + kBlock, 0u);
    snprintf(reinterpret_cast<char*>(header + kSum), kSumSize, "%06o", sum);
    header[kSum + kSumSize - 1] = ' ';
  }
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  umask(0);
  crisp::TempDir dir;
  const std::string root = dir.path() + "/root";
  if (!crisp::MakeDirs(root).ok()) abort();
  absl::StatusOr<crisp::UniqueFd> fd = crisp::Open(root, O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) abort();
  crisp::storage::LayerApplier applier(fd->get(), {.max_entries = 200});
  size_t at = 0;
  auto source = [&](char* buffer, size_t room) -> absl::StatusOr<size_t> {
    const size_t n = std::min(room, size - at);
    memcpy(buffer, data + at, n);
    at += n;
    return n;
  };
  if (crisp::storage::ApplyTar(source, applier).ok()) (void)applier.Finish();
  // Nothing may appear beside the root.
  absl::StatusOr<std::vector<std::string>> names = crisp::ListDir(dir.path());
  if (!names.ok() || names->size() != 1) abort();
  return 0;
}
