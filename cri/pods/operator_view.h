#ifndef CRISP_CRI_PODS_OPERATOR_VIEW_H_
#define CRISP_CRI_PODS_OPERATOR_VIEW_H_

#include <functional>
#include <string>
#include <vector>

#include "cri/api/pod_api.h"
#include "cri/api/pod_rpcs.h"
#include "cri/state/view.h"

namespace crisp::cri {

class PodManager;

// The pods of a PodManager as the operator sees them: all of them. Those that are run here are the
// operator's. It forwards everything. Thread-safe.
class OperatorView final : public PodApi {
 public:
  // `pods` outlives it.
  explicit OperatorView(PodManager& pods) : pods_(pods) {}

#define CRISP_POD_RPC(name)                                                      \
  absl::Status name(const v1::name##Request& request, v1::name##Response* reply, \
                    const Operation& operation) override;
  CRISP_POD_MANAGER_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC
#define CRISP_POD_RPC(name)                                                            \
  absl::Status name(const admin::name##Request& request, admin::name##Response* reply, \
                    const Operation& operation) override;
  CRISP_POD_ADMIN_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC
  absl::Status GetContainerEvents(
      const v1::GetEventsRequest& request,
      const std::function<bool(const v1::ContainerEventResponse&)>& write,
      const Operation& operation) override;
  absl::StatusOr<Json> Explain(absl::string_view id) override;
  absl::Status Ready() const override;
  std::vector<v1::RuntimeHandler> Handlers() const override;
  int PodCount() const override;

 private:
  PodManager& pods_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_OPERATOR_VIEW_H_
