#ifndef CRISP_RUNTIME_CRISP_CRISP_RUNTIME_H_
#define CRISP_RUNTIME_CRISP_CRISP_RUNTIME_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/client/shim_client.h"
#include "runtime/crisp/crisp_finder.h"
#include "runtime/crisp/lowering.h"
#include "runtime/handler/pod_runtime.h"

namespace crisp::runtime {

inline constexpr char kCrispType[] = "crisp";

struct CrispRuntimeOptions {
  ShimPoolOptions shims;  // `usual` comes from `usual_pod`
  // The pod that most are like. Spares are made for it.
  PodSpec usual_pod;
  std::shared_ptr<const CgroupLayout> cgroups;
  // An empty directory where the layers are: beside it even an image volume of one layer is an
  // overlay, and so can have a label.
  std::string empty_layer;
  // The abilities of this kernel. All verbs are there.
  bool recursive_read_only_mounts = true;
  std::string no_user_namespaces;
};

// Crisp's own runtime. Each pod has a shim. A container's spec is lowered to a plan that the shim
// carries out. Killing, limits and usage need no shim: they go by the container's cgroup.
class CrispRuntime final : public PodRuntime, private ShimObserver, private SparePods {
 public:
  // `observer` outlives it.
  static absl::StatusOr<std::unique_ptr<CrispRuntime>> Create(const CrispRuntimeOptions& options,
                                                              PodObserver* observer);

  const Features& features() const override { return features_; }
  void WarmUp() override { lowering_->WarmUp(); }
  SparePods* spares() override { return this; }

  absl::StatusOr<std::shared_ptr<PodHandle>> StartPod(const PodSpec& spec,
                                                      const PodStart& how,
                                                      const Operation& operation) override;
  absl::StatusOr<std::shared_ptr<PodHandle>> AdoptPod(absl::string_view pod_id,
                                                      const std::string& state_dir,
                                                      const Operation& operation) override;
  absl::Status EndPod(const std::string& state_dir, const Operation& operation) override {
    return pool_->EndPod(state_dir, operation);
  }
  const PodFinder& finder() const override { return finder_; }

  absl::StatusOr<std::shared_ptr<const ExecBase>> MakeExecBase(const OciSpec& spec) override {
    return lowering_->MakeExecBase(spec);
  }

  absl::Status KillOnce(const ContainerRef& container) override {
    return GroupOf(container).KillOnce();
  }
  absl::Status KillAll(const ContainerRef& container, const Operation& operation) override {
    return GroupOf(container).Kill(operation);
  }
  absl::StatusOr<bool> IsEmpty(const ContainerRef& container) override {
    return GroupOf(container).IsEmpty();
  }
  absl::Status CleanUp(const ContainerRef& container, const Operation& operation) override {
    return GroupOf(container).Remove(operation);
  }
  // By the freezer of its cgroup.
  absl::Status Pause(const ContainerRef& container, const Operation& operation) override {
    return GroupOf(container).Freeze(operation);
  }
  absl::Status Resume(const ContainerRef& container, const Operation& operation) override {
    return GroupOf(container).Thaw(operation);
  }
  absl::StatusOr<bool> IsPaused(const ContainerRef& container) override {
    return GroupOf(container).IsFrozen();
  }
  absl::Status Update(const ContainerRef& container, const OciResources& change) override {
    return GroupOf(container).Update(change);
  }
  absl::StatusOr<CgroupStats> Stats(const ContainerRef& container) override {
    return CgroupStatsReader(GroupOf(container)).Read();
  }
  absl::StatusOr<uint64_t> CpuUsageNs(const ContainerRef& container) override {
    return ReadCpuUsageNs(GroupOf(container));
  }
  absl::StatusOr<uint64_t> OomKills(const ContainerRef& container) override {
    return GroupOf(container).OomKills();
  }

 private:
  CrispRuntime(const CrispRuntimeOptions& options, PodObserver* observer);

  Cgroup GroupOf(const ContainerRef& container) const {
    return lowering_->GroupAt(container.cgroups_path);
  }

  void OnContainerExit(absl::string_view pod_id,
                       absl::string_view container_id,
                       const ExitRecord& record) override {
    observer_->OnContainerExit(pod_id, container_id, record);
  }
  void OnExecExit(absl::string_view pod_id,
                  absl::string_view exec_id,
                  const ExitRecord& record) override {
    observer_->OnExecExit(pod_id, exec_id, record);
  }
  void OnShimDeath(absl::string_view pod_id) override { observer_->OnPodDeath(pod_id); }
  void OnShimLost(absl::string_view pod_id) override { observer_->OnPodLost(pod_id); }

  void Add() override { pool_->AddSpares(); }
  absl::Status Prepare(const PrepareNetwork& prepare) override {
    return pool_->PrepareSpares(prepare);
  }

  PodObserver* const observer_;
  const Features features_;
  const CrispFinder finder_;
  // The pods', too, which may be held for longer.
  const std::shared_ptr<Lowering> lowering_;
  // Declared last: its thread calls what is above.
  std::unique_ptr<ShimPool> pool_;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CRISP_CRISP_RUNTIME_H_
