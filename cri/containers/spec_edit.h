#ifndef CRISP_CRI_CONTAINERS_SPEC_EDIT_H_
#define CRISP_CRI_CONTAINERS_SPEC_EDIT_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cri/api/api.pb.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// The subject of a spec edit: the spec of a container that is being created.
struct EditedSpec {
  const v1::PodSandboxConfig& pod;
  const v1::ContainerConfig& container;
  bool of_operator = false;  // the pod is the operator's: operator_annotations.h counts
  runtime::OciSpec& spec;
  // Device path in the container → the host's, if they differ.
  std::map<std::string, std::string>& device_sources;
};

// Changes the specs of containers after they have been built from the CRI's configuration and
// before they are planned. Thread-safe.
class SpecEdit {
 public:
  virtual ~SpecEdit() = default;
  virtual absl::string_view name() const = 0;
  // OK also if the container asks for nothing of it. A failure is the creation's.
  virtual absl::Status Apply(EditedSpec& edited) = 0;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_SPEC_EDIT_H_
