#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "cri/label_selector.h"
#include "cri/pod_manager.h"
#include "runtime/cgroup_stats.h"

namespace crisp::cri {
namespace {

uint64_t HostMemory() {
  static const uint64_t bytes =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

void FillPsi(const runtime::Pressure& pressure, v1::PsiStats* psi) {
  const auto line = [](const runtime::PressureLine& from, v1::PsiData* to) {
    to->set_total(from.total_ns);
    to->set_avg10(from.avg10);
    to->set_avg60(from.avg60);
    to->set_avg300(from.avg300);
  };
  line(pressure.full, psi->mutable_full());
  line(pressure.some, psi->mutable_some());
}

// Keeps two readings at least a second apart and says what was used between them.
std::optional<uint64_t> NanoCores(const runtime::CgroupStats& stats,
                                  std::optional<CpuSample>& before,
                                  std::optional<CpuSample>& now) {
  if (!now.has_value() || stats.at - now->at >= absl::Seconds(1)) {
    before = now;
    now = CpuSample{.at = stats.at, .usage_ns = stats.cpu.usage_ns};
  }
  if (!before.has_value() || now->usage_ns < before->usage_ns) return std::nullopt;
  const double seconds = absl::ToDoubleSeconds(now->at - before->at);
  return static_cast<uint64_t>(static_cast<double>(now->usage_ns - before->usage_ns) / seconds);
}

void FillCpu(const runtime::CgroupStats& stats, std::optional<uint64_t> nano_cores, v1::CpuUsage* cpu) {
  cpu->set_timestamp(absl::ToUnixNanos(stats.at));
  cpu->mutable_usage_core_nano_seconds()->set_value(stats.cpu.usage_ns);
  if (nano_cores.has_value()) cpu->mutable_usage_nano_cores()->set_value(*nano_cores);
  if (stats.cpu.pressure.has_value()) FillPsi(*stats.cpu.pressure, cpu->mutable_psi());
}

void FillMemory(const runtime::CgroupStats& stats, v1::MemoryUsage* memory) {
  const runtime::CgroupStats::Memory& m = stats.memory;
  memory->set_timestamp(absl::ToUnixNanos(stats.at));
  memory->mutable_working_set_bytes()->set_value(m.working_set);
  memory->mutable_usage_bytes()->set_value(m.usage);
  memory->mutable_rss_bytes()->set_value(m.rss);
  memory->mutable_page_faults()->set_value(m.page_faults);
  memory->mutable_major_page_faults()->set_value(m.major_page_faults);
  // A limit beyond the machine's memory limits nothing.
  if (m.limit.has_value() && *m.limit < HostMemory()) {
    memory->mutable_available_bytes()->set_value(*m.limit > m.working_set ? *m.limit - m.working_set : 0);
  }
  if (m.pressure.has_value()) FillPsi(*m.pressure, memory->mutable_psi());
}

void FillNetwork(const std::vector<network::InterfaceCounters>& counters, v1::NetworkUsage* usage) {
  usage->set_timestamp(absl::ToUnixNanos(absl::Now()));
  bool first = true;
  for (const network::InterfaceCounters& counter : counters) {
    if (counter.name == "lo") continue;
    v1::NetworkInterfaceUsage* interface = first ? usage->mutable_default_interface() : usage->add_interfaces();
    first = false;
    interface->set_name(counter.name);
    interface->mutable_rx_bytes()->set_value(counter.rx_bytes);
    interface->mutable_rx_errors()->set_value(counter.rx_errors);
    interface->mutable_tx_bytes()->set_value(counter.tx_bytes);
    interface->mutable_tx_errors()->set_value(counter.tx_errors);
  }
}

std::vector<network::InterfaceCounters> Eth0First(std::vector<network::InterfaceCounters> counters) {
  std::stable_partition(counters.begin(), counters.end(),
                        [](const network::InterfaceCounters& c) { return c.name == "eth0"; });
  return counters;
}

}  // namespace

v1::ContainerStats PodManager::StatsOf(Container& container) {
  const state::ContainerRecord record = container.Snapshot();
  v1::ContainerStats stats;
  stats.mutable_attributes()->set_id(record.id());
  *stats.mutable_attributes()->mutable_metadata() = record.config().metadata();
  *stats.mutable_attributes()->mutable_labels() = record.config().labels();
  *stats.mutable_attributes()->mutable_annotations() = record.config().annotations();
  if (auto usage = images_->ContainerUsage(record.id()); usage.ok()) {
    v1::FilesystemUsage* layer = stats.mutable_writable_layer();
    layer->set_timestamp(absl::ToUnixNanos(usage->timestamp));
    layer->mutable_fs_id()->set_mountpoint(usage->mountpoint);
    layer->mutable_used_bytes()->set_value(usage->used_bytes);
    layer->mutable_inodes_used()->set_value(usage->inodes_used);
  }
  if (record.stage() != state::ContainerRecord::RUNNING) return stats;
  auto read = runtime::CgroupStatsReader(CgroupAt(record.cgroup_path())).Read();
  if (!read.ok()) return stats;
  std::optional<uint64_t> nano_cores;
  {
    absl::MutexLock lock(&container.mutex);
    nano_cores = NanoCores(*read, container.cpu_before, container.cpu_now);
  }
  FillCpu(*read, nano_cores, stats.mutable_cpu());
  FillMemory(*read, stats.mutable_memory());
  if (read->memory.swap.has_value()) {
    v1::SwapUsage* swap = stats.mutable_swap();
    swap->set_timestamp(absl::ToUnixNanos(read->at));
    swap->mutable_swap_usage_bytes()->set_value(*read->memory.swap);
    if (read->memory.swap_limit.has_value()) {
      swap->mutable_swap_available_bytes()->set_value(
          *read->memory.swap_limit - std::min(*read->memory.swap_limit, *read->memory.swap));
    }
  }
  if (read->io.pressure.has_value()) {
    stats.mutable_io()->set_timestamp(absl::ToUnixNanos(read->at));
    FillPsi(*read->io.pressure, stats.mutable_io()->mutable_psi());
  }
  return stats;
}

absl::Status PodManager::ContainerStats(const v1::ContainerStatsRequest& request,
                                        v1::ContainerStatsResponse* reply,
                                        const Cancel&) {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container, containers_.Find(request.container_id()));
  *reply->mutable_stats() = StatsOf(*container);
  return absl::OkStatus();
}

absl::Status PodManager::ListContainerStats(const v1::ListContainerStatsRequest& request,
                                            v1::ListContainerStatsResponse* reply,
                                            const Cancel&) {
  const v1::ContainerStatsFilter& filter = request.filter();
  for (const ContainerPtr& container : containers_.All()) {
    if (!absl::StartsWith(container->id, filter.id())) continue;
    if (!absl::StartsWith(container->pod->id, filter.pod_sandbox_id())) continue;
    if (!MatchesLabels(filter.label_selector(), container->Snapshot().config().labels())) continue;
    *reply->add_stats() = StatsOf(*container);
  }
  return absl::OkStatus();
}

v1::PodSandboxStats PodManager::StatsOf(
    Pod& pod, const std::map<std::string, std::vector<network::InterfaceCounters>>& net) {
  const state::PodRecord record = pod.Snapshot();
  v1::PodSandboxStats stats;
  stats.mutable_attributes()->set_id(record.id());
  *stats.mutable_attributes()->mutable_metadata() = record.config().metadata();
  *stats.mutable_attributes()->mutable_labels() = record.config().labels();
  *stats.mutable_attributes()->mutable_annotations() = record.config().annotations();
  v1::LinuxPodSandboxStats* linux_stats = stats.mutable_linux();
  auto read = runtime::CgroupStatsReader(CgroupAt(record.cgroup_path())).Read();
  if (read.ok()) {
    std::optional<uint64_t> nano_cores;
    {
      absl::MutexLock lock(&pod.mutex);
      nano_cores = NanoCores(*read, pod.cpu_before, pod.cpu_now);
    }
    FillCpu(*read, nano_cores, linux_stats->mutable_cpu());
    FillMemory(*read, linux_stats->mutable_memory());
    linux_stats->mutable_process()->set_timestamp(absl::ToUnixNanos(read->at));
    linux_stats->mutable_process()->mutable_process_count()->set_value(read->pids.current);
    if (read->io.pressure.has_value()) {
      linux_stats->mutable_io()->set_timestamp(absl::ToUnixNanos(read->at));
      FillPsi(*read->io.pressure, linux_stats->mutable_io()->mutable_psi());
    }
  }
  if (auto it = net.find(record.id()); it != net.end()) {
    FillNetwork(Eth0First(it->second), linux_stats->mutable_network());
  }
  for (const ContainerPtr& container : ContainersOf(record.id())) {
    if (container->Stage() != state::ContainerRecord::RUNNING) continue;
    *linux_stats->add_containers() = StatsOf(*container);
  }
  return stats;
}

absl::Status PodManager::PodSandboxStats(const v1::PodSandboxStatsRequest& request,
                                         v1::PodSandboxStatsResponse* reply,
                                         const Cancel&) {
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, pods_.Find(request.pod_sandbox_id()));
  if (!pod->Ready()) {
    return absl::UnavailableError(absl::StrCat("pod sandbox ", pod->id, " is not ready: no statistics"));
  }
  const auto counters = network_->Counters();
  *reply->mutable_stats() =
      StatsOf(*pod, counters.ok() ? *counters : std::map<std::string, std::vector<network::InterfaceCounters>>());
  return absl::OkStatus();
}

absl::Status PodManager::ListPodSandboxStats(const v1::ListPodSandboxStatsRequest& request,
                                             v1::ListPodSandboxStatsResponse* reply,
                                             const Cancel&) {
  const auto counters = network_->Counters();
  const v1::PodSandboxStatsFilter& filter = request.filter();
  for (const PodPtr& pod : pods_.All()) {
    if (!absl::StartsWith(pod->id, filter.id()) || !pod->Ready()) continue;
    if (!MatchesLabels(filter.label_selector(), pod->Snapshot().config().labels())) continue;
    *reply->add_stats() = StatsOf(
        *pod, counters.ok() ? *counters : std::map<std::string, std::vector<network::InterfaceCounters>>());
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
