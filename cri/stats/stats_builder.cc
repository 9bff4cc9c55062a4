#include "cri/stats/stats_builder.h"

#include <algorithm>

namespace crisp::cri {
namespace {

void SetPressureLine(const runtime::PressureLine& line, v1::PsiData* out) {
  out->set_total(line.total_ns);
  out->set_avg10(line.avg10);
  out->set_avg60(line.avg60);
  out->set_avg300(line.avg300);
}

void SetPressure(const runtime::Pressure& pressure, v1::PsiStats* out) {
  SetPressureLine(pressure.some, out->mutable_some());
  SetPressureLine(pressure.full, out->mutable_full());
}

void SetInterface(const network::InterfaceCounters& counters, v1::NetworkInterfaceUsage* out) {
  out->set_name(counters.name);
  out->mutable_rx_bytes()->set_value(counters.rx_bytes);
  out->mutable_rx_errors()->set_value(counters.rx_errors);
  out->mutable_tx_bytes()->set_value(counters.tx_bytes);
  out->mutable_tx_errors()->set_value(counters.tx_errors);
}

}  // namespace

v1::CpuUsage MakeCpuUsage(const runtime::CgroupStats& stats, std::optional<uint64_t> nano_cores) {
  v1::CpuUsage usage;
  usage.set_timestamp(absl::ToUnixNanos(stats.at));
  usage.mutable_usage_core_nano_seconds()->set_value(stats.cpu.usage_ns);
  if (nano_cores.has_value()) usage.mutable_usage_nano_cores()->set_value(*nano_cores);
  if (stats.cpu.pressure.has_value()) SetPressure(*stats.cpu.pressure, usage.mutable_psi());
  return usage;
}

v1::MemoryUsage MakeMemoryUsage(const runtime::CgroupStats& stats) {
  v1::MemoryUsage usage;
  const auto& memory = stats.memory;
  usage.set_timestamp(absl::ToUnixNanos(stats.at));
  usage.mutable_working_set_bytes()->set_value(memory.working_set);
  usage.mutable_usage_bytes()->set_value(memory.usage);
  usage.mutable_rss_bytes()->set_value(memory.rss);
  usage.mutable_page_faults()->set_value(memory.page_faults);
  usage.mutable_major_page_faults()->set_value(memory.major_page_faults);
  if (memory.limit.has_value()) {
    const uint64_t limit = *memory.limit;
    usage.mutable_available_bytes()->set_value(limit - std::min(limit, memory.working_set));
  }
  if (memory.pressure.has_value()) SetPressure(*memory.pressure, usage.mutable_psi());
  return usage;
}

v1::SwapUsage MakeSwapUsage(const runtime::CgroupStats& stats) {
  v1::SwapUsage usage;
  usage.set_timestamp(absl::ToUnixNanos(stats.at));
  const uint64_t swap = stats.memory.swap.value_or(0);
  usage.mutable_swap_usage_bytes()->set_value(swap);
  if (stats.memory.swap_limit.has_value()) {
    const uint64_t limit = *stats.memory.swap_limit;
    usage.mutable_swap_available_bytes()->set_value(limit - std::min(limit, swap));
  }
  return usage;
}

v1::IoUsage MakeIoUsage(const runtime::CgroupStats& stats) {
  v1::IoUsage usage;
  usage.set_timestamp(absl::ToUnixNanos(stats.at));
  if (stats.io.pressure.has_value()) SetPressure(*stats.io.pressure, usage.mutable_psi());
  return usage;
}

v1::FilesystemUsage MakeFilesystemUsage(const storage::FsUsage& usage) {
  v1::FilesystemUsage message;
  message.set_timestamp(absl::ToUnixNanos(usage.timestamp));
  message.mutable_fs_id()->set_mountpoint(usage.mountpoint);
  message.mutable_used_bytes()->set_value(usage.used_bytes);
  message.mutable_inodes_used()->set_value(usage.inodes_used);
  return message;
}

v1::NetworkUsage MakeNetworkUsage(const std::vector<network::InterfaceCounters>& counters,
                                  absl::Time at) {
  v1::NetworkUsage usage;
  usage.set_timestamp(absl::ToUnixNanos(at));
  const network::InterfaceCounters* chosen = nullptr;
  for (const network::InterfaceCounters& one : counters) {
    if (one.name == "lo") continue;
    if (chosen == nullptr || one.name == "eth0") chosen = &one;
  }
  for (const network::InterfaceCounters& one : counters) {
    if (one.name == "lo") continue;
    SetInterface(one, &one == chosen ? usage.mutable_default_interface() : usage.add_interfaces());
  }
  return usage;
}

v1::ContainerStats MakeContainerStats(const ContainerReading& reading) {
  v1::ContainerStats stats;
  *stats.mutable_attributes() = reading.attributes;
  if (reading.cgroup.has_value()) {
    *stats.mutable_cpu() = MakeCpuUsage(*reading.cgroup, reading.nano_cores);
    *stats.mutable_memory() = MakeMemoryUsage(*reading.cgroup);
    *stats.mutable_swap() = MakeSwapUsage(*reading.cgroup);
    *stats.mutable_io() = MakeIoUsage(*reading.cgroup);
  }
  if (reading.writable_layer.has_value()) {
    *stats.mutable_writable_layer() = MakeFilesystemUsage(*reading.writable_layer);
  }
  return stats;
}

v1::PodSandboxStats MakePodSandboxStats(const PodReading& reading) {
  v1::PodSandboxStats stats;
  *stats.mutable_attributes() = reading.attributes;
  auto* linux_stats = stats.mutable_linux();
  if (reading.cgroup.has_value()) {
    *linux_stats->mutable_cpu() = MakeCpuUsage(*reading.cgroup, reading.nano_cores);
    *linux_stats->mutable_memory() = MakeMemoryUsage(*reading.cgroup);
    *linux_stats->mutable_io() = MakeIoUsage(*reading.cgroup);
    auto* process = linux_stats->mutable_process();
    process->set_timestamp(absl::ToUnixNanos(reading.cgroup->at));
    process->mutable_process_count()->set_value(reading.cgroup->pids.current);
  }
  if (!reading.interfaces.empty()) {
    *linux_stats->mutable_network() = MakeNetworkUsage(reading.interfaces, reading.at);
  }
  for (const ContainerReading& container : reading.containers) {
    *linux_stats->add_containers() = MakeContainerStats(container);
  }
  return stats;
}

std::optional<uint64_t> NanoCores(uint64_t before_ns,
                                  absl::Time before,
                                  uint64_t now_ns,
                                  absl::Time now) {
  const int64_t elapsed_ns = absl::ToInt64Nanoseconds(now - before);
  if (elapsed_ns <= 0 || now_ns < before_ns) return std::nullopt;
  // In floating point: the product of two nanosecond counts overflows 64 bits within seconds.
  return static_cast<uint64_t>(static_cast<double>(now_ns - before_ns) * 1e9 /
                               static_cast<double>(elapsed_ns));
}

}  // namespace crisp::cri
