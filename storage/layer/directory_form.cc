#include "storage/layer/directory_form.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "storage/layer/directory_sink.h"
#include "storage/layer/tree_walk.h"

namespace crisp::storage {

absl::StatusOr<UniqueFd> DirectoryForm::MakeTarget(const std::string& folder) const {
  const std::string fs = MarkIn(folder);
  if (mkdir(fs.c_str(), 0755) != 0) return ErrnoError(errno, absl::StrCat("mkdir ", fs));
  // Whatever the umask is.
  if (chmod(fs.c_str(), 0755) != 0) return ErrnoError(errno, absl::StrCat("chmod ", fs));
  return crisp::Open(fs, O_RDONLY | O_DIRECTORY);
}

std::unique_ptr<LayerSink> DirectoryForm::MakeSink(int target, ApplyLimits limits) const {
  return std::make_unique<DirectorySink>(target, std::move(limits));
}

absl::StatusOr<LayerForm::Root> DirectoryForm::Open(const std::string& folder) const {
  return Root{.lower = MarkIn(folder), .mount = {}};
}

bool DirectoryForm::LooksWhole(const std::string& folder, const LayerFacts& facts) const {
  // What cannot be looked at now (no descriptor is left) says nothing of the layer.
  const absl::StatusOr<bool> empty = IsEmptyDirectory(MarkIn(folder));
  return facts.inodes == 0 || (empty.ok() ? !*empty : !absl::IsNotFound(empty.status()));
}

absl::StatusOr<bool> DirectoryForm::IsIntact(const std::string& folder,
                                             const LayerFacts& facts,
                                             const Operation& operation) const {
  const absl::StatusOr<TreeCount> count = CountTree(AT_FDCWD, MarkIn(folder), operation);
  CRISP_RETURN_IF_ERROR(operation.Check("verify a layer"));
  return count.ok() && count->inodes == facts.inodes + 1 && count->bytes == facts.bytes;
}

LayerUsage DirectoryForm::Usage(const LayerFacts& facts) const {
  return {.bytes = facts.disk_bytes, .inodes = facts.inodes + 2};
}

}  // namespace crisp::storage
