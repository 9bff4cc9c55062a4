#ifndef CRISP_CRI_STATS_POD_METRICS_H_
#define CRISP_CRI_STATS_POD_METRICS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cri/api/api.pb.h"
#include "network/values/attach.h"
#include "runtime/cgroup/cgroup_stats.h"
#include "storage/values/image.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// The metrics that the kubelet serves as /metrics/cadvisor when it takes them from the CRI, under
// cAdvisor's names. One table gives each its name, help and labels (pod_metrics.cc). Samples are
// made from readings. A value that the kernel does not tell gives no sample.

// The readings of one container or, without the container's members, of a pod's own group.
struct MetricsReading {
  // Values of the labels id, name, image, namespace, pod, container.
  std::string id, name, image, pod_namespace, pod, container;
  runtime::CgroupStats stats;
  absl::Time created_at, started_at;
  std::optional<storage::FsUsage> writable_layer;
  uint64_t fs_limit_bytes = 0, fs_inodes = 0, fs_inodes_free = 0;
  uint64_t threads = 0, processes = 0, file_descriptors = 0, sockets = 0;
  std::optional<uint64_t> open_files_limit;  // RLIMIT_NOFILE of init
  v1::LinuxContainerResources resources;
};

v1::ListMetricDescriptorsResponse MetricDescriptors();

// Samples of one container.
std::vector<v1::Metric> ContainerMetricSamples(const MetricsReading& reading);
// Samples of the pod: its network, and its group's CPU and memory.
std::vector<v1::Metric> PodMetricSamples(const MetricsReading& reading,
                                         const std::vector<network::InterfaceCounters>& interfaces);

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATS_POD_METRICS_H_
