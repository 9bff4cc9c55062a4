#include "cri/state/pod_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/spec/spec_row.h"
#include "cri/state/life_log.h"

namespace crisp::cri {
namespace {

// The time that a request waits for a shim that is just being connected to.
constexpr absl::Duration kAdoptionPatience = absl::Seconds(5);

const char* Words(PodStage stage) {
  switch (stage) {
    case state::PodRecord::MAKING:
      return "being made";
    case state::PodRecord::READY:
      return "ready";
    case state::PodRecord::NOT_READY:
      return "not ready";
    default:
      return "being removed";
  }
}

const char* Words(ContainerStage stage) {
  switch (stage) {
    case state::ContainerRecord::RUNNING:
      return "running";
    case state::ContainerRecord::EXITED:
      return "exited";
    case state::ContainerRecord::CREATED:
      return "created";
    case state::ContainerRecord::MAKING:
      return "being made";
    default:
      return "being removed";
  }
}

absl::Status Erased(const Pod& pod) {
  return absl::NotFoundError(absl::StrCat("pod sandbox ", pod.id, " has been removed"));
}
absl::Status Erased(const Container& container) {
  return absl::NotFoundError(absl::StrCat("container ", container.id, " has been removed"));
}

absl::Status StageTouched(const std::string& id) {
  return absl::InternalError(
      absl::StrCat("record of ", id, ": only PodTable::Advance() changes a stage"));
}

}  // namespace

absl::Status NotReady(const Pod& pod) {
  return absl::FailedPreconditionError(absl::StrCat("pod sandbox ", pod.id, " is not ready"));
}

std::vector<ContainerPtr> PodTable::ContainersOf(const Pod& pod) const {
  absl::MutexLock lock(&pod.mutex);
  std::vector<ContainerPtr> all;
  for (const std::weak_ptr<Container>& one : pod.containers) {
    if (ContainerPtr container = one.lock()) all.push_back(std::move(container));
  }
  return all;
}

absl::StatusOr<PodTable::RunningContainer> PodTable::FindRunning(
    absl::string_view container_id) const {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container, containers_.Find(container_id));
  if (container->Stage() != state::ContainerRecord::RUNNING) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container->id, " is not running"));
  }
  RunningContainer running{.id = container->id,
                           .pod_id = container->pod->id,
                           .container = container,
                           .handle = container->pod->AwaitHandle(kAdoptionPatience)};
  if (running.handle == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("the shim of container ", container->id, " is gone or cannot be reached"));
  }
  return running;
}

absl::StatusOr<std::shared_ptr<runtime::PodHandle>> PodTable::FindReadyPod(
    absl::string_view pod_id) const {
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, pods_.Find(pod_id));
  if (!pod->Ready()) return NotReady(*pod);
  std::shared_ptr<runtime::PodHandle> handle = pod->AwaitHandle(kAdoptionPatience);
  if (handle == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("the shim of pod sandbox ", pod->id, " cannot be reached"));
  }
  return handle;
}

absl::Status PodTable::Write(Pod& pod, std::shared_ptr<state::PodRecord> record) {
  absl::Status status = records_->Put(*record);
  if (!status.ok()) LogPod(LogLevel::kError, "record.write", pod, {{"error", status.ToString()}});
  absl::MutexLock lock(&pod.mutex);
  pod.record = std::move(record);
  return status;
}

absl::Status PodTable::Write(Container& container, std::shared_ptr<state::ContainerRecord> record) {
  absl::Status status = records_->Put(*record);
  if (!status.ok())
    LogContainer(LogLevel::kError, "record.write", container, {{"error", status.ToString()}});
  absl::MutexLock lock(&container.mutex);
  container.record = std::move(record);
  return status;
}

absl::Status PodTable::Add(Pod& pod) {
  return Change(pod, [](state::PodRecord&) {});
}
absl::Status PodTable::Add(Container& container) {
  return Change(container, [](state::ContainerRecord&) {});
}

absl::Status PodTable::Change(Pod& pod, PodEdit edit) {
  absl::MutexLock save(&pod.save_mutex);
  if (pod.erased) return Erased(pod);
  const auto before = pod.Snapshot();
  auto record = std::make_shared<state::PodRecord>(*before);
  edit(*record);
  if (record->stage() != before->stage()) return StageTouched(pod.id);
  return Write(pod, std::move(record));
}

absl::Status PodTable::Change(Container& container, ContainerEdit edit) {
  absl::MutexLock save(&container.save_mutex);
  if (container.erased) return Erased(container);
  const auto before = container.Snapshot();
  auto record = std::make_shared<state::ContainerRecord>(*before);
  edit(*record);
  if (record->stage() != before->stage()) return StageTouched(container.id);
  return Write(container, std::move(record));
}

void PodTable::Note(Pod& pod, PodEdit edit) {
  absl::MutexLock save(&pod.save_mutex);
  auto record = std::make_shared<state::PodRecord>(*pod.Snapshot());
  edit(*record);
  absl::MutexLock lock(&pod.mutex);
  pod.record = std::move(record);
}

PodTable::Moved PodTable::Advance(Pod& pod, Mover by, PodStage to, PodEdit edit) {
  absl::MutexLock save(&pod.save_mutex);
  if (pod.erased) return {.status = Erased(pod)};
  const auto before = pod.Snapshot();
  if (!MayMove(by, before->stage(), to)) {
    return {.status = absl::FailedPreconditionError(
                absl::StrCat("pod sandbox ", pod.id, " is ", Words(before->stage()), " by now"))};
  }
  auto record = std::make_shared<state::PodRecord>(*before);
  edit(*record);
  record->set_stage(to);
  return {.done = true, .status = Write(pod, std::move(record))};
}

PodTable::Moved PodTable::Advance(Container& container,
                                  Mover by,
                                  ContainerStage to,
                                  ContainerEdit edit) {
  absl::MutexLock save(&container.save_mutex);
  if (container.erased) return {.status = Erased(container)};
  if (by == Mover::kRecovery) {
    absl::MutexLock lock(&container.mutex);
    if (container.phase == Container::Phase::kStarting) {
      return {.status = absl::FailedPreconditionError(
                  absl::StrCat("container ", container.id, " is being started"))};
    }
  }
  const auto before = container.Snapshot();
  if (!MayMove(by, before->stage(), to)) {
    return {.status = absl::FailedPreconditionError(absl::StrCat(
                "container ", container.id, " is ", Words(before->stage()), " by now"))};
  }
  auto record = std::make_shared<state::ContainerRecord>(*before);
  edit(*record);
  record->set_stage(to);
  return {.done = true, .status = Write(container, std::move(record))};
}

absl::Status PodTable::Erase(Pod& pod) {
  absl::MutexLock save(&pod.save_mutex);
  CRISP_RETURN_IF_ERROR(records_->Erase(pod.id));
  pod.erased = true;
  absl::MutexLock lock(&pod.mutex);
  pod.level.End();
  return absl::OkStatus();
}

absl::Status PodTable::Erase(Container& container) {
  absl::MutexLock save(&container.save_mutex);
  CRISP_RETURN_IF_ERROR(records_->Erase(container.id));
  container.erased = true;
  absl::MutexLock lock(&container.mutex);
  container.level.End();
  return absl::OkStatus();
}

void PodTable::Name(const std::string& key, const std::string& id) {
  absl::MutexLock lock(&names_mutex_);
  names_[key] = id;
}

void PodTable::ForgetName(const std::string& key, const std::string& id) {
  absl::MutexLock lock(&names_mutex_);
  auto it = names_.find(key);
  if (it != names_.end() && it->second == id) names_.erase(it);
}

std::string PodTable::IdOf(const std::string& name_key) const {
  absl::MutexLock lock(&names_mutex_);
  auto it = names_.find(name_key);
  return it == names_.end() ? "" : it->second;
}

void PodTable::Show(const PodPtr& pod) {
  Name(pod->name_key, pod->id);
  pods_.Insert(pod->id, pod);
}

void PodTable::Show(const ContainerPtr& container) {
  {
    absl::MutexLock lock(&container->pod->mutex);
    containers_.Insert(container->id, container);
    container->pod->containers.push_back(container);
  }
  Name(container->name_key, container->id);
}

absl::Status PodTable::ShowMade(const ContainerPtr& container) {
  {
    absl::MutexLock lock(&container->pod->mutex);
    if (container->pod->record->stage() != state::PodRecord::READY)
      return NotReady(*container->pod);
    containers_.Insert(container->id, container);
    container->pod->containers.push_back(container);
  }
  Name(container->name_key, container->id);
  return absl::OkStatus();
}

bool PodTable::Hide(const Pod& pod) {
  if (!pods_.Erase(pod.id)) return false;
  ForgetName(pod.name_key, pod.id);
  return true;
}

bool PodTable::Hide(const Container& container) {
  {
    absl::MutexLock lock(&container.pod->mutex);
    if (!containers_.Erase(container.id)) return false;
    std::erase_if(container.pod->containers, [&](const std::weak_ptr<Container>& one) {
      const ContainerPtr other = one.lock();
      return other == nullptr || other.get() == &container;
    });
  }
  ForgetName(container.name_key, container.id);
  return true;
}

absl::Status PodTable::BeginCreation(Pod& pod) {
  absl::MutexLock lock(&pod.mutex);
  if (pod.record->stage() != state::PodRecord::READY) return NotReady(pod);
  ++pod.creations;
  return absl::OkStatus();
}

void PodTable::EndCreation(Pod& pod) {
  absl::MutexLock lock(&pod.mutex);
  --pod.creations;
}

bool PodTable::AwaitCreations(const Pod& pod, absl::Duration patience) {
  absl::MutexLock lock(&pod.mutex);
  const auto none = [&pod] {
    pod.mutex.AssertReaderHeld();
    return pod.creations == 0;
  };
  return pod.mutex.AwaitWithTimeout(absl::Condition(&none), patience);
}

absl::Status PodTable::BeginStart(Container& container) {
  // A stage whose row is being written just now counts.
  absl::MutexLock save(&container.save_mutex);
  absl::MutexLock lock(&container.mutex);
  if (container.record->stage() != state::ContainerRecord::CREATED || container.removing) {
    return absl::FailedPreconditionError(absl::StrCat("container ", container.id, " is ",
                                                      Words(container.record->stage()),
                                                      "; only a created one can be started"));
  }
  container.phase = Container::Phase::kStarting;
  return absl::OkStatus();
}

bool PodTable::BeginEnd(Container& container, const runtime::ExitRecord& exit) {
  absl::MutexLock lock(&container.mutex);
  if (container.phase == Container::Phase::kStarting) {
    container.early_exit = exit;
    return false;
  }
  if (container.record->stage() != state::ContainerRecord::RUNNING ||
      container.phase == Container::Phase::kEnding) {
    return false;
  }
  container.phase = Container::Phase::kEnding;
  container.written = true;
  return true;
}

void PodTable::EndEnd(Container& container) {
  absl::MutexLock lock(&container.mutex);
  container.pidfd = nullptr;
  container.phase = Container::Phase::kSettled;
}

absl::Status PodTable::PutSpec(const Container& container, const std::string& row) {
  return records_->PutSpec(container.id, row);
}

absl::StatusOr<runtime::OciSpec> PodTable::SpecOf(const Container& container) const {
  absl::Status status;
  absl::StatusOr<std::string> row = records_->Spec(container.id);
  if (row.ok()) {
    absl::StatusOr<runtime::OciSpec> spec = SpecFromRow(*row, container.Snapshot()->config());
    if (spec.ok()) return spec;
    status = spec.status();
  } else {
    status = row.status();
  }
  return absl::DataLossError(
      absl::StrCat("spec of container ", container.id, ": ", status.message()));
}

absl::StatusOr<RecordStore::Records> PodTable::Load() {
  CRISP_ASSIGN_OR_RETURN(RecordStore::Records records, records_->LoadAll());
  copies_.Restore(*records_, &records);
  return records;
}

}  // namespace crisp::cri
