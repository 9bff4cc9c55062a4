#ifndef CRISP_RUNTIME_HANDLER_MISSING_RUNTIME_H_
#define CRISP_RUNTIME_HANDLER_MISSING_RUNTIME_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/handler/pod_runtime.h"

namespace crisp::runtime {

// Stands for a type of runtime that made pods and is not there any more. It can do nothing with
// them, and to say that they have ended would need proof that it does not have: every
// call is FailedPrecondition and says what to do.
class MissingRuntime final : public PodRuntime, private PodFinder {
 public:
  explicit MissingRuntime(std::string type) : PodRuntime(std::move(type)) {}

  const Features& features() const override { return features_; }
  absl::Status Usable() const override;
  absl::StatusOr<std::shared_ptr<PodHandle>> StartPod(const PodSpec&,
                                                      const PodStart&,
                                                      const Operation&) override {
    return Usable();
  }
  absl::StatusOr<std::shared_ptr<PodHandle>> AdoptPod(absl::string_view,
                                                      const std::string&,
                                                      const Operation&) override {
    return Usable();
  }
  absl::Status EndPod(const std::string&, const Operation&) override { return Usable(); }
  const PodFinder& finder() const override { return *this; }
  absl::StatusOr<std::vector<FoundPod>> Find(const std::string&,
                                             const std::string&) const override {
    return Usable();
  }
  absl::Status End(const std::string&, const std::string&, const Operation&) const override {
    return Usable();
  }
  absl::StatusOr<std::shared_ptr<const ExecBase>> MakeExecBase(const OciSpec&) override {
    return Usable();
  }
  absl::Status KillOnce(const ContainerRef&) override { return Usable(); }
  absl::Status KillAll(const ContainerRef&, const Operation&) override { return Usable(); }
  absl::StatusOr<bool> IsEmpty(const ContainerRef&) override { return Usable(); }
  absl::Status CleanUp(const ContainerRef&, const Operation&) override { return Usable(); }

 private:
  const Features features_;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_HANDLER_MISSING_RUNTIME_H_
