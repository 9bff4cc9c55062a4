#include "cri/containers/node_context.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/node/host_facts.h"
#include "runtime/lsm/apparmor.h"
#include "runtime/lsm/selinux_store.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kAppArmorTime = absl::Seconds(20);  // for apparmor_parser

void LoadDefaultAppArmor(const std::string& state, HostFacts& host) {
  const absl::Status loaded = runtime::LoadDefaultAppArmor(absl::StrCat(state, "/apparmor-default"),
                                                           Operation(absl::Now() + kAppArmorTime));
  if (loaded.ok()) {
    host.default_apparmor = runtime::kDefaultAppArmorProfile;
  } else {
    LogWarning("containers that name no AppArmor profile run unconfined",
               {{"error", loaded.ToString()}});
  }
}

void TellWhatIsMissing(const NodeContext& node) {
  if (!node.options.cgroup_writable_handlers.empty() && !node.layout->nsdelegate) {
    LogWarning("cgroups stay read-only in containers of cgroup_writable_handlers",
               {{"reason", "that takes cgroup v2 alone, mounted with nsdelegate"}});
  }
  const runtime::SelinuxHost& selinux = node.host.selinux;
  if (!selinux.enabled && !selinux.off && !selinux.required) {
    LogInfo("SELinux labels that pods ask for are overlooked",
            {{"reason", "this kernel has no SELinux"}});
  }
  if (selinux.enabled && !selinux.off && !selinux.unusable.empty()) {
    LogWarning("containers run without SELinux labels", {{"reason", selinux.unusable}});
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const NodeContext>> NodeContext::Make(PodManagerOptions options,
                                                                     storage::ImageStore* images,
                                                                     network::PodNetwork* network,
                                                                     metrics::Registry* metrics) {
  std::unique_ptr<NodeContext> node(new NodeContext{
      .options = std::move(options), .images = images, .network = network, .metrics = metrics});
  const std::string& root = node->options.root;
  CRISP_RETURN_IF_ERROR(MakeDirs(node->PodsDir(), 0711));
  CRISP_RETURN_IF_ERROR(MakeDirs(node->VolumesDir(), 0711));
  CRISP_ASSIGN_OR_RETURN(node->paths,
                         runtime::HostPaths::Create({.helper = node->options.path_helper,
                                                     .timeout = node->options.path_timeout}));
  node->layout = node->options.cgroups;
  if (node->layout == nullptr) {
    CRISP_ASSIGN_OR_RETURN(runtime::CgroupLayout layout, runtime::DetectCgroups());
    node->layout = std::make_shared<const runtime::CgroupLayout>(std::move(layout));
  }
  CRISP_ASSIGN_OR_RETURN(node->layers, MakeConstantLayers(root));
  node->host = ReadHostFacts(*node->layout);
  if (node->host.apparmor) LoadDefaultAppArmor(node->options.state, node->host);
  node->host.selinux.off = !node->options.selinux;
  node->host.selinux.required = node->options.selinux_required;
  TellWhatIsMissing(*node);
  std::vector<std::string> stores = {absl::StrCat(root, "/layers"), absl::StrCat(root, "/ingest"),
                                     absl::StrCat(root, "/containers"), node->layers.empty};
  if (!node->layers.mount_points.empty()) stores.push_back(node->layers.mount_points);
  CRISP_RETURN_IF_ERROR(runtime::LabelStores(stores, node->host.selinux));
  return std::unique_ptr<const NodeContext>(std::move(node));
}

std::string NodeContext::PodsDir() const { return absl::StrCat(options.state, "/pods"); }

std::string NodeContext::PodDir(absl::string_view pod_id) const {
  return absl::StrCat(options.state, "/pods/", pod_id);
}

std::string NodeContext::FilesDir(absl::string_view pod_id) const {
  return absl::StrCat(PodDir(pod_id), "/files");
}

std::string NodeContext::ExistingFilesDir(absl::string_view pod_id) const {
  std::string dir = FilesDir(pod_id);
  return access(dir.c_str(), F_OK) == 0 ? dir : "";
}

std::string NodeContext::ExitRecordPath(absl::string_view pod_id,
                                        absl::string_view container_id) const {
  return absl::StrCat(PodDir(pod_id), "/exits/", container_id);
}

std::string NodeContext::VolumesDir() const { return absl::StrCat(options.root, "/volumes"); }

std::string NodeContext::VolumeDir(absl::string_view container_id) const {
  return absl::StrCat(options.root, "/volumes/", container_id);
}

bool NodeContext::CgroupWritable(const Pod& pod) const {
  const std::vector<std::string>& handlers = options.cgroup_writable_handlers;
  return layout->nsdelegate && std::find(handlers.begin(), handlers.end(),
                                         pod.Snapshot()->runtime_handler()) != handlers.end();
}

runtime::PodNamespaces NamespacesOf(const Pod& pod) {
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

}  // namespace crisp::cri
