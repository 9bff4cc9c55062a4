#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/label_selector.h"
#include "cri/message_json.h"
#include "cri/pod_manager.h"

namespace crisp::cri {
namespace {

v1::ContainerState CriState(const state::ContainerRecord& record) {
  switch (record.stage()) {
    case state::ContainerRecord::CREATED: return v1::CONTAINER_CREATED;
    case state::ContainerRecord::RUNNING: return v1::CONTAINER_RUNNING;
    case state::ContainerRecord::EXITED:
    case state::ContainerRecord::REMOVING: return v1::CONTAINER_EXITED;
    default: return v1::CONTAINER_UNKNOWN;
  }
}

constexpr size_t kShortestId = 12;  // what tools show

// Whether the text is the id or the beginning of one, not a name.
bool NamesId(absl::string_view text, absl::string_view id) {
  (void)absl::ConsumePrefix(&text, "sha256:");
  (void)absl::ConsumePrefix(&id, "sha256:");
  return text.size() >= kShortestId && absl::StartsWith(id, text);
}

// The name that the user gave; what the kubelet resolved it to stays in `image`'s place otherwise. For a bare
// id it is a name of that image, as others show it, while it has one.
v1::ImageSpec ShownImage(const state::ContainerRecord& record, const storage::ImageStore& images) {
  v1::ImageSpec image = record.config().image();
  if (!image.user_specified_image().empty()) image.set_image(image.user_specified_image());
  if (NamesId(image.image(), record.image_id())) {
    const absl::StatusOr<storage::Image> found = images.Find(record.image_id());
    if (found.ok() && !found->repo_tags.empty()) {
      image.set_image(found->repo_tags[0]);
    } else if (found.ok() && !found->repo_digests.empty()) {
      image.set_image(found->repo_digests[0]);
    }
  }
  return image;
}

std::string ListItem(const state::ContainerRecord& record, const storage::ImageStore& images) {
  v1::Container item;
  item.set_id(record.id());
  item.set_pod_sandbox_id(record.pod_id());
  *item.mutable_metadata() = record.config().metadata();
  *item.mutable_image() = ShownImage(record, images);
  item.set_image_ref(record.image_ref());
  item.set_image_id(record.image_id());
  item.set_state(CriState(record));
  item.set_created_at(record.created_at());
  *item.mutable_labels() = record.config().labels();
  *item.mutable_annotations() = record.config().annotations();
  return item.SerializeAsString();
}

std::shared_ptr<const std::string> Listed(const Container& container,
                                          const std::shared_ptr<const state::ContainerRecord>& record,
                                          const storage::ImageStore& images) {
  absl::MutexLock lock(&container.mutex);
  if (container.listed.of != record) {
    container.listed = {record, std::make_shared<const std::string>(ListItem(*record, images))};
  }
  return container.listed.bytes;
}

}  // namespace

void PodManager::FillStatus(const Container& container, v1::ContainerStatus* status) const {
  const auto held = container.Snapshot();
  const state::ContainerRecord& record = *held;
  const v1::ContainerConfig& config = record.config();
  status->set_id(record.id());
  *status->mutable_metadata() = config.metadata();
  status->set_state(CriState(record));
  status->set_created_at(record.created_at());
  status->set_started_at(record.started_at());
  status->set_finished_at(record.finished_at());
  status->set_exit_code(record.exit_code());
  *status->mutable_image() = ShownImage(record, *images_);
  status->set_image_ref(record.image_ref());
  status->set_image_id(record.image_id());
  status->set_reason(record.reason());
  status->set_message(record.message());
  *status->mutable_labels() = config.labels();
  *status->mutable_annotations() = config.annotations();
  *status->mutable_mounts() = record.mounts();
  status->set_log_path(record.log_path());
  *status->mutable_resources()->mutable_linux() = record.resources();
  *status->mutable_user()->mutable_linux() = record.user();
  status->set_stop_signal(SignalToCri(record.stop_signal()));
}

absl::StatusOr<runtime::OciSpec> PodManager::SpecOf(const Container& container) const {
  absl::Status status;
  absl::StatusOr<std::string> row = records_->Spec(container.id);
  if (row.ok()) {
    absl::StatusOr<runtime::OciSpec> spec = SpecFromRow(*row, container.Snapshot()->config());
    if (spec.ok()) return spec;
    status = spec.status();
  } else {
    status = row.status();
  }
  return absl::DataLossError(absl::StrCat("spec of container ", container.id, ": ", status.message()));
}

Json PodManager::SpecShown(const Container& container) const {
  const absl::StatusOr<runtime::OciSpec> spec = SpecOf(container);
  if (spec.ok()) return runtime::ToJson(*spec);
  LogError("container.spec", {{"container", container.id}, {"error", spec.status().ToString()}});
  return nullptr;
}

absl::Status PodManager::ContainerStatus(const v1::ContainerStatusRequest& request,
                                         v1::ContainerStatusResponse* reply,
                                         const Cancel&) {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container, containers_.Find(request.container_id()));
  FillStatus(*container, reply->mutable_status());
  if (!request.verbose()) return absl::OkStatus();
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  (*reply->mutable_info())["info"] =
      absl::StrCat("{\"sandboxID\":\"", record.pod_id(), "\",\"pid\":", record.pid(),
                   ",\"cgroupPath\":", DumpJson(Json(record.cgroup_path())),
                   ",\"config\":", DumpJson(MessageToJson(record.config())),
                   ",\"runtimeSpec\":", DumpJson(SpecShown(*container)), "}");
  return absl::OkStatus();
}

absl::Status PodManager::ListContainers(const v1::ListContainersRequest& request,
                                        v1::ListContainersResponse* reply,
                                        const Cancel&) {
  const v1::ContainerFilter& filter = request.filter();
  for (const ContainerPtr& container : containers_.All()) {
    if (!absl::StartsWith(container->id, filter.id())) continue;
    if (!absl::StartsWith(container->pod->id, filter.pod_sandbox_id())) continue;
    const auto held = container->Snapshot();
    const state::ContainerRecord& record = *held;
    if (filter.has_state() && filter.state().state() != CriState(record)) continue;
    if (!MatchesLabels(filter.label_selector(), record.config().labels())) continue;
    AddReadyItem(v1::ListContainersResponse::kContainersFieldNumber, *Listed(*container, held, *images_), *reply);
  }
  return absl::OkStatus();
}

absl::Status PodManager::ReopenContainerLog(const v1::ReopenContainerLogRequest& request,
                                            v1::ReopenContainerLogResponse*,
                                            const Cancel&) {
  CRISP_ASSIGN_OR_RETURN(const RunningContainer running, FindRunning(request.container_id()));
  return running.shim->ReopenLog(running.id);
}

absl::StatusOr<Json> PodManager::Explain(absl::string_view container_id) {
  const absl::StatusOr<ContainerPtr> found = containers_.Find(container_id);
  if (absl::IsNotFound(found.status())) {
    // Of a pod there are only the times.
    absl::StatusOr<PodPtr> pod = pods_.Find(container_id);
    if (!pod.ok()) return found.status();
    return Json{{"id", (*pod)->id}, {"timing", (*pod)->steps.ToJson()}};
  }
  if (!found.ok()) return found.status();
  const ContainerPtr& container = *found;
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  Json kernel = {{"pid", record.pid()}};
  auto pids = CgroupAt(record.cgroup_path()).Pids();
  if (pids.ok()) kernel["pids"] = *pids;
  return Json{{"id", record.id()},
              {"pod", record.pod_id()},
              {"image", record.image_id()},
              {"log", record.log_path()},
              {"cgroups", CgroupAt(record.cgroup_path()).Dirs()},
              {"spec", SpecShown(*container)},
              {"timing", container->steps.ToJson()},
              {"kernel", std::move(kernel)}};
}

}  // namespace crisp::cri
