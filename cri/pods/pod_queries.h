#ifndef CRISP_CRI_PODS_POD_QUERIES_H_
#define CRISP_CRI_PODS_POD_QUERIES_H_

#include <string>

#include "absl/container/flat_hash_set.h"
#include "base/json.h"
#include "base/operation.h"
#include "cri/api/crisp_admin.pb.h"
#include "cri/containers/node_context.h"
#include "cri/state/pod_table.h"

namespace crisp::cri {

namespace admin = ::crisp::v1;

// Answers clients' questions about the state of pods and containers. Only verbose answers are not
// from memory. Thread-safe.
class PodQueries {
 public:
  // Both outlive it.
  PodQueries(const NodeContext& node, const PodTable& table) : node_(node), table_(table) {}

  absl::Status PodSandboxStatus(const v1::PodSandboxStatusRequest& request,
                                v1::PodSandboxStatusResponse* reply) const;
  absl::Status ListPodSandbox(View view,
                              const v1::ListPodSandboxRequest& request,
                              v1::ListPodSandboxResponse* reply) const;
  absl::Status ContainerStatus(const v1::ContainerStatusRequest& request,
                               v1::ContainerStatusResponse* reply) const;
  absl::Status ListContainers(View view,
                              const v1::ListContainersRequest& request,
                              v1::ListContainersResponse* reply) const;
  // The ids of the images that containers use which the kubelet's view does not show: theirs, and
  // those of their image volumes.
  absl::flat_hash_set<std::string> ImagesOfOperator() const;
  // From the disk. NotFound.
  absl::Status ContainerChanges(const admin::ContainerChangesRequest& request,
                                admin::ContainerChangesResponse* reply,
                                const Operation& operation) const;
  // PodApi::Explain().
  absl::StatusOr<Json> Explain(absl::string_view id) const;

  // For the metrics: the numbers of pods and containers now.
  int ReadyPods() const;
  int NotReadyPods() const;
  int ContainersIn(ContainerStage stage) const;

 private:
  // The spec for people; null (and logged) if it cannot be read.
  Json SpecShown(const Container& container) const;

  const NodeContext& node_;
  const PodTable& table_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_POD_QUERIES_H_
