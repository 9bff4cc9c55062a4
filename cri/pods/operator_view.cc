#include "cri/pods/operator_view.h"

#include "cri/pods/pod_manager.h"

namespace crisp::cri {

#define CRISP_POD_RPC(name)                                                                    \
  absl::Status OperatorView::name(const v1::name##Request& request, v1::name##Response* reply, \
                                  const Operation& operation) {                                \
    return pods_.name(View::kOperator, request, reply, operation);                             \
  }
CRISP_POD_VIEWED_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

#define CRISP_POD_RPC(name)                                                                    \
  absl::Status OperatorView::name(const v1::name##Request& request, v1::name##Response* reply, \
                                  const Operation& operation) {                                \
    return pods_.name(request, reply, operation);                                              \
  }
CRISP_POD_COMMON_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

#define CRISP_POD_RPC(name)                                                                   \
  absl::Status OperatorView::name(const admin::name##Request& request,                        \
                                  admin::name##Response* reply, const Operation& operation) { \
    return pods_.name(request, reply, operation);                                             \
  }
CRISP_POD_ADMIN_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

absl::Status OperatorView::GetContainerEvents(
    const v1::GetEventsRequest&,
    const std::function<bool(const v1::ContainerEventResponse&)>& write,
    const Operation& operation) {
  return pods_.GetContainerEvents(View::kOperator, write, operation);
}

absl::StatusOr<Json> OperatorView::Explain(absl::string_view id) { return pods_.Explain(id); }

absl::Status OperatorView::Ready() const { return pods_.Ready(); }

std::vector<v1::RuntimeHandler> OperatorView::Handlers() const { return pods_.Handlers(); }

int OperatorView::PodCount() const { return pods_.PodCount(); }

}  // namespace crisp::cri
