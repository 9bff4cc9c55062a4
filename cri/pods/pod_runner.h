#ifndef CRISP_CRI_PODS_POD_RUNNER_H_
#define CRISP_CRI_PODS_POD_RUNNER_H_

#include <string>

#include "base/operation.h"
#include "cri/containers/cgroup_claims.h"
#include "cri/containers/node_context.h"
#include "cri/containers/selinux_labels.h"
#include "cri/pods/pod_ender.h"
#include "cri/pods/pod_files.h"
#include "cri/pods/shim_keeper.h"
#include "cri/pods/spares.h"
#include "cri/state/join_table.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"
#include "cri/state/step_timer.h"

namespace crisp::cri {

// Makes pods: a process with the pod's namespaces, a network, the files of /etc. Thread-safe.
class PodRunner {
 public:
  // All outlive it.
  PodRunner(const NodeContext& node,
            PodTable& table,
            ShimKeeper& shims,
            CgroupClaims& claims,
            SelinuxLabels& labels,
            Spares& spares,
            PodEnder& ender,
            const PodEvents& events)
      : node_(node),
        table_(table),
        shims_(shims),
        claims_(claims),
        labels_(labels),
        spares_(spares),
        ender_(ender),
        events_(events) {}

  // Makes a pod, which is of the client's view, and returns its id. The same request again joins
  // the first one or finds its pod.
  // AlreadyExists if another configuration is ready under the name. A failure leaves nothing, apart
  // from what is undone in the background.
  absl::StatusOr<std::string> Run(View view,
                                  const v1::RunPodSandboxRequest& request,
                                  const Operation& operation);

 private:
  // The id under a name, if it stands for the same thing; "" if the name is free or given up.
  absl::StatusOr<std::string> Existing(const std::string& key,
                                       const v1::RunPodSandboxRequest& request);
  absl::StatusOr<std::string> RunNew(View view,
                                     const v1::RunPodSandboxRequest& request,
                                     const std::string& key,
                                     runtime::PodRuntime& runtime);
  absl::Status Make(const PodPtr& pod, StepTimer& timer);
  // `network_sysctls` gets the sysctls to set when there is a network.
  absl::StatusOr<PodFiles> StartShim(const PodPtr& pod,
                                     const v1::PodSandboxConfig& config,
                                     network::Sysctls* network_sysctls);
  // For a pod with a network namespace of its own.
  absl::Status MakeNetwork(const PodPtr& pod,
                           const v1::PodSandboxConfig& config,
                           network::Sysctls sysctls);
  absl::Status KeepPorts(const Pod& pod, runtime::PodHandle& handle);

  const NodeContext& node_;
  PodTable& table_;
  ShimKeeper& shims_;
  CgroupClaims& claims_;
  SelinuxLabels& labels_;
  Spares& spares_;
  PodEnder& ender_;
  const PodEvents& events_;
  JoinTable<std::string> creations_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_POD_RUNNER_H_
