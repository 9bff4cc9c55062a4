#ifndef CRISP_CRI_PODS_RECOVERY_H_
#define CRISP_CRI_PODS_RECOVERY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "cri/containers/cgroup_claims.h"
#include "cri/containers/container_remover.h"
#include "cri/containers/node_context.h"
#include "cri/containers/selinux_labels.h"
#include "cri/pods/pod_ender.h"
#include "cri/pods/shim_keeper.h"
#include "cri/pods/spares.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Finds again the pods and containers of an earlier daemon, by their rows, the copies of these, and
// the kernel.
class Recovery {
 public:
  // The arguments outlive it. Jobs of the queues use it.
  Recovery(const NodeContext& node,
           PodTable& table,
           ShimKeeper& shims,
           CgroupClaims& claims,
           SelinuxLabels& labels,
           PodEnder& ender,
           ContainerRemover& remover,
           Spares& spares,
           WorkQueue& background,
           WorkQueue& adoptions)
      : node_(node),
        table_(table),
        shims_(shims),
        claims_(claims),
        labels_(labels),
        ender_(ender),
        remover_(remover),
        spares_(spares),
        background_(background),
        adoptions_(adoptions) {}

  // Called once, before the first request. Pods whose shims do not answer soon are taken over in
  // the background.
  absl::Status Run();

 private:
  class Countdown;
  struct Work {
    PodPtr pod;
    std::vector<ContainerPtr> containers;
  };
  std::vector<Work> Sort(RecordStore::Records records) const;
  void Take(const Work& work, const std::shared_ptr<Countdown>& adoptions);
  // Takes pods of shims to which no row and no directory leads, and those that have a directory and
  // no row.
  void TakeStrays();
  absl::Status AddUnknownPods(RecordStore::Records* records);
  // A pod that lives, as the kernel knows it, and its runtime.
  struct Found {
    runtime::FoundPod pod;
    runtime::PodRuntime* runtime;
  };
  absl::StatusOr<std::vector<Found>> FindPods();
  // `runs_it`: whose processes live in it, so that it is to be shown; null: it is to be undone.
  state::PodRecord RecordOfUnknown(const std::string& pod_id,
                                   const runtime::PodRuntime* runs_it) const;
  // Of containers that no row told of and that ran when the daemon began: once they have ended.
  // Takes out of `keys` what is done; Unavailable when that is not all.
  absl::Status ReleaseUnrecorded(std::vector<std::string>& keys);
  // Removes what no row tells of. `keys` are the image store's that are in use, `live` the pods.
  void SweepLeftovers(const absl::flat_hash_set<std::string>& keys,
                      const absl::flat_hash_set<std::string>& live);

  const NodeContext& node_;
  PodTable& table_;
  ShimKeeper& shims_;
  CgroupClaims& claims_;
  SelinuxLabels& labels_;
  PodEnder& ender_;
  ContainerRemover& remover_;
  Spares& spares_;
  WorkQueue& background_;
  WorkQueue& adoptions_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_RECOVERY_H_
