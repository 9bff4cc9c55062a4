#include "cri/spec/spec_row.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "cri/spec/spec_builder.h"
#include "runtime/oci/capabilities.h"
#include "runtime/seccomp/seccomp_profile.h"

namespace crisp::cri {
namespace {

bool HasDefaultSeccomp(const v1::ContainerConfig& config) {
  const absl::StatusOr<SeccompSelection> selection =
      SelectSeccomp(config.linux().security_context());
  return selection.ok() && selection->choice == SeccompChoice::kDefault;
}

}  // namespace

std::string SpecToRow(runtime::OciSpec spec, const v1::ContainerConfig& config) {
  if (HasDefaultSeccomp(config)) spec.linux_.seccomp.reset();
  return DumpJson(runtime::ToJson(spec));
}

absl::StatusOr<runtime::OciSpec> SpecFromRow(const std::string& row,
                                             const v1::ContainerConfig& config) {
  CRISP_ASSIGN_OR_RETURN(const Json json, ParseJson(row));
  CRISP_ASSIGN_OR_RETURN(runtime::OciSpec spec, runtime::OciSpecFromJson(json));
  if (!spec.linux_.seccomp.has_value() && HasDefaultSeccomp(config)) {
    std::vector<std::string> bounding;
    if (spec.process.capabilities.has_value()) bounding = spec.process.capabilities->bounding;
    CRISP_ASSIGN_OR_RETURN(const uint64_t capabilities, runtime::ParseCapabilities(bounding));
    spec.linux_.seccomp = runtime::HostDefaultSeccomp(capabilities);
  }
  return spec;
}

}  // namespace crisp::cri
