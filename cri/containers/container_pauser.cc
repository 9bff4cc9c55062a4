#include "cri/containers/container_pauser.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"

namespace crisp::cri {
namespace {

// For a container's processes to stand still, or to go on.
constexpr absl::Duration kPauseTime = absl::Seconds(10);
// To take back what did not succeed, and to deliver a signal.
constexpr absl::Duration kThawTime = absl::Seconds(1);

absl::Status RequireRunning(const Container& container) {
  CRISP_RETURN_IF_ERROR(Can(*container.pod, runtime::Verb::kPause));
  if (container.Stage() == state::ContainerRecord::RUNNING) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("container ", container.id, " is not running"));
}

// One that has ended meanwhile is not paused.
absl::Status Record(PodTable& table, Container& container, bool paused) {
  return table.Change(container, [paused](state::ContainerRecord& record) {
    record.set_paused(paused && record.stage() == state::ContainerRecord::RUNNING);
  });
}

}  // namespace

absl::Status ContainerPauser::Pause(Container& container, const Operation& operation) const {
  CRISP_RETURN_IF_ERROR(RequireRunning(container));
  runtime::PodRuntime& runtime = *container.pod->runtime;
  const auto record = container.Snapshot();
  const runtime::ContainerRef ref = RefTo(*container.pod, *record);
  CRISP_RETURN_IF_ERROR(Record(table_, container, true));
  const absl::Status paused = runtime.Pause(ref, operation.Until(absl::Now() + kPauseTime));
  if (paused.ok()) return paused;
  (void)runtime.Resume(ref, Operation(absl::Now() + kThawTime));
  (void)Record(table_, container, false);
  return Annotate(paused, absl::StrCat("pause container ", container.id, " (it goes on)"));
}

absl::Status ContainerPauser::Unpause(Container& container, const Operation& operation) const {
  CRISP_RETURN_IF_ERROR(RequireRunning(container));
  const auto record = container.Snapshot();
  CRISP_RETURN_IF_ERROR(
      Annotate(container.pod->runtime->Resume(RefTo(*container.pod, *record),
                                              operation.Until(absl::Now() + kPauseTime)),
               absl::StrCat("unpause container ", container.id)));
  return record->paused() ? Record(table_, container, false) : absl::OkStatus();
}

absl::Status UnpauseForSignal(PodTable& table, Container& container) {
  const auto record = container.Snapshot();
  if (!record->paused()) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(container.pod->runtime->Resume(RefTo(*container.pod, *record),
                                                       Operation(absl::Now() + kThawTime)));
  return Record(table, container, false);
}

}  // namespace crisp::cri
