#ifndef CRISP_CRI_STATS_STATS_BUILDER_H_
#define CRISP_CRI_STATS_STATS_BUILDER_H_

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

// Readings → the CRI's statistics. Pure. An absent reading leaves its part of the message unset, as
// the CRI wants it for containers that do not run.

v1::CpuUsage MakeCpuUsage(const runtime::CgroupStats& stats, std::optional<uint64_t> nano_cores);
// available = limit − working set, at least 0; unset without a limit.
v1::MemoryUsage MakeMemoryUsage(const runtime::CgroupStats& stats);
v1::SwapUsage MakeSwapUsage(const runtime::CgroupStats& stats);
v1::IoUsage MakeIoUsage(const runtime::CgroupStats& stats);
v1::FilesystemUsage MakeFilesystemUsage(const storage::FsUsage& usage);
// The default interface is eth0, or the first if there is no eth0. `interfaces` has the others. lo
// is left out.
v1::NetworkUsage MakeNetworkUsage(const std::vector<network::InterfaceCounters>& counters,
                                  absl::Time at);

struct ContainerReading {
  v1::ContainerAttributes attributes;
  std::optional<runtime::CgroupStats> cgroup;
  std::optional<uint64_t> nano_cores;
  std::optional<storage::FsUsage> writable_layer;
};
v1::ContainerStats MakeContainerStats(const ContainerReading& reading);

struct PodReading {
  v1::PodSandboxAttributes attributes;
  std::optional<runtime::CgroupStats> cgroup;
  std::optional<uint64_t> nano_cores;
  std::vector<network::InterfaceCounters> interfaces;
  std::vector<ContainerReading> containers;
  absl::Time at;
};
v1::PodSandboxStats MakePodSandboxStats(const PodReading& reading);

// Nano cores between two readings of the usage counter. nullopt if no time has passed, or if the
// counter went back (another life of the group).
std::optional<uint64_t> NanoCores(uint64_t before_ns,
                                  absl::Time before,
                                  uint64_t now_ns,
                                  absl::Time now);

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATS_STATS_BUILDER_H_
