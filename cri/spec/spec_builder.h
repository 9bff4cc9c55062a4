#ifndef CRISP_CRI_SPEC_SPEC_BUILDER_H_
#define CRISP_CRI_SPEC_SPEC_BUILDER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cri/api/api.pb.h"
#include "cri/node/host_facts.h"
#include "runtime/lsm/selinux.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/oci/pod_spec.h"
#include "runtime/oci/user_lookup.h"
#include "storage/values/image.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// CRI configuration → OCI runtime spec. Everything here is pure: facts about the machine come in as
// values. An error is InvalidArgument and names the field, unless another code is given.

// A mount of the CRI with its source resolved on the host.
struct ResolvedMount {
  v1::Mount mount;
  std::string host_path;         // symlinks resolved; empty for an image
  std::string image_id;          // of an image mount
  std::string image_key;         // its layers' pin, and its key among SpecInputs' image volumes
  std::string host_propagation;  // of the mount that holds host_path: "shared", "slave", "private"
};

// A device of the CRI as found on the host.
struct ResolvedDevice {
  runtime::OciDevice device;
  std::string permissions;
};

struct SpecInputs {
  const v1::PodSandboxConfig& pod;
  const v1::ContainerConfig& container;
  const storage::Image& image;
  std::string pod_id;
  std::string container_id;
  HostFacts host;
  runtime::PodNamespaces namespaces;  // of the pod
  int32_t target_pid = 0;             // of a TARGET PID namespace
  runtime::ResolvedUser user;
  std::string cgroups_path;
  bool cgroup_writable = false;  // also where the container is not privileged
  std::string root_path;
  // The directory with the pod's hostname, hosts and resolv.conf. Empty if the pod's runtime holds
  // them (PodHandle::TakeFiles()).
  std::string files_dir;
  std::string host_hostname;
  std::vector<ResolvedMount> mounts;
  std::vector<ResolvedDevice> devices;
  bool own_devices = false;  // devices belong to run_as_user and run_as_group if given
  std::map<std::string, std::string> volumes;  // image VOLUME path → directory of this container
  std::optional<std::string> seccomp_json;     // the Localhost profile's text
  runtime::SelinuxLabels selinux;              // SelectSelinux()'s
};

absl::StatusOr<runtime::OciSpec> BuildSpec(const SpecInputs& inputs);

// The parts, each tested by its own.

// argv by the CRI's rules. An error if nothing is left to run.
absl::StatusOr<std::vector<std::string>> BuildArgv(const v1::ContainerConfig& container,
                                                   const storage::Image& image);
// The variables of the image and of the config, with PATH and TERM if neither sets them. The last
// value of a name wins. They stand in the order of first mention.
absl::StatusOr<std::vector<std::string>> BuildEnv(const v1::ContainerConfig& container,
                                                  const storage::Image& image,
                                                  const std::string& hostname,
                                                  const std::string& home);
// The question for ResolveUser().
absl::StatusOr<runtime::UserRequest> MakeUserRequest(const v1::ContainerConfig& container,
                                                     const storage::Image& image);
// The signal that StopContainer sends: the config's, else the image's, else SIGTERM.
absl::StatusOr<int> StopSignalOf(const v1::ContainerConfig& container, const storage::Image& image);
// Parses "SIGTERM", "term", "15", "SIGRTMIN+3".
absl::StatusOr<int> ParseSignal(const std::string& text);
v1::Signal SignalToCri(int signal);

// Limits of the CRI as OCI ones; zero and empty members are unset.
absl::StatusOr<runtime::OciResources> BuildResources(const v1::LinuxContainerResources& resources,
                                                     const HostFacts& host);
// `change`, completed with the values in force that the kernel takes only together with it: quota
// with period, and on v2 swap with the memory limit.
runtime::OciResources CompleteChange(const runtime::OciResources& base,
                                     runtime::OciResources change);
// `base` with the members that `change` sets.
v1::LinuxContainerResources MergeCriResources(const v1::LinuxContainerResources& base,
                                              const v1::LinuxContainerResources& change);

// Security (spec_security.cc).
enum class SeccompChoice { kUnconfined, kDefault, kLocalhost };
struct SeccompSelection {
  SeccompChoice choice = SeccompChoice::kUnconfined;
  std::string path;  // of a Localhost profile, absolute
};
absl::StatusOr<SeccompSelection> SelectSeccomp(const v1::LinuxContainerSecurityContext& context);
// The profile for the spec; empty for unconfined. FailedPrecondition if a Localhost profile is
// asked for and the kernel has no AppArmor, or if the default profile is asked for by name and the
// kernel, which has AppArmor, lacks it.
absl::StatusOr<std::string> SelectAppArmor(const v1::LinuxContainerSecurityContext& context,
                                           const HostFacts& host);
absl::Status ApplySecurity(const SpecInputs& inputs, runtime::OciSpec& spec);

// SELinux (spec_selinux.cc).

// The level that the pod asks for by itself. Empty if it is to be given one.
std::string SelinuxLevelOf(const v1::PodSandboxConfig& pod);
// The labels of a container. Each member comes from its options or, if these lack it, from its
// pod's. The pod's own files have the labels of a container that asks for nothing. `pod_level` is
// the level that the pod holds. There are no labels if SELinux is off, or if the policy knows no
// containers and nothing is asked for. FailedPrecondition if labels are asked for that the kernel
// or the policy cannot give; a request to be unconfined is met there. The kernel checks the
// contexts themselves.
absl::StatusOr<runtime::SelinuxLabels> SelectSelinux(
    const v1::PodSandboxConfig& pod,
    const v1::LinuxContainerSecurityContext& container,
    const runtime::SelinuxHost& host,
    const std::string& pod_level);

// Mounts (spec_mounts.cc): defaults, the pod's files, image volumes, the config's; parents first.
absl::Status ApplyMounts(const SpecInputs& inputs, runtime::OciSpec& spec);
// Checks everything that needs no look at the host: RRO, propagation and image rules, absolute
// paths.
absl::Status CheckMount(const v1::Mount& mount);

// Namespaces (spec_namespaces.cc).
absl::Status ApplyNamespaces(const SpecInputs& inputs, runtime::OciSpec& spec);
// InvalidArgument for options of a pod or container that cannot work together.
absl::Status CheckPodNamespaces(const v1::NamespaceOption& options);
absl::Status CheckContainerNamespaces(const v1::NamespaceOption& pod,
                                      const v1::NamespaceOption& container);
absl::StatusOr<std::vector<runtime::OciIdMapping>> ToIdMaps(
    const google::protobuf::RepeatedPtrField<v1::IDMapping>& mappings);

}  // namespace crisp::cri

#endif  // CRISP_CRI_SPEC_SPEC_BUILDER_H_
