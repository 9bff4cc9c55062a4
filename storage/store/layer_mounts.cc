#include "storage/store/layer_mounts.h"

#include <fcntl.h>

#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "storage/erofs/erofs_mount.h"

namespace crisp::storage {

absl::StatusOr<Lower> LayerMounts::Root(int64_t number, const std::string& image) {
  {
    absl::MutexLock lock(&mutex_);
    if (const auto it = mounts_.find(number); it != mounts_.end()) {
      return Lower::Mount(it->second.get());
    }
  }
  CRISP_ASSIGN_OR_RETURN(const UniqueFd file, Open(image, O_RDONLY));
  absl::StatusOr<UniqueFd> mount = MountErofs(file.get());
  if (!mount.ok()) return Annotate(mount.status(), image);
  absl::MutexLock lock(&mutex_);
  // Who was slower drops its own.
  return Lower::Mount(mounts_.try_emplace(number, *std::move(mount)).first->second.get());
}

void LayerMounts::Forget(int64_t number) {
  UniqueFd mount;  // closed outside of the lock
  absl::MutexLock lock(&mutex_);
  const auto it = mounts_.find(number);
  if (it == mounts_.end()) return;
  mount = std::move(it->second);
  mounts_.erase(it);
}

}  // namespace crisp::storage
