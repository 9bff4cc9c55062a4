#ifndef CRISP_CRI_CONTAINERS_NODE_CONTEXT_H_
#define CRISP_CRI_CONTAINERS_NODE_CONTEXT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri/containers/constant_layers.h"
#include "cri/containers/pod_options.h"
#include "cri/spec/spec_builder.h"
#include "cri/state/pod.h"
#include "metrics/registry.h"
#include "network/pod/pod_network.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/paths/host_paths.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

// The common knowledge of all classes that work on pods: the properties of the node, the options,
// and the places of things. Nothing of it changes once it is made.
struct NodeContext {
  const PodManagerOptions options;
  storage::ImageStore* const images;
  network::PodNetwork* const network;
  metrics::Registry* const metrics;  // may be null
  std::shared_ptr<const runtime::CgroupLayout> layout;
  HostFacts host;
  ConstantLayers layers;
  std::unique_ptr<runtime::HostPaths> paths;

  // Looks at the machine and makes the directories and layers that every pod needs. The objects
  // that are pointed to outlive it.
  static absl::StatusOr<std::unique_ptr<const NodeContext>> Make(PodManagerOptions options,
                                                                 storage::ImageStore* images,
                                                                 network::PodNetwork* network,
                                                                 metrics::Registry* metrics);

  std::string PodsDir() const;
  std::string PodDir(absl::string_view pod_id) const;
  // Where the files for /etc are of a pod whose runtime has no place for them, or that was made by
  // a version which kept them there.
  std::string FilesDir(absl::string_view pod_id) const;
  // The same if there is such a directory; else empty.
  std::string ExistingFilesDir(absl::string_view pod_id) const;
  std::string ExitRecordPath(absl::string_view pod_id, absl::string_view container_id) const;
  std::string VolumesDir() const;
  std::string VolumeDir(absl::string_view container_id) const;

  runtime::Cgroup CgroupAt(const std::string& path) const { return {layout, path}; }
  bool UsesSystemd() const { return options.cgroup_driver == runtime::CgroupDriver::kSystemd; }
  // True if the pod's containers may make cgroups below their own.
  bool CgroupWritable(const Pod& pod) const;
};

// Those of the process that holds the pod, with the pod's id mappings.
runtime::PodNamespaces NamespacesOf(const Pod& pod);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_NODE_CONTEXT_H_
