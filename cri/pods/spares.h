#ifndef CRISP_CRI_PODS_SPARES_H_
#define CRISP_CRI_PODS_SPARES_H_

#include <atomic>

#include "absl/time/time.h"
#include "cri/containers/node_context.h"
#include "cri/containers/spare_roots.h"
#include "cri/pods/shim_keeper.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Makes things ahead of need: shims with their networks, and the roots of containers. Thread-safe.
class Spares {
 public:
  // The arguments outlive it. Jobs of `background` use it.
  Spares(const NodeContext& node, ShimKeeper& shims, WorkQueue& background);

  // Called when a pod has taken a shim. It is replaced in a moment, when the pod's containers have
  // been made.
  void AddSoon();
  // Makes the network prepare the waiting shims, once containers have started.
  void PrepareSoon();
  SpareRoots& roots() { return roots_; }

 private:
  void PrepareIn(absl::Duration pause);
  void Prepare();

  const NodeContext& node_;
  ShimKeeper& shims_;
  WorkQueue& background_;
  std::atomic<bool> adding_ = false;
  std::atomic<bool> preparing_ = false;
  SpareRoots roots_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_SPARES_H_
