#ifndef CRISP_CRI_PODS_EVENT_PUBLISHER_H_
#define CRISP_CRI_PODS_EVENT_PUBLISHER_H_

#include "cri/state/event_hub.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

// Makes the CRI's container events from the points of pods' lives, and hands them to the readers of
// GetContainerEvents.
class EventPublisher final : public LifeObserver {
 public:
  // The arguments outlive it.
  EventPublisher(const PodTable& table, const storage::ImageStore& images)
      : table_(table), images_(images) {}

  void On(const LifeEvent& event) override;
  EventHub& hub() { return hub_; }

 private:
  void Publish(const LifeEvent& event, v1::ContainerEventType type);

  const PodTable& table_;
  const storage::ImageStore& images_;
  EventHub hub_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_EVENT_PUBLISHER_H_
