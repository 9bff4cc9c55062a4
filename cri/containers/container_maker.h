#ifndef CRISP_CRI_CONTAINERS_CONTAINER_MAKER_H_
#define CRISP_CRI_CONTAINERS_CONTAINER_MAKER_H_

#include <memory>
#include <string>
#include <vector>

#include "base/operation.h"
#include "cri/containers/container_job.h"
#include "cri/containers/container_remover.h"
#include "cri/containers/node_context.h"
#include "cri/containers/selinux_labels.h"
#include "cri/containers/spare_roots.h"
#include "cri/containers/spec_edits.h"
#include "cri/state/join_table.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"

namespace crisp::cri {

// Creates containers: from the CRI's configuration to the OCI spec, of which the pod's runtime
// makes them. Thread-safe.
class ContainerMaker {
 public:
  // The arguments outlive it. `edits` change the specs, in this order.
  ContainerMaker(const NodeContext& node,
                 PodTable& table,
                 SelinuxLabels& labels,
                 SpareRoots& roots,
                 ContainerRemover& remover,
                 const PodEvents& events,
                 std::vector<std::unique_ptr<SpecEdit>> edits)
      : node_(node),
        table_(table),
        labels_(labels),
        roots_(roots),
        remover_(remover),
        events_(events),
        edits_(std::move(edits)) {}

  // Creates a container and returns its id. The same request again joins the first one or finds its
  // container. AlreadyExists if another configuration runs under the name. A failure leaves
  // nothing, apart from what is undone in the background.
  absl::StatusOr<std::string> Create(const v1::CreateContainerRequest& request,
                                     const Operation& operation);

 private:
  // The id under a name, if it stands for the same thing; "" if the name is free or given up.
  absl::StatusOr<std::string> Existing(const std::string& key,
                                       const v1::CreateContainerRequest& request);
  absl::StatusOr<std::string> Make(const v1::CreateContainerRequest& request,
                                   const PodPtr& pod,
                                   const std::string& key);
  absl::StatusOr<state::ContainerRecord> InitialRecord(const ContainerJob& job);
  absl::Status Prepare(ContainerJob& job);
  absl::Status PrepareRoot(ContainerJob& job);
  // The spec, with all edits.
  absl::Status Build(ContainerJob& job);
  // Has the pod's runtime make it.
  absl::Status MakeIn(runtime::PodHandle& pod, ContainerJob& job);
  // Writes down what has been made.
  absl::Status RecordMade(const ContainerJob& job);

  // In container_resolve.cc.
  absl::Status ResolveMounts(ContainerJob& job);
  absl::Status ResolveDevices(ContainerJob& job);
  absl::Status ResolveUser(ContainerJob& job);
  absl::Status MakeVolumes(ContainerJob& job);
  absl::Status RelabelVolume(const ContainerJob& job, const ResolvedMount& mount) const;

  const NodeContext& node_;
  PodTable& table_;
  SelinuxLabels& labels_;
  SpareRoots& roots_;
  ContainerRemover& remover_;
  const PodEvents& events_;
  const std::vector<std::unique_ptr<SpecEdit>> edits_;
  JoinTable<std::string> creations_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONTAINER_MAKER_H_
