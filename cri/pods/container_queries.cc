#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/containers/container_pauser.h"
#include "cri/pods/message_json.h"
#include "cri/pods/pod_queries.h"
#include "cri/pods/pod_status.h"
#include "cri/state/label_selector.h"
#include "cri/state/life_log.h"
#include "cri/state/serialized_items.h"

namespace crisp::cri {
namespace {

admin::ContainerChange::Kind KindOf(storage::Change::Kind kind) {
  switch (kind) {
    case storage::Change::Kind::kChanged:
      return admin::ContainerChange::CHANGED;
    case storage::Change::Kind::kAdded:
      return admin::ContainerChange::ADDED;
    case storage::Change::Kind::kDeleted:
      return admin::ContainerChange::DELETED;
  }
  return admin::ContainerChange::CHANGED;
}

}  // namespace

Json PodQueries::SpecShown(const Container& container) const {
  const absl::StatusOr<runtime::OciSpec> spec = table_.SpecOf(container);
  if (spec.ok()) return runtime::ToJson(*spec);
  LogContainer(LogLevel::kError, "container.spec", container,
               {{"error", spec.status().ToString()}});
  return nullptr;
}

absl::Status PodQueries::ContainerStatus(const v1::ContainerStatusRequest& request,
                                         v1::ContainerStatusResponse* reply) const {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container,
                         table_.FindContainer(request.container_id()));
  FillStatus(*container, *node_.images, reply->mutable_status());
  if (!request.verbose()) return absl::OkStatus();
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  (*reply->mutable_info())["info"] =
      absl::StrCat("{\"sandboxID\":\"", record.pod_id(), "\",\"pid\":", record.pid(),
                   ",\"paused\":", IsPaused(*container) ? "true" : "false",
                   ",\"cgroupPath\":", DumpJson(Json(record.cgroup_path())),
                   ",\"config\":", DumpJson(MessageToJson(record.config())),
                   ",\"runtimeSpec\":", DumpJson(SpecShown(*container)), "}");
  return absl::OkStatus();
}

absl::Status PodQueries::ListContainers(View view,
                                        const v1::ListContainersRequest& request,
                                        v1::ListContainersResponse* reply) const {
  const v1::ContainerFilter& filter = request.filter();
  for (const ContainerPtr& container : table_.Containers()) {
    if (!container->pod->ShownIn(view) || !absl::StartsWith(container->id, filter.id())) continue;
    if (!absl::StartsWith(container->pod->id, filter.pod_sandbox_id())) continue;
    const auto held = container->Snapshot();
    const state::ContainerRecord& record = *held;
    if (filter.has_state() && filter.state().state() != CriState(record)) continue;
    if (!MatchesLabels(filter.label_selector(), record.config().labels())) continue;
    AddSerializedItem(v1::ListContainersResponse::kContainersFieldNumber,
                      *Listed(*container, held, *node_.images), *reply);
  }
  return absl::OkStatus();
}

absl::flat_hash_set<std::string> PodQueries::ImagesOfOperator() const {
  absl::flat_hash_set<std::string> ids;
  for (const ContainerPtr& container : table_.Containers()) {
    if (container->pod->ShownIn(View::kKubelet)) continue;
    const auto record = container->Snapshot();
    ids.insert(record->image_id());
    for (const v1::Mount& mount : record->config().mounts()) {
      if (!mount.has_image()) continue;
      const auto image = node_.images->Find(mount.image().image());
      if (image.ok()) ids.insert(image->id);
    }
  }
  return ids;
}

absl::Status PodQueries::ContainerChanges(const admin::ContainerChangesRequest& request,
                                          admin::ContainerChangesResponse* reply,
                                          const Operation& operation) const {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container,
                         table_.FindContainer(request.container_id()));
  CRISP_ASSIGN_OR_RETURN(
      storage::Changes changes,
      node_.images->ContainerChanges(container->id, storage::ChangeLimits(), operation));
  for (storage::Change& change : changes.list) {
    admin::ContainerChange* const added = reply->add_changes();
    added->set_path(std::move(change.path));
    added->set_kind(KindOf(change.kind));
  }
  reply->set_truncated(changes.truncated);
  return absl::OkStatus();
}

absl::StatusOr<Json> PodQueries::Explain(absl::string_view id) const {
  const absl::StatusOr<ContainerPtr> found = table_.FindContainer(id);
  if (absl::IsNotFound(found.status())) {
    // Of a pod there are only the times.
    absl::StatusOr<PodPtr> pod = table_.FindPod(id);
    if (!pod.ok()) return found.status();
    return Json{{"id", (*pod)->id}, {"timing", (*pod)->steps.ToJson()}};
  }
  if (!found.ok()) return found.status();
  const ContainerPtr& container = *found;
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  Json kernel = {{"pid", record.pid()}};
  auto pids = node_.CgroupAt(record.cgroup_path()).Pids();
  if (pids.ok()) kernel["pids"] = *pids;
  return Json{{"id", record.id()},
              {"pod", record.pod_id()},
              {"image", record.image_id()},
              {"log", record.log_path()},
              {"cgroups", node_.CgroupAt(record.cgroup_path()).Dirs()},
              {"spec", SpecShown(*container)},
              {"paused", IsPaused(*container)},
              {"timing", container->steps.ToJson()},
              {"kernel", std::move(kernel)}};
}

int PodQueries::ReadyPods() const {
  int count = 0;
  for (const PodPtr& pod : table_.Pods()) count += pod->Ready();
  return count;
}

int PodQueries::NotReadyPods() const {
  int count = 0;
  for (const PodPtr& pod : table_.Pods()) count += !pod->Ready();
  return count;
}

int PodQueries::ContainersIn(ContainerStage stage) const {
  int count = 0;
  for (const ContainerPtr& container : table_.Containers()) count += container->Stage() == stage;
  return count;
}

}  // namespace crisp::cri
