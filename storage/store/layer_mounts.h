#ifndef CRISP_STORAGE_STORE_LAYER_MOUNTS_H_
#define CRISP_STORAGE_STORE_LAYER_MOUNTS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/lower.h"
#include "base/unique_fd.h"
#include "storage/layer/layer_form.h"

namespace crisp::storage {

// The layers that are used by a mount: mounted once each, from the first use to the layer's end, so
// that all containers that stand on one share what the kernel has read of it. Nowhere to be seen in
// the host's mounts. What runs keeps its layers when this goes. Thread-safe; no lock is held across
// the disk.
class LayerMounts {
 public:
  // The root of the layer with this number, which has this form, in this folder. A mount is open
  // until Forget().
  absl::StatusOr<Lower> Root(int64_t number, const LayerForm& form, const std::string& folder);
  void Forget(int64_t number);

 private:
  absl::Mutex mutex_;
  std::map<int64_t, UniqueFd> mounts_ ABSL_GUARDED_BY(mutex_);  // by the layer's number
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_STORE_LAYER_MOUNTS_H_
