#ifndef CRISP_CRI_PODS_POD_INPUTS_H_
#define CRISP_CRI_PODS_POD_INPUTS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cri/api/api.pb.h"
#include "cri/api/crisp_state.pb.h"
#include "cri/containers/pod_options.h"
#include "network/pod/pod_network.h"
#include "runtime/handler/features.h"
#include "runtime/oci/pod_spec.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// A pod's CRI configuration → what its runtime and its network are asked for. Pure.

// InvalidArgument naming the field.
absl::Status CheckPodRequest(const v1::RunPodSandboxRequest& request);

// FailedPrecondition for what the handler's runtime does not do.
absl::Status CheckFeatures(const v1::PodSandboxConfig& config, const runtime::Features& features);

absl::StatusOr<runtime::PodSpec> MakePodSpec(const std::string& pod_id,
                                             const v1::PodSandboxConfig& config);
// The pod that asks for nothing. Pods that are made ahead are like it.
absl::StatusOr<runtime::PodSpec> UsualPodSpec();

absl::StatusOr<network::AttachRequest> MakeAttachRequest(const std::string& pod_id,
                                                         const v1::PodSandboxConfig& config);
// True if the pod can take a network that was made before the pod was known. One with limits
// cannot, because they are set where the network is made.
bool TakesPreparedNetwork(const v1::PodSandboxConfig& config);
// Takes from the spec what is said of the pod's interface and its addresses, or could hinder them:
// it must wait until they are there. The names are dotted by then.
network::Sysctls TakeNetworkSysctls(runtime::PodSpec& spec);

// True if the pod is attached to the network: it neither has the host's nor does it go without.
bool IsAttached(const state::PodRecord& record);

inline bool UsesHostNetwork(const v1::PodSandboxConfig& config) {
  return config.linux().security_context().namespace_options().network() == v1::NODE;
}

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_POD_INPUTS_H_
