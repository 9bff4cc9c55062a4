#include "cri/pod_manager.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/host_facts.h"
#include "runtime/apparmor.h"
#include "runtime/selinux_store.h"

namespace crisp::cri {
namespace {

// What a request waits for a shim that is just being connected to.
constexpr absl::Duration kAdoptionPatience = absl::Seconds(5);
constexpr absl::Duration kAppArmorTime = absl::Seconds(20);  // for apparmor_parser

absl::Status NotReady(const Pod& pod) {
  return absl::FailedPreconditionError(absl::StrCat("pod sandbox ", pod.id, " is not ready"));
}

}  // namespace

PodManager::PodManager(PodManagerOptions options,
                       storage::ImageStore* images,
                       network::PodNetwork* network)
    : options_(std::move(options)),
      images_(images),
      network_(network),
      copies_(options_.state + "/pods"),
      cdi_(options_.cdi_spec_dirs,
           [this](const std::string& path, bool itself) {
             using Links = runtime::HostPaths::Links;
             return paths_->Stat(path, itself ? Links::kStay : Links::kFollow);
           }),
      mcs_(options_.selinux_categories),
      spare_roots_(images_, &cleanup_, options_.spare_roots) {}

PodManager::~PodManager() { Stop(); }

void PodManager::Stop() {
  stopping_ = true;
  events_.Stop();
  adoptions_.Stop();
  quick_.Stop();
  cleanup_.Stop();
  spare_roots_.DropAll();
}

absl::StatusOr<std::unique_ptr<PodManager>> PodManager::Create(PodManagerOptions options,
                                                               storage::ImageStore* images,
                                                               network::PodNetwork* network) {
  std::unique_ptr<PodManager> manager(new PodManager(std::move(options), images, network));
  CRISP_RETURN_IF_ERROR(manager->cleanup_.Start());
  CRISP_RETURN_IF_ERROR(manager->quick_.Start());
  CRISP_RETURN_IF_ERROR(manager->adoptions_.Start());
  const std::string& state = manager->options_.state;
  CRISP_RETURN_IF_ERROR(MakeDirs(absl::StrCat(state, "/pods"), 0711));
  CRISP_RETURN_IF_ERROR(MakeDirs(absl::StrCat(manager->options_.root, "/volumes"), 0711));
  CRISP_ASSIGN_OR_RETURN(manager->paths_,
                         runtime::HostPaths::Create({.helper = manager->options_.path_helper,
                                                     .timeout = manager->options_.path_timeout}));
  CRISP_ASSIGN_OR_RETURN(runtime::CgroupLayout layout, runtime::DetectCgroups());
  CRISP_ASSIGN_OR_RETURN(manager->layers_, MakeConstantLayers(manager->options_.root));
  manager->spare_roots_.SetBottom(manager->layers_.mount_points);
  manager->layout_ = std::make_shared<const runtime::CgroupLayout>(std::move(layout));
  manager->host_ = ReadHostFacts(*manager->layout_);
  if (manager->host_.apparmor) manager->LoadDefaultAppArmor();
  if (!manager->options_.cgroup_writable_handlers.empty() && !manager->layout_->nsdelegate) {
    LogWarning("cgroups stay read-only in containers of cgroup_writable_handlers",
               {{"reason", "that takes cgroup v2 alone, mounted with nsdelegate"}});
  }
  runtime::SelinuxHost& selinux = manager->host_.selinux;
  selinux.off = !manager->options_.selinux;
  selinux.required = manager->options_.selinux_required;
  if (!selinux.enabled && !selinux.off && !selinux.required) {
    LogInfo("SELinux labels that pods ask for are overlooked", {{"reason", "this kernel has no SELinux"}});
  }
  if (selinux.enabled && !selinux.off && !selinux.unusable.empty()) {
    LogWarning("containers run without SELinux labels", {{"reason", selinux.unusable}});
  }
  const std::string& root = manager->options_.root;
  std::vector<std::string> stores = {absl::StrCat(root, "/layers"), absl::StrCat(root, "/ingest"),
                                     absl::StrCat(root, "/containers"), manager->layers_.empty};
  if (!manager->layers_.mount_points.empty()) stores.push_back(manager->layers_.mount_points);
  CRISP_RETURN_IF_ERROR(runtime::LabelStores(stores, selinux));
  CRISP_ASSIGN_OR_RETURN(manager->records_, RecordStore::Open(absl::StrCat(state, "/state.db")));
  return manager;
}

void PodManager::WarmUp() {
  seccomp_.Warm();
  if (PodCount() > 0) quick_.Post([this] { SampleAll(); });
  if (UsesSystemd()) cleanup_.Post([this] { WatchSystemd(false); });
}

void PodManager::LoadDefaultAppArmor() {
  const absl::Status loaded = runtime::LoadDefaultAppArmor(
      absl::StrCat(options_.state, "/apparmor-default"), Cancel(absl::Now() + kAppArmorTime));
  if (loaded.ok()) {
    host_.default_apparmor = runtime::kDefaultAppArmorProfile;
  } else {
    LogWarning("containers that name no AppArmor profile run unconfined", {{"error", loaded.ToString()}});
  }
}

std::string PodManager::PodDir(const std::string& id) const {
  return absl::StrCat(options_.state, "/pods/", id);
}

std::string PodManager::OlderFilesDir(const std::string& id) const {
  std::string dir = absl::StrCat(PodDir(id), "/files");
  return access(dir.c_str(), F_OK) == 0 ? dir : "";
}
std::string PodManager::ExitRecordPath(const std::string& pod_id, const std::string& id) const {
  return absl::StrCat(PodDir(pod_id), "/exits/", id);
}
std::string PodManager::VolumeDir(const std::string& container_id) const {
  return absl::StrCat(options_.root, "/volumes/", container_id);
}

runtime::PodNamespaces PodManager::NamespacesOf(const Pod& pod) const {
  const auto held = pod.Snapshot();
  const state::PodRecord& record = *held;
  const std::string base = absl::StrCat("/proc/", record.shim_pid(), "/ns/");
  runtime::PodNamespaces namespaces{.pid_path = base + "pid_for_children",
                                    .ipc_path = base + "ipc",
                                    .net_path = base + "net",
                                    .uts_path = base + "uts",
                                    .user_path = base + "user"};
  const v1::UserNamespace& userns =
      record.config().linux().security_context().namespace_options().userns_options();
  // Checked when the pod was made.
  if (auto maps = ToIdMaps(userns.uids()); maps.ok()) namespaces.uid_maps = *std::move(maps);
  if (auto maps = ToIdMaps(userns.gids()); maps.ok()) namespaces.gid_maps = *std::move(maps);
  return namespaces;
}

bool PodManager::CgroupWritable(const Pod& pod) const {
  const std::vector<std::string>& handlers = options_.cgroup_writable_handlers;
  return layout_->nsdelegate &&
         std::find(handlers.begin(), handlers.end(), pod.Snapshot()->runtime_handler()) != handlers.end();
}

absl::Status PodManager::Change(Pod& pod, const std::function<void(state::PodRecord&)>& change) {
  absl::MutexLock save(&pod.save_mutex);
  if (pod.erased) return absl::NotFoundError(absl::StrCat("pod sandbox ", pod.id, " has been removed"));
  auto record = std::make_shared<state::PodRecord>(*pod.Snapshot());
  change(*record);
  absl::Status status = records_->Put(*record);
  if (!status.ok()) LogError("record.write", {{"pod", pod.id}, {"error", status.ToString()}});
  absl::MutexLock lock(&pod.mutex);
  pod.record = std::move(record);
  return status;
}

absl::Status PodManager::Change(Container& container,
                                const std::function<void(state::ContainerRecord&)>& change) {
  absl::MutexLock save(&container.save_mutex);
  if (container.erased) return absl::NotFoundError(absl::StrCat("container ", container.id, " has been removed"));
  auto record = std::make_shared<state::ContainerRecord>(*container.Snapshot());
  change(*record);
  absl::Status status = records_->Put(*record);
  if (!status.ok()) LogError("record.write", {{"container", container.id}, {"error", status.ToString()}});
  absl::MutexLock lock(&container.mutex);
  container.record = std::move(record);
  return status;
}

absl::Status PodManager::EraseRow(Pod& pod) {
  absl::MutexLock save(&pod.save_mutex);
  CRISP_RETURN_IF_ERROR(records_->Erase(pod.id));
  pod.erased = true;
  return absl::OkStatus();
}

absl::Status PodManager::EraseRow(Container& container) {
  absl::MutexLock save(&container.save_mutex);
  CRISP_RETURN_IF_ERROR(records_->Erase(container.id));
  container.erased = true;
  return absl::OkStatus();
}

void PodManager::ForgetName(const std::string& key, const std::string& id) {
  absl::MutexLock lock(&names_mutex_);
  auto it = names_.find(key);
  if (it != names_.end() && it->second == id) names_.erase(it);
}

absl::Status PodManager::ShowMade(const ContainerPtr& container) {
  absl::MutexLock lock(&container->pod->mutex);
  if (container->pod->record->stage() != state::PodRecord::READY) return NotReady(*container->pod);
  containers_.Insert(container->id, container);
  container->pod->containers.push_back(container);
  return absl::OkStatus();
}

absl::Status PodManager::BeginCreation(Pod& pod) {
  absl::MutexLock lock(&pod.mutex);
  if (pod.record->stage() != state::PodRecord::READY) return NotReady(pod);
  ++pod.creations;
  return absl::OkStatus();
}

void PodManager::EndCreation(Pod& pod) {
  absl::MutexLock lock(&pod.mutex);
  --pod.creations;
}

bool PodManager::AwaitCreations(const Pod& pod, absl::Duration patience) {
  absl::MutexLock lock(&pod.mutex);
  const auto none = [&pod] {
    pod.mutex.AssertReaderHeld();
    return pod.creations == 0;
  };
  return pod.mutex.AwaitWithTimeout(absl::Condition(&none), patience);
}

void PodManager::ShowContainer(const ContainerPtr& container) {
  absl::MutexLock lock(&container->pod->mutex);
  containers_.Insert(container->id, container);
  container->pod->containers.push_back(container);
}

bool PodManager::HideContainer(const Container& container) {
  absl::MutexLock lock(&container.pod->mutex);
  if (!containers_.Erase(container.id)) return false;
  std::erase_if(container.pod->containers, [&](const std::weak_ptr<Container>& one) {
    const ContainerPtr other = one.lock();
    return other == nullptr || other.get() == &container;
  });
  return true;
}

std::vector<PodManager::ContainerPtr> PodManager::ContainersOf(const Pod& pod) const {
  absl::MutexLock lock(&pod.mutex);
  std::vector<ContainerPtr> all;
  for (const std::weak_ptr<Container>& one : pod.containers) {
    if (ContainerPtr container = one.lock()) all.push_back(std::move(container));
  }
  return all;
}

absl::StatusOr<PodManager::RunningContainer> PodManager::FindRunning(
    absl::string_view container_id) const {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container, containers_.Find(container_id));
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  if (record.stage() != state::ContainerRecord::RUNNING) {
    return absl::FailedPreconditionError(absl::StrCat("container ", container->id, " is not running"));
  }
  RunningContainer running{.id = container->id,
                           .pod_id = container->pod->id,
                           .shim = container->pod->AwaitShim(kAdoptionPatience),
                           .terminal = record.config().tty(),
                           .stdin_open = record.config().stdin()};
  if (running.shim == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("the shim of container ", container->id, " is gone or cannot be reached"));
  }
  return running;
}

absl::StatusOr<std::shared_ptr<runtime::Shim>> PodManager::FindReadyPod(absl::string_view pod_id) const {
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, pods_.Find(pod_id));
  if (!pod->Ready()) return NotReady(*pod);
  std::shared_ptr<runtime::Shim> shim = pod->AwaitShim(kAdoptionPatience);
  if (shim == nullptr) {
    return absl::UnavailableError(absl::StrCat("the shim of pod sandbox ", pod->id, " cannot be reached"));
  }
  return shim;
}

}  // namespace crisp::cri
