// Applies the input as a tar below a fresh directory; run it with TMPDIR on a tmpfs. Needs root for
// device nodes and owners, but is of use without.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "base/testing/temp_dir.h"
#include "storage/layer/directory_sink.h"
#include "storage/layer/layer_tar.h"
#include "storage/layer/testing/byte_source.h"
#include "storage/layer/testing/tar_mutator.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view tar(reinterpret_cast<const char*>(data), size);
  umask(0);
  crisp::TempDir dir;
  const std::string root = dir.path() + "/root";
  if (!crisp::MakeDirs(root).ok()) abort();
  absl::StatusOr<crisp::UniqueFd> fd = crisp::Open(root, O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) abort();
  crisp::storage::DirectorySink sink(fd->get(), {.max_entries = 200});
  if (crisp::storage::ApplyTar(crisp::storage::FromBytes(tar), sink).ok()) (void)sink.Finish();
  // Nothing may appear beside the root.
  absl::StatusOr<std::vector<std::string>> names = crisp::ListDir(dir.path());
  if (!names.ok() || names->size() != 1) abort();
  return 0;
}
