#include "cri/pods/stats_reader.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "cri/state/label_selector.h"
#include "cri/stats/pod_metrics.h"
#include "cri/stats/stats_builder.h"
#include "runtime/cgroup/cgroup_stats.h"

namespace crisp::cri {
namespace {

std::optional<uint64_t> RateAndKeep(const runtime::CgroupStats& stats, CpuWindow& window) {
  const std::optional<uint64_t> rate = window.Rate(stats.at, stats.cpu.usage_ns);
  window.Add(stats.at, stats.cpu.usage_ns);
  return rate;
}

template <typename Attributes, typename Record>
Attributes MakeAttributes(const Record& record) {
  Attributes attributes;
  attributes.set_id(record.id());
  *attributes.mutable_metadata() = record.config().metadata();
  *attributes.mutable_labels() = record.config().labels();
  *attributes.mutable_annotations() = record.config().annotations();
  return attributes;
}

// Reads from proc what it tells of the processes of a group.
void CountProcesses(const runtime::Cgroup& group, MetricsReading& reading) {
  const auto pids = group.Pids();
  if (!pids.ok()) return;
  reading.processes = pids->size();
  for (const int32_t pid : *pids) {
    const auto process = group.OpenProcess(pid);
    if (!process.ok()) continue;
    const std::string directory = absl::StrCat("/proc/self/fd/", process->get());
    if (auto tasks = ListDir(directory + "/task"); tasks.ok()) reading.threads += tasks->size();
    auto fds = ListDir(directory + "/fd");
    if (!fds.ok()) continue;
    reading.file_descriptors += fds->size();
    for (const std::string& fd : *fds) {
      char target[8] = {};
      const std::string link = absl::StrCat(directory, "/fd/", fd);
      if (::readlink(link.c_str(), target, sizeof(target) - 1) > 0 &&
          absl::StartsWith(target, "socket:")) {
        ++reading.sockets;
      }
    }
  }
}

// The limit of a process that is still alive behind its pidfd afterwards, so that the number was
// its own.
std::optional<uint64_t> OpenFilesLimit(pid_t pid, const UniqueFd* pidfd) {
  struct rlimit files;
  if (pid <= 0 || pidfd == nullptr || ::prlimit(pid, RLIMIT_NOFILE, nullptr, &files) != 0)
    return std::nullopt;
  if (::syscall(SYS_pidfd_send_signal, pidfd->get(), 0, nullptr, 0) != 0) return std::nullopt;
  return files.rlim_cur;
}

void FillFileSystem(const storage::FsUsage& usage, MetricsReading& reading) {
  reading.writable_layer = usage;
  struct statvfs fs;
  if (::statvfs(usage.mountpoint.c_str(), &fs) != 0) return;
  reading.fs_limit_bytes = static_cast<uint64_t>(fs.f_blocks) * fs.f_frsize;
  reading.fs_inodes = fs.f_files;
  reading.fs_inodes_free = fs.f_ffree;
}

}  // namespace

ContainerReading StatsReader::ReadContainer(Container& container) const {
  const auto held = container.Snapshot();
  const state::ContainerRecord& record = *held;
  ContainerReading reading{.attributes = MakeAttributes<v1::ContainerAttributes>(record)};
  if (auto usage = node_.images->ContainerUsage(record.id()); usage.ok()) {
    reading.writable_layer = *std::move(usage);
  }
  if (record.stage() != state::ContainerRecord::RUNNING) return reading;
  auto stats = container.pod->runtime->Stats(RefTo(*container.pod, record));
  if (!stats.ok()) return reading;
  absl::MutexLock lock(&container.mutex);
  reading.nano_cores = RateAndKeep(*stats, container.cpu);
  reading.cgroup = *std::move(stats);
  return reading;
}

PodReading StatsReader::ReadPod(Pod& pod, const InterfaceMap& interfaces) const {
  const auto held = pod.Snapshot();
  const state::PodRecord& record = *held;
  PodReading reading{.attributes = MakeAttributes<v1::PodSandboxAttributes>(record),
                     .at = absl::Now()};
  if (auto it = interfaces.find(pod.id); it != interfaces.end()) reading.interfaces = it->second;
  for (const ContainerPtr& container : table_.ContainersOf(pod)) {
    if (container->Stage() == state::ContainerRecord::RUNNING) {
      reading.containers.push_back(ReadContainer(*container));
    }
  }
  auto stats = runtime::CgroupStatsReader(node_.CgroupAt(record.cgroup_path())).Read();
  if (!stats.ok()) return reading;
  absl::MutexLock lock(&pod.mutex);
  reading.nano_cores = RateAndKeep(*stats, pod.cpu);
  reading.cgroup = *std::move(stats);
  return reading;
}

StatsReader::InterfaceMap StatsReader::Interfaces() const {
  // Without the counters the rest is still worth telling.
  auto counters = node_.network->Counters();
  return counters.ok() ? *std::move(counters) : InterfaceMap();
}

absl::Status StatsReader::ContainerStats(const v1::ContainerStatsRequest& request,
                                         v1::ContainerStatsResponse* reply) const {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container,
                         table_.FindContainer(request.container_id()));
  CRISP_RETURN_IF_ERROR(Can(*container->pod, runtime::Verb::kStats));
  *reply->mutable_stats() = MakeContainerStats(ReadContainer(*container));
  return absl::OkStatus();
}

absl::Status StatsReader::ListContainerStats(View view,
                                             const v1::ListContainerStatsRequest& request,
                                             v1::ListContainerStatsResponse* reply) const {
  const v1::ContainerStatsFilter& filter = request.filter();
  for (const ContainerPtr& container : table_.Containers()) {
    if (!container->pod->ShownIn(view) || !absl::StartsWith(container->id, filter.id())) continue;
    if (!absl::StartsWith(container->pod->id, filter.pod_sandbox_id())) continue;
    if (!MatchesLabels(filter.label_selector(), container->Snapshot()->config().labels())) continue;
    *reply->add_stats() = MakeContainerStats(ReadContainer(*container));
  }
  return absl::OkStatus();
}

absl::Status StatsReader::PodSandboxStats(const v1::PodSandboxStatsRequest& request,
                                          v1::PodSandboxStatsResponse* reply) const {
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, table_.FindPod(request.pod_sandbox_id()));
  if (!pod->Ready()) {
    return absl::UnavailableError(
        absl::StrCat("pod sandbox ", pod->id, " is not ready: no statistics"));
  }
  *reply->mutable_stats() = MakePodSandboxStats(ReadPod(*pod, Interfaces()));
  return absl::OkStatus();
}

absl::Status StatsReader::ListPodSandboxStats(View view,
                                              const v1::ListPodSandboxStatsRequest& request,
                                              v1::ListPodSandboxStatsResponse* reply) const {
  const InterfaceMap interfaces = Interfaces();
  const v1::PodSandboxStatsFilter& filter = request.filter();
  for (const PodPtr& pod : table_.Pods()) {
    if (!pod->ShownIn(view) || !absl::StartsWith(pod->id, filter.id()) || !pod->Ready()) continue;
    if (!MatchesLabels(filter.label_selector(), pod->Snapshot()->config().labels())) continue;
    *reply->add_stats() = MakePodSandboxStats(ReadPod(*pod, interfaces));
  }
  return absl::OkStatus();
}

void StatsReader::AddMetricsOf(const ContainerReading& container,
                               const v1::PodSandboxMetadata& pod,
                               v1::PodSandboxMetrics* metrics) const {
  auto found = table_.FindContainer(container.attributes.id());
  if (!found.ok() || !container.cgroup.has_value()) return;
  const auto held = (*found)->Snapshot();
  const state::ContainerRecord& record = *held;
  MetricsReading reading{.id = record.id(),
                         .name = record.id(),
                         .image = record.config().image().image(),
                         .pod_namespace = pod.namespace_(),
                         .pod = pod.name(),
                         .container = record.config().metadata().name(),
                         .stats = *container.cgroup,
                         .created_at = absl::FromUnixNanos(record.created_at()),
                         .started_at = absl::FromUnixNanos(record.started_at()),
                         .resources = record.resources()};
  if (container.writable_layer.has_value()) FillFileSystem(*container.writable_layer, reading);
  CountProcesses(node_.CgroupAt(record.cgroup_path()), reading);
  const auto pidfd = (*found)->Pidfd();
  if (auto limit = OpenFilesLimit(record.pid(), pidfd.get())) reading.open_files_limit = *limit;
  v1::ContainerMetrics* of_container = metrics->add_container_metrics();
  of_container->set_container_id(record.id());
  for (v1::Metric& sample : ContainerMetricSamples(reading)) {
    of_container->mutable_metrics()->Add(std::move(sample));
  }
}

absl::Status StatsReader::ListPodSandboxMetrics(View view,
                                                v1::ListPodSandboxMetricsResponse* reply) const {
  const InterfaceMap interfaces = Interfaces();
  for (const PodPtr& pod : table_.Pods()) {
    if (!pod->ShownIn(view) || !pod->Ready()) continue;
    const PodReading read = ReadPod(*pod, interfaces);
    const v1::PodSandboxMetadata& metadata = read.attributes.metadata();
    v1::PodSandboxMetrics* metrics = reply->add_pod_metrics();
    metrics->set_pod_sandbox_id(pod->id);
    const absl::Time created_at = absl::FromUnixNanos(pod->Snapshot()->created_at());
    MetricsReading own{.id = pod->id,
                       .name = pod->id,
                       .pod_namespace = metadata.namespace_(),
                       .pod = metadata.name(),
                       .created_at = created_at,
                       .started_at = created_at};
    if (read.cgroup.has_value()) own.stats = *read.cgroup;
    for (v1::Metric& sample : PodMetricSamples(own, read.interfaces)) {
      metrics->mutable_metrics()->Add(std::move(sample));
    }
    for (const ContainerReading& container : read.containers)
      AddMetricsOf(container, metadata, metrics);
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
