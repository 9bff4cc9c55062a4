#ifndef CRISP_RUNTIME_DEVICES_CDI_SPEC_H_
#define CRISP_RUNTIME_DEVICES_CDI_SPEC_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/paths/path_wire.h"

namespace crisp::runtime {

// Container Device Interface: a vendor's file says how a container that asks for one of its devices
// is changed. Versions 0.3 to 1.1 of the CNCF specification.

struct CdiDeviceNode {
  std::string path;              // in the container
  std::string host_path;         // empty if the same
  std::string type;              // b, c, u, p; empty for the host's
  int64_t major = 0, minor = 0;  // major 0 for the host's
  std::optional<uint32_t> file_mode, uid, gid;
  std::string permissions = "rwm";  // for the cgroup; may be empty ("none")
  bool operator==(const CdiDeviceNode&) const = default;
};

struct CdiMount {
  std::string host_path, container_path, type;
  std::vector<std::string> options;
  bool operator==(const CdiMount&) const = default;
};

struct CdiEdits {
  std::vector<std::string> env;  // NAME=VALUE
  std::vector<CdiDeviceNode> device_nodes;
  std::vector<CdiMount> mounts;
  std::vector<uint32_t> additional_gids;
  // Members that are well-formed but that crisp does not carry out ("hooks", "intelRdt",
  // "netDevices"). A device with any of them is refused, because it would not work without them.
  std::vector<std::string> unsupported;
  bool operator==(const CdiEdits&) const = default;

  bool empty() const { return *this == CdiEdits(); }
  void Append(const CdiEdits& other);
};

struct CdiSpec {
  std::string kind;                         // vendor/class
  CdiEdits edits;                           // for every device of the file
  std::map<std::string, CdiEdits> devices;  // by bare name
};

// "vendor.com/class=name".
struct CdiDeviceName {
  std::string kind;  // vendor.com/class
  std::string name;
};
// InvalidArgument saying which part is wrong.
absl::StatusOr<CdiDeviceName> ParseCdiDeviceName(absl::string_view text);

// A file's text, YAML or JSON. InvalidArgument naming the member: unknown members, wrong types, bad
// names, duplicate devices, a device without edits, members that are newer than the cdiVersion.
absl::StatusOr<CdiSpec> ParseCdiSpec(absl::string_view text);

// The devices that annotations "cdi.k8s.io/…" ask for, in the order of their keys.
std::vector<std::string> CdiDevicesOfAnnotations(
    const std::map<std::string, std::string>& annotations);

// Looks at a path of the host.
using StatOnHost = std::function<absl::StatusOr<HostNode>(const std::string& path, Links links)>;
// Looks by system calls, which hang if the path does.
absl::StatusOr<HostNode> StatDirectly(const std::string& path, Links links);

// Fills in the members that device nodes leave to the host, by a look at it, and checks that every
// path to be mounted exists. FailedPrecondition, naming what is missing there. Other errors are
// those of `stat`.
absl::Status CompleteCdiEdits(CdiEdits& edits, const StatOnHost& stat = StatDirectly);

// Applies completed edits. Pure. A device or mount at the same place is replaced, and so is a
// variable of the same name. Mounts are put in order, parents first. `device_sources` gets the host
// path of every node (ContainerInputs). InvalidArgument for a path that is not absolute.
absl::Status ApplyCdiEdits(const CdiEdits& edits,
                           OciSpec& spec,
                           std::map<std::string, std::string>& device_sources);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_DEVICES_CDI_SPEC_H_
