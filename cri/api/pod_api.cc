#include "cri/api/pod_api.h"

#include "absl/strings/str_cat.h"
#include "cri/api/pod_rpcs.h"

namespace crisp::cri {

#define CRISP_POD_RPC(name)                                                                    \
  absl::Status PodApi::name(const v1::name##Request&, v1::name##Response*, const Operation&) { \
    return absl::UnimplementedError(#name " is not implemented");                              \
  }
CRISP_POD_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC
#define CRISP_POD_RPC(name)                                                      \
  absl::Status PodApi::name(const admin::name##Request&, admin::name##Response*, \
                            const Operation&) {                                  \
    return absl::UnimplementedError(#name " is not implemented");                \
  }
CRISP_POD_ADMIN_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

absl::Status PodApi::GetContainerEvents(
    const v1::GetEventsRequest&,
    const std::function<bool(const v1::ContainerEventResponse&)>&,
    const Operation&) {
  return absl::UnimplementedError("GetContainerEvents is not implemented");
}

absl::StatusOr<Json> PodApi::Explain(absl::string_view container_id) {
  return absl::NotFoundError(absl::StrCat("container ", container_id, " is not known"));
}

absl::Status PodApi::Recover() { return absl::OkStatus(); }

absl::Status PodApi::Ready() const { return absl::OkStatus(); }

std::vector<v1::RuntimeHandler> PodApi::Handlers() const { return {}; }

int PodApi::PodCount() const { return 0; }

}  // namespace crisp::cri
