#ifndef CRISP_CRI_PODS_STATS_READER_H_
#define CRISP_CRI_PODS_STATS_READER_H_

#include <map>
#include <string>
#include <vector>

#include "cri/containers/node_context.h"
#include "cri/state/pod_table.h"
#include "cri/stats/stats_builder.h"

namespace crisp::cri {

// Answers clients' questions about the usage of pods and containers, with readings of that moment.
// Thread-safe.
class StatsReader {
 public:
  // Both outlive it.
  StatsReader(const NodeContext& node, PodTable& table) : node_(node), table_(table) {}

  // Unimplemented where the pod's runtime does not tell usage. In lists such a container has none.
  absl::Status ContainerStats(const v1::ContainerStatsRequest& request,
                              v1::ContainerStatsResponse* reply) const;
  absl::Status ListContainerStats(View view,
                                  const v1::ListContainerStatsRequest& request,
                                  v1::ListContainerStatsResponse* reply) const;
  absl::Status PodSandboxStats(const v1::PodSandboxStatsRequest& request,
                               v1::PodSandboxStatsResponse* reply) const;
  absl::Status ListPodSandboxStats(View view,
                                   const v1::ListPodSandboxStatsRequest& request,
                                   v1::ListPodSandboxStatsResponse* reply) const;
  absl::Status ListPodSandboxMetrics(View view, v1::ListPodSandboxMetricsResponse* reply) const;

 private:
  using InterfaceMap = std::map<std::string, std::vector<network::InterfaceCounters>>;
  InterfaceMap Interfaces() const;
  ContainerReading ReadContainer(Container& container) const;
  PodReading ReadPod(Pod& pod, const InterfaceMap& interfaces) const;
  void AddMetricsOf(const ContainerReading& reading,
                    const v1::PodSandboxMetadata& pod,
                    v1::PodSandboxMetrics* metrics) const;

  const NodeContext& node_;
  PodTable& table_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_STATS_READER_H_
