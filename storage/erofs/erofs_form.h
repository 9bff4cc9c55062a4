#ifndef CRISP_STORAGE_EROFS_EROFS_FORM_H_
#define CRISP_STORAGE_EROFS_EROFS_FORM_H_

#include <memory>
#include <string>
#include <vector>

#include "storage/layer/layer_form.h"

namespace crisp::storage {

// A layer as one EROFS file, "image.erofs", which the kernel mounts. About Linux 6.15 can.
class ErofsForm final : public LayerForm {
 public:
  const char* name() const override { return "erofs"; }
  const char* mark() const override { return "image.erofs"; }
  LayerTarget target() const override { return LayerTarget::kFile; }
  absl::Status Probe(const std::string& directory) const override;
  // Each is a descriptor in the one message that hands a container's root and image volumes to its
  // shim, which the kernel lets have 253.
  size_t most_layers() const override { return 60; }
  absl::StatusOr<UniqueFd> MakeTarget(const std::string& folder) const override;
  std::unique_ptr<LayerSink> MakeSink(int target, ApplyLimits limits) const override;
  // See CheckErofs().
  absl::StatusOr<LayerSeal> Seal(const std::string& folder, int target) const override;
  std::vector<std::string> SyncSet(const std::string& folder) const override;
  absl::StatusOr<Root> Open(const std::string& folder) const override;
  bool LooksWhole(const std::string& folder, const LayerFacts& facts) const override;
  absl::StatusOr<bool> IsIntact(const std::string& folder,
                                const LayerFacts& facts,
                                const Operation& operation) const override;
  LayerUsage Usage(const LayerFacts& facts) const override;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EROFS_EROFS_FORM_H_
