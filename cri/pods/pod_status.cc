#include "cri/pods/pod_status.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "cri/spec/spec_builder.h"

namespace crisp::cri {
namespace {

constexpr size_t kShortestId = 12;  // what tools show

// True if the text is the id or the beginning of one, and not a name.
bool NamesId(absl::string_view text, absl::string_view id) {
  (void)absl::ConsumePrefix(&text, "sha256:");
  (void)absl::ConsumePrefix(&id, "sha256:");
  return text.size() >= kShortestId && absl::StartsWith(id, text);
}

// The name that the user gave; what the kubelet resolved it to stays in `image`'s place otherwise.
// For a bare id it is a name of that image, as others show it, while it has one.
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

std::string ListItem(const state::PodRecord& record) {
  v1::PodSandbox item;
  item.set_id(record.id());
  *item.mutable_metadata() = record.config().metadata();
  item.set_state(CriState(record));
  item.set_created_at(record.created_at());
  *item.mutable_labels() = record.config().labels();
  *item.mutable_annotations() = record.config().annotations();
  item.set_runtime_handler(record.runtime_handler());
  return item.SerializeAsString();
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

}  // namespace

v1::PodSandboxState CriState(const state::PodRecord& record) {
  return record.stage() == state::PodRecord::READY ? v1::SANDBOX_READY : v1::SANDBOX_NOTREADY;
}

v1::ContainerState CriState(const state::ContainerRecord& record) {
  switch (record.stage()) {
    case state::ContainerRecord::CREATED:
      return v1::CONTAINER_CREATED;
    case state::ContainerRecord::RUNNING:
      return v1::CONTAINER_RUNNING;
    case state::ContainerRecord::EXITED:
    case state::ContainerRecord::REMOVING:
      return v1::CONTAINER_EXITED;
    default:
      return v1::CONTAINER_UNKNOWN;
  }
}

std::shared_ptr<const std::string> Listed(const Pod& pod,
                                          const std::shared_ptr<const state::PodRecord>& record) {
  absl::MutexLock lock(&pod.mutex);
  if (pod.list_item.of != record) {
    pod.list_item = {record, std::make_shared<const std::string>(ListItem(*record))};
  }
  return pod.list_item.bytes;
}

std::shared_ptr<const std::string> Listed(
    const Container& container,
    const std::shared_ptr<const state::ContainerRecord>& record,
    const storage::ImageStore& images) {
  absl::MutexLock lock(&container.mutex);
  if (container.list_item.of != record) {
    container.list_item = {record, std::make_shared<const std::string>(ListItem(*record, images))};
  }
  return container.list_item.bytes;
}

void FillStatus(const Pod& pod, v1::PodSandboxStatus* status) {
  const auto held = pod.Snapshot();
  const state::PodRecord& record = *held;
  const v1::PodSandboxConfig& config = record.config();
  status->set_id(record.id());
  *status->mutable_metadata() = config.metadata();
  status->set_state(CriState(record));
  status->set_created_at(record.created_at());
  v1::PodSandboxNetworkStatus* network = status->mutable_network();
  // A stopped pod's are another pod's by now.
  const int addresses = record.stopped() ? 0 : record.addresses_size();
  for (int i = 0; i < addresses; ++i) {
    if (i == 0)
      network->set_ip(record.addresses(0));
    else
      network->add_additional_ips()->set_ip(record.addresses(i));
  }
  *status->mutable_linux()->mutable_namespaces()->mutable_options() =
      config.linux().security_context().namespace_options();
  *status->mutable_labels() = config.labels();
  *status->mutable_annotations() = config.annotations();
  status->set_runtime_handler(record.runtime_handler());
}

void FillStatus(const Container& container,
                const storage::ImageStore& images,
                v1::ContainerStatus* status) {
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
  *status->mutable_image() = ShownImage(record, images);
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

void FillStatuses(const std::vector<std::shared_ptr<Container>>& containers,
                  const storage::ImageStore& images,
                  google::protobuf::RepeatedPtrField<v1::ContainerStatus>* statuses) {
  for (const std::shared_ptr<Container>& container : containers)
    FillStatus(*container, images, statuses->Add());
  std::sort(statuses->begin(), statuses->end(),
            [](const v1::ContainerStatus& a, const v1::ContainerStatus& b) {
              return a.created_at() > b.created_at();
            });
}

}  // namespace crisp::cri
