#ifndef CRISP_CRI_STATE_POD_EVENTS_H_
#define CRISP_CRI_STATE_POD_EVENTS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cri/state/pod.h"

namespace crisp::cri {

// The points of a pod's and a container's life of which others may want to know. Each is told after
// the row says so, on the thread that has brought it about.
enum class LifePoint {
  kPodReady,
  kPodFailed,   // it could not be made, and is about to be undone; no client has seen it
  kPodStopped,  // also: its shim has died
  kPodRemoved,
  kContainerCreated,
  kContainerStarted,
  kContainerExited,  // also: its start has failed
  kContainerRemoved,
};

struct LifeEvent {
  LifePoint point;
  std::shared_ptr<Pod> pod;
  std::string id;  // of the container, or of the pod if the point is the pod's
};

// An observer of pods' lives. Thread-safe. Its handler is quick, because somebody waits: the
// client, or the shims' exits.
class LifeObserver {
 public:
  virtual ~LifeObserver() = default;
  virtual void On(const LifeEvent& event) = 0;
};

// Tells each of the observers, which outlive it, in their order.
class PodEvents {
 public:
  explicit PodEvents(std::vector<LifeObserver*> observers) : observers_(std::move(observers)) {}

  void Tell(LifePoint point, const std::shared_ptr<Pod>& pod) const { Tell({point, pod, pod->id}); }
  void Tell(LifePoint point, const Container& container) const {
    Tell({point, container.pod, container.id});
  }

 private:
  void Tell(const LifeEvent& event) const {
    for (LifeObserver* observer : observers_) observer->On(event);
  }

  const std::vector<LifeObserver*> observers_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_POD_EVENTS_H_
