#include "storage/store/layer_mounts.h"

#include <utility>

#include "base/status.h"

namespace crisp::storage {

absl::StatusOr<Lower> LayerMounts::Root(int64_t number,
                                        const LayerForm& form,
                                        const std::string& folder) {
  {
    absl::MutexLock lock(&mutex_);
    if (const auto it = mounts_.find(number); it != mounts_.end()) {
      return Lower::Mount(it->second.get());
    }
  }
  CRISP_ASSIGN_OR_RETURN(LayerForm::Root root, form.Open(folder));
  if (!root.mount) return root.lower;
  absl::MutexLock lock(&mutex_);
  // The slower of two drops its own.
  return Lower::Mount(mounts_.try_emplace(number, std::move(root.mount)).first->second.get());
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
