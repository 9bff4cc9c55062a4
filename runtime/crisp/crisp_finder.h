#ifndef CRISP_RUNTIME_CRISP_CRISP_FINDER_H_
#define CRISP_RUNTIME_CRISP_CRISP_FINDER_H_

#include <string>
#include <vector>

#include "runtime/client/shim_finder.h"
#include "runtime/handler/pod_runtime.h"

namespace crisp::runtime {

// By the shims' program and the directories that they hold open (shim_finder.h).
class CrispFinder final : public PodFinder {
 public:
  absl::StatusOr<std::vector<FoundPod>> Find(const std::string& pods_dir,
                                             const std::string& pod_id) const override {
    return FindShims(pods_dir, pod_id);
  }
  absl::Status End(const std::string& pods_dir,
                   const std::string& pod_id,
                   const Operation& operation) const override {
    return KillShims(pods_dir, pod_id, operation);
  }
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CRISP_CRISP_FINDER_H_
