#ifndef CRISP_STORAGE_LAYER_DIRECTORY_FORM_H_
#define CRISP_STORAGE_LAYER_DIRECTORY_FORM_H_

#include <memory>
#include <string>
#include <vector>

#include "storage/layer/layer_form.h"

namespace crisp::storage {

// A layer as the tree of its files, "fs". Every kernel has it.
class DirectoryForm : public LayerForm {
 public:
  const char* name() const override { return "directories"; }
  const char* mark() const override { return "fs"; }
  LayerTarget target() const override { return LayerTarget::kDirectory; }
  absl::Status Probe(const std::string&) const override { return absl::OkStatus(); }
  // The tree's root is root's, 0755.
  absl::StatusOr<UniqueFd> MakeTarget(const std::string& folder) const override;
  std::unique_ptr<LayerSink> MakeSink(int target, ApplyLimits limits) const override;
  // A tree is told by its counts.
  absl::StatusOr<LayerSeal> Seal(const std::string&, int) const override { return LayerSeal(); }
  std::vector<std::string> SyncSet(const std::string&) const override { return {}; }
  absl::StatusOr<Root> Open(const std::string& folder) const override;
  bool LooksWhole(const std::string& folder, const LayerFacts& facts) const override;
  absl::StatusOr<bool> IsIntact(const std::string& folder,
                                const LayerFacts& facts,
                                const Operation& operation) const override;
  LayerUsage Usage(const LayerFacts& facts) const override;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_DIRECTORY_FORM_H_
