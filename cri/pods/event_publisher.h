#ifndef CRISP_CRI_PODS_EVENT_PUBLISHER_H_
#define CRISP_CRI_PODS_EVENT_PUBLISHER_H_

#include "cri/state/event_hub.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

// Makes the CRI's container events from the points of pods' lives, and hands them to the readers of
// GetContainerEvents in either view.
class EventPublisher final : public LifeObserver {
 public:
  // The arguments outlive it.
  EventPublisher(const PodTable& table, const storage::ImageStore& images)
      : table_(table), images_(images) {}

  void On(const LifeEvent& event) override;
  EventHub& hub(View view) { return view == View::kKubelet ? kubelets_ : operators_; }
  void Stop() {
    kubelets_.Stop();
    operators_.Stop();
  }
  // The number of events that some reader lost since the start.
  uint64_t dropped() const { return kubelets_.dropped() + operators_.dropped(); }

 private:
  void Publish(const LifeEvent& event, v1::ContainerEventType type);

  const PodTable& table_;
  const storage::ImageStore& images_;
  EventHub kubelets_;   // the events of the pods that the kubelet's view shows
  EventHub operators_;  // all events
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_EVENT_PUBLISHER_H_
