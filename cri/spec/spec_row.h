#ifndef CRISP_CRI_SPEC_SPEC_ROW_H_
#define CRISP_CRI_SPEC_SPEC_ROW_H_

#include <string>

#include "absl/status/statusor.h"
#include "cri/api/api.pb.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// A container's spec as its row keeps it, and back. RuntimeDefault's filter is left out: it is ten
// times as long as the rest, and is made again from the capabilities.
std::string SpecToRow(runtime::OciSpec spec, const v1::ContainerConfig& config);
absl::StatusOr<runtime::OciSpec> SpecFromRow(const std::string& row,
                                             const v1::ContainerConfig& config);

}  // namespace crisp::cri

#endif  // CRISP_CRI_SPEC_SPEC_ROW_H_
