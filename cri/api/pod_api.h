#ifndef CRISP_CRI_API_POD_API_H_
#define CRISP_CRI_API_POD_API_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json.h"
#include "base/operation.h"
#include "cri/api/api.pb.h"
#include "cri/api/crisp_admin.pb.h"
#include "cri/api/pod_rpcs.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;
namespace admin = ::crisp::v1;

// The pod and container half of the CRI, without gRPC. RuntimeService forwards every RPC here and
// maps the status (status_to_grpc.h). The RPCs that give the URL of a session are SessionApi's.
// Thread-safe; calls block, each on a thread of its own. A method that is not overridden answers
// Unimplemented. `operation` ends with the RPC. It may be copied and outlive the call, and then
// says Cancelled. Of a list and its stream, only the unary form is here; RuntimeService cuts the
// reply into batches. The items of ListPodSandbox and ListContainers may be serialized
// (serialized_items.h).
class PodApi {
 public:
  virtual ~PodApi() = default;

#define CRISP_POD_RPC(name)                                                              \
  virtual absl::Status name(const v1::name##Request& request, v1::name##Response* reply, \
                            const Operation& operation);
  CRISP_POD_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC
#define CRISP_POD_RPC(name)                                                                    \
  virtual absl::Status name(const admin::name##Request& request, admin::name##Response* reply, \
                            const Operation& operation);
  CRISP_POD_ADMIN_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

  // Hands events to `write` until that returns false or `operation` ends. It checks `operation` at
  // least once a second.
  virtual absl::Status GetContainerEvents(
      const v1::GetEventsRequest& request,
      const std::function<bool(const v1::ContainerEventResponse&)>& write,
      const Operation& operation);

  // For `crisp explain`: a container's OCI spec, launch plan and kernel state. NotFound.
  virtual absl::StatusOr<Json> Explain(absl::string_view container_id);

  // Reads the records of an earlier daemon and adopts its pods. Called once, before serving. A bad
  // record is logged and is no failure.
  virtual absl::Status Recover();
  // OK, or the reason why no new pod can be made, apart from the network. From memory.
  virtual absl::Status Ready() const;
  // The handlers that a pod may name, "" first, with what each can do.
  virtual std::vector<v1::RuntimeHandler> Handlers() const;
  // How many pods are known, for `crisp info` and metrics.
  virtual int PodCount() const;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_API_POD_API_H_
