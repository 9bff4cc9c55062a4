#ifndef CRISP_CRI_CONTAINERS_CONTAINER_JOB_H_
#define CRISP_CRI_CONTAINERS_CONTAINER_JOB_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cri/spec/spec_builder.h"
#include "cri/state/pod.h"
#include "cri/state/step_timer.h"
#include "runtime/oci/crisp_mounts.h"
#include "runtime/oci/user_lookup.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

// The data that one CreateContainer gathers, step by step. container_resolve.cc fills in the user,
// mounts and devices, container_maker.cc the rest, in the order of the members.
struct ContainerJob {
  const v1::ContainerConfig& config;
  std::shared_ptr<Pod> pod;
  v1::PodSandboxConfig pod_config;
  std::shared_ptr<Container> container;
  storage::Image image;
  storage::RootFs root;
  UniqueFd root_mount;  // of a spare; otherwise the runtime makes it
  std::vector<ResolvedMount> mounts;
  std::vector<v1::Mount> shown_mounts;
  std::map<std::string, runtime::ImageVolume> image_volumes;
  std::vector<ResolvedDevice> devices;
  std::map<std::string, std::string> device_sources;
  runtime::SelinuxLabels selinux;
  runtime::ResolvedUser user;
  std::map<std::string, std::string> volumes;
  std::optional<std::string> seccomp_json;
  int32_t target_pid = 0;
  runtime::PodNamespaces namespaces;  // of the pod
  runtime::OciSpec spec;
  std::shared_ptr<const runtime::ExecBase> exec_base;
  StepTimer* timer = nullptr;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONTAINER_JOB_H_
