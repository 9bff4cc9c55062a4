#include "cri/pods/remove_on_exit.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/spec/operator_asks.h"
#include "cri/state/life_log.h"

namespace crisp::cri {
namespace {

bool IsAsked(const Pod& pod) { return pod.of_operator && AsksOf(*pod.Snapshot()).remove_on_exit; }

// A start that failed has its time, too.
bool HasBeenStarted(const state::ContainerRecord& container) {
  return container.started_at() != 0 && container.reason() != kStartError;
}

}  // namespace

bool HasRunItsCourse(bool pod_ready,
                     bool has_run,
                     const std::vector<state::ContainerRecord>& containers) {
  for (const state::ContainerRecord& container : containers) {
    if (container.stage() == state::ContainerRecord::RUNNING) return false;
    // In a pod that is not ready any more it is never started.
    if (container.stage() == state::ContainerRecord::CREATED && pod_ready) return false;
    has_run |= HasBeenStarted(container);
  }
  return has_run;
}

void RemoveOnExit::On(const LifeEvent& event) {
  if (!IsAsked(*event.pod)) return;
  switch (event.point) {
    case LifePoint::kContainerStarted:
      // For the time when the container has been removed.
      if (event.pod->Snapshot()->has_run()) return;
      (void)table_.Change(*event.pod, [](state::PodRecord& record) { record.set_has_run(true); });
      return;
    case LifePoint::kContainerExited:
    case LifePoint::kContainerRemoved:
    case LifePoint::kPodStopped:
      return LookAt(event.pod);
    case LifePoint::kPodReady:
    case LifePoint::kPodFailed:
    case LifePoint::kPodRemoved:
    case LifePoint::kContainerCreated:
      return;
  }
}

void RemoveOnExit::LookAtAll() {
  for (const PodPtr& pod : table_.Pods()) {
    if (IsAsked(*pod)) LookAt(pod);
  }
}

void RemoveOnExit::LookAt(const PodPtr& pod) {
  std::vector<state::ContainerRecord> containers;
  for (const ContainerPtr& container : table_.ContainersOf(*pod)) {
    containers.push_back(*container->Snapshot());
  }
  if (!HasRunItsCourse(pod->Ready(), pod->Snapshot()->has_run(), containers)) return;
  {
    absl::MutexLock lock(&mutex_);
    if (!going_.insert(pod->id).second) return;
  }
  LogPod(LogLevel::kInfo, "pod.run_its_course", *pod);
  background_.UntilDone(absl::StrCat("removal of pod ", pod->id, " after its last container"),
                        [this, pod] { return Remove(pod); });
}

absl::Status RemoveOnExit::Remove(const PodPtr& pod) {
  // A client may have been quicker.
  if (!absl::IsNotFound(table_.FindPod(pod->id).status())) CRISP_RETURN_IF_ERROR(remove_(pod));
  absl::MutexLock lock(&mutex_);
  going_.erase(pod->id);
  return absl::OkStatus();
}

}  // namespace crisp::cri
