#ifndef CRISP_CRI_PODS_SAMPLER_H_
#define CRISP_CRI_PODS_SAMPLER_H_

#include <atomic>

#include "cri/containers/node_context.h"
#include "cri/containers/oom_counter.h"
#include "cri/pods/memory_trimmer.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Reads the counters of every ready pod once per period, and those of its containers in which
// something has run since. Containers that have written are measured. It runs while there are pods,
// so nothing runs on a node without. Thread-safe.
class Sampler final : public LifeObserver {
 public:
  // The arguments outlive it. Jobs of `readings` and `measuring` use it.
  Sampler(const NodeContext& node,
          PodTable& table,
          OomCounter& ooms,
          MemoryTrimmer& trimmer,
          WorkQueue& readings,
          WorkQueue& measuring)
      : node_(node),
        table_(table),
        ooms_(ooms),
        trimmer_(trimmer),
        readings_(readings),
        measuring_(measuring) {}

  // When there is a pod, it is read after a period.
  void On(const LifeEvent& event) override {
    if (event.point == LifePoint::kPodReady) Arm();
  }
  // Takes the first sample after the start.
  void SampleNow() {
    readings_.Post([this] { SampleAll(); });
  }

 private:
  void Arm();
  void SampleAll();
  void SampleOne(Container& container);

  const NodeContext& node_;
  PodTable& table_;
  OomCounter& ooms_;
  MemoryTrimmer& trimmer_;
  WorkQueue& readings_;
  WorkQueue& measuring_;
  std::atomic<bool> armed_ = false;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_SAMPLER_H_
