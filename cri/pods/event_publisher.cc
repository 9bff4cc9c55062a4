#include "cri/pods/event_publisher.h"

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "cri/pods/pod_status.h"

namespace crisp::cri {

void EventPublisher::On(const LifeEvent& event) {
  const bool heard = event.pod->ShownIn(View::kKubelet) && kubelets_.HasReaders();
  if (!heard && !operators_.HasReaders()) return;
  switch (event.point) {
    case LifePoint::kPodReady:
      Publish(event, v1::CONTAINER_CREATED_EVENT);
      return Publish(event, v1::CONTAINER_STARTED_EVENT);
    case LifePoint::kPodFailed:
      return;
    case LifePoint::kContainerCreated:
      return Publish(event, v1::CONTAINER_CREATED_EVENT);
    case LifePoint::kContainerStarted:
      return Publish(event, v1::CONTAINER_STARTED_EVENT);
    case LifePoint::kPodStopped:
    case LifePoint::kContainerExited:
      return Publish(event, v1::CONTAINER_STOPPED_EVENT);
    case LifePoint::kPodRemoved:
    case LifePoint::kContainerRemoved:
      return Publish(event, v1::CONTAINER_DELETED_EVENT);
  }
}

void EventPublisher::Publish(const LifeEvent& event, v1::ContainerEventType type) {
  auto made = std::make_shared<v1::ContainerEventResponse>();
  made->set_container_id(event.id);
  made->set_container_event_type(type);
  made->set_created_at(absl::ToUnixNanos(absl::Now()));
  FillStatus(*event.pod, made->mutable_pod_sandbox_status());
  FillStatuses(table_.ContainersOf(*event.pod), images_, made->mutable_containers_statuses());
  if (event.pod->ShownIn(View::kKubelet)) kubelets_.Publish(made);
  operators_.Publish(std::move(made));
}

}  // namespace crisp::cri
