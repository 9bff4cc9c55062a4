#include "cri/stats/pod_metrics.h"

#include <unistd.h>

#include <cstdlib>
#include <initializer_list>

#include "absl/strings/str_cat.h"

namespace crisp::cri {
namespace {

struct Descriptor {
  const char* name;
  const char* help;
  v1::MetricType type;
  std::vector<const char*> extra_labels;
};

constexpr const char* kCommonLabels[] = {"id", "name", "image", "namespace", "pod", "container"};

// The one table. Units are in the names; cAdvisor's names keep their quirks.
const std::vector<Descriptor>& Table() {
  constexpr auto kCounter = v1::COUNTER;
  constexpr auto kGauge = v1::GAUGE;
  static const auto& table = *new std::vector<Descriptor>{
      {"container_blkio_device_usage_total",
       "Bytes moved to and from a block device",
       kCounter,
       {"device", "major", "minor", "operation"}},
      {"container_cpu_cfs_burst_periods_total",
       "Periods in which saved CPU quota was used",
       kCounter,
       {}},
      {"container_cpu_cfs_burst_seconds_total",
       "CPU time above the quota, from what was saved",
       kCounter,
       {}},
      {"container_cpu_cfs_periods_total",
       "Elapsed enforcement periods of the CPU quota",
       kCounter,
       {}},
      {"container_cpu_cfs_throttled_periods_total",
       "Periods in which the CPU quota ran out",
       kCounter,
       {}},
      {"container_cpu_cfs_throttled_seconds_total",
       "Time spent throttled by the CPU quota",
       kCounter,
       {}},
      {"container_cpu_system_seconds_total", "CPU time in the kernel", kCounter, {}},
      {"container_cpu_usage_seconds_total", "CPU time in all", kCounter, {"cpu"}},
      {"container_cpu_user_seconds_total", "CPU time in user space", kCounter, {}},
      {"container_creation_time_seconds",
       "When the container was created, in Unix seconds",
       kGauge,
       {}},
      {"container_file_descriptors", "Open file descriptors", kGauge, {}},
      {"container_fs_inodes_free", "Free inodes of the file system", kGauge, {"device"}},
      {"container_fs_inodes_total", "Inodes of the file system", kGauge, {"device"}},
      {"container_fs_limit_bytes", "Size of the file system", kGauge, {"device"}},
      {"container_fs_reads_bytes_total", "Bytes read from block devices", kCounter, {"device"}},
      {"container_fs_reads_total", "Reads from block devices", kCounter, {"device"}},
      {"container_fs_usage_bytes", "Bytes in the writable layer", kGauge, {"device"}},
      {"container_fs_writes_bytes_total", "Bytes written to block devices", kCounter, {"device"}},
      {"container_fs_writes_total", "Writes to block devices", kCounter, {"device"}},
      {"container_hugetlb_max_usage_bytes", "Highest use of huge pages", kGauge, {"pagesize"}},
      {"container_hugetlb_usage_bytes", "Huge pages in use, in bytes", kGauge, {"pagesize"}},
      {"container_last_seen", "When these numbers were read, in Unix seconds", kGauge, {}},
      {"container_memory_cache", "Page cache in bytes", kGauge, {}},
      {"container_memory_events_high_total", "Times memory.high was exceeded", kCounter, {}},
      {"container_memory_events_max_total",
       "Times the memory limit was about to be exceeded",
       kCounter,
       {}},
      {"container_memory_failcnt", "Times the memory limit was hit", kCounter, {}},
      {"container_memory_failures_total", "Page faults", kCounter, {"failure_type", "scope"}},
      {"container_memory_file_dirty_bytes", "File pages that are not written yet", kGauge, {}},
      {"container_memory_file_writeback_bytes", "File pages that are being written", kGauge, {}},
      {"container_memory_kernel_usage", "Kernel memory in bytes", kGauge, {}},
      {"container_memory_mapped_file", "Mapped file pages in bytes", kGauge, {}},
      {"container_memory_max_usage_bytes", "Highest memory usage", kGauge, {}},
      {"container_memory_pgscan_total", "Pages that reclaim looked at", kCounter, {}},
      {"container_memory_pgsteal_total", "Pages that reclaim took", kCounter, {}},
      {"container_memory_rss", "Anonymous memory in bytes", kGauge, {}},
      {"container_memory_swap", "Swap in bytes", kGauge, {}},
      {"container_memory_total_active_file_bytes", "Active file pages", kGauge, {}},
      {"container_memory_total_inactive_file_bytes", "Inactive file pages", kGauge, {}},
      {"container_memory_usage_bytes", "Memory in all, page cache included", kGauge, {}},
      {"container_memory_working_set_bytes", "Memory less inactive file pages", kGauge, {}},
      {"container_memory_workingset_refault_anon_total",
       "Anonymous pages needed again after reclaim",
       kCounter,
       {}},
      {"container_memory_workingset_refault_file_total",
       "File pages needed again after reclaim",
       kCounter,
       {}},
      {"container_network_receive_bytes_total", "Bytes received", kCounter, {"interface"}},
      {"container_network_receive_errors_total", "Errors while receiving", kCounter, {"interface"}},
      {"container_network_receive_packets_dropped_total",
       "Packets dropped while receiving",
       kCounter,
       {"interface"}},
      {"container_network_receive_packets_total", "Packets received", kCounter, {"interface"}},
      {"container_network_transmit_bytes_total", "Bytes sent", kCounter, {"interface"}},
      {"container_network_transmit_errors_total", "Errors while sending", kCounter, {"interface"}},
      {"container_network_transmit_packets_dropped_total",
       "Packets dropped while sending",
       kCounter,
       {"interface"}},
      {"container_network_transmit_packets_total", "Packets sent", kCounter, {"interface"}},
      {"container_oom_events_total", "Processes killed for want of memory", kCounter, {}},
      {"container_pressure_cpu_stalled_seconds_total",
       "Time in which every task waited for CPU",
       kCounter,
       {}},
      {"container_pressure_cpu_waiting_seconds_total",
       "Time in which some task waited for CPU",
       kCounter,
       {}},
      {"container_pressure_io_stalled_seconds_total",
       "Time in which every task waited for IO",
       kCounter,
       {}},
      {"container_pressure_io_waiting_seconds_total",
       "Time in which some task waited for IO",
       kCounter,
       {}},
      {"container_pressure_memory_stalled_seconds_total",
       "Time in which every task waited for memory",
       kCounter,
       {}},
      {"container_pressure_memory_waiting_seconds_total",
       "Time in which some task waited for memory",
       kCounter,
       {}},
      {"container_processes", "Processes", kGauge, {}},
      {"container_sockets", "Open sockets", kGauge, {}},
      {"container_spec_cpu_period", "Period of the CPU quota in microseconds", kGauge, {}},
      {"container_spec_cpu_quota", "CPU quota in microseconds per period", kGauge, {}},
      {"container_spec_cpu_shares", "CPU shares", kGauge, {}},
      {"container_spec_memory_limit_bytes", "Memory limit, 0 without one", kGauge, {}},
      {"container_spec_memory_reservation_limit_bytes",
       "Memory reservation, 0 without one",
       kGauge,
       {}},
      {"container_spec_memory_swap_limit_bytes",
       "Limit of memory and swap together, 0 without one",
       kGauge,
       {}},
      {"container_start_time_seconds",
       "When the container was started, in Unix seconds",
       kGauge,
       {}},
      {"container_threads", "Threads", kGauge, {}},
      {"container_threads_max", "Limit of threads, 0 without one", kGauge, {}},
      {"container_ulimits_soft", "Soft limits of the first process", kGauge, {"ulimit"}},
  };
  return table;
}

const Descriptor& Find(absl::string_view name) {
  for (const Descriptor& descriptor : Table()) {
    if (name == descriptor.name) return descriptor;
  }
  // A sample without a descriptor is a mistake in this file, caught by its test.
  std::abort();
}

class Samples {
 public:
  explicit Samples(const MetricsReading& reading) : reading_(reading) {}

  void Add(absl::string_view name, uint64_t value, std::initializer_list<std::string> extra = {}) {
    v1::Metric metric;
    metric.set_name(std::string(name));
    metric.set_timestamp(absl::ToUnixNanos(reading_.stats.at));
    metric.set_metric_type(Find(name).type);
    for (const std::string* value_of :
         {&reading_.id, &reading_.name, &reading_.image, &reading_.pod_namespace, &reading_.pod,
          &reading_.container}) {
      metric.add_label_values(*value_of);
    }
    for (const std::string& label : extra) metric.add_label_values(label);
    metric.mutable_value()->set_value(value);
    metrics_.push_back(std::move(metric));
  }

  std::vector<v1::Metric> Take() { return std::move(metrics_); }

 private:
  const MetricsReading& reading_;
  std::vector<v1::Metric> metrics_;
};

// The CRI's values are integers, so seconds lose their fraction here, as in every runtime.
uint64_t Seconds(uint64_t nanoseconds) { return nanoseconds / 1'000'000'000; }
uint64_t Positive(int64_t value) { return value > 0 ? static_cast<uint64_t>(value) : 0; }

// The kernel counts whole pages of a limit.
uint64_t InPages(int64_t limit) {
  static const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return Positive(limit) / page * page;
}

void AddCpu(const MetricsReading& r, Samples& out) {
  const auto& cpu = r.stats.cpu;
  out.Add("container_cpu_usage_seconds_total", Seconds(cpu.usage_ns), {"total"});
  out.Add("container_cpu_user_seconds_total", Seconds(cpu.user_ns));
  out.Add("container_cpu_system_seconds_total", Seconds(cpu.system_ns));
  out.Add("container_cpu_cfs_periods_total", cpu.periods);
  out.Add("container_cpu_cfs_throttled_periods_total", cpu.throttled_periods);
  out.Add("container_cpu_cfs_throttled_seconds_total", Seconds(cpu.throttled_ns));
  out.Add("container_cpu_cfs_burst_periods_total", cpu.burst_periods);
  out.Add("container_cpu_cfs_burst_seconds_total", Seconds(cpu.burst_ns));
}

void AddMemory(const MetricsReading& r, Samples& out) {
  const auto& memory = r.stats.memory;
  out.Add("container_memory_usage_bytes", memory.usage);
  out.Add("container_memory_working_set_bytes", memory.working_set);
  out.Add("container_memory_rss", memory.rss);
  out.Add("container_memory_cache", memory.cache);
  out.Add("container_memory_mapped_file", memory.mapped_file);
  out.Add("container_memory_kernel_usage", memory.kernel);
  out.Add("container_memory_swap", memory.swap.value_or(0));
  out.Add("container_memory_max_usage_bytes", memory.max_usage.value_or(memory.usage));
  out.Add("container_memory_failcnt", memory.fail_count);
  out.Add("container_memory_events_max_total", memory.fail_count);
  out.Add("container_memory_events_high_total", memory.high_events);
  out.Add("container_memory_file_dirty_bytes", memory.dirty_file);
  out.Add("container_memory_file_writeback_bytes", memory.writeback_file);
  out.Add("container_memory_pgscan_total", memory.pages_scanned);
  out.Add("container_memory_pgsteal_total", memory.pages_stolen);
  out.Add("container_memory_workingset_refault_anon_total", memory.refaults_anon);
  out.Add("container_memory_workingset_refault_file_total", memory.refaults_file);
  out.Add("container_memory_total_active_file_bytes", memory.active_file);
  out.Add("container_memory_total_inactive_file_bytes", memory.inactive_file);
  out.Add("container_memory_failures_total", memory.page_faults, {"pgfault", "container"});
  out.Add("container_memory_failures_total", memory.major_page_faults, {"pgmajfault", "container"});
  out.Add("container_oom_events_total", memory.oom_kills);
}

void AddHugetlb(const MetricsReading& r, Samples& out) {
  for (const runtime::CgroupStats::Hugetlb& pages : r.stats.hugetlb) {
    out.Add("container_hugetlb_usage_bytes", pages.usage, {pages.page_size});
    if (pages.max_usage.has_value()) {
      out.Add("container_hugetlb_max_usage_bytes", *pages.max_usage, {pages.page_size});
    }
  }
}

void AddPressure(const char* resource,
                 const std::optional<runtime::Pressure>& pressure,
                 Samples& out) {
  if (!pressure.has_value()) return;
  out.Add(absl::StrCat("container_pressure_", resource, "_stalled_seconds_total"),
          Seconds(pressure->full.total_ns));
  out.Add(absl::StrCat("container_pressure_", resource, "_waiting_seconds_total"),
          Seconds(pressure->some.total_ns));
}

void AddIo(const MetricsReading& r, Samples& out) {
  for (const runtime::DeviceIo& io : r.stats.io.devices) {
    const std::string major = absl::StrCat(io.major), minor = absl::StrCat(io.minor);
    const std::string device = absl::StrCat(major, ":", minor);
    out.Add("container_blkio_device_usage_total", io.read_bytes, {device, major, minor, "Read"});
    out.Add("container_blkio_device_usage_total", io.write_bytes, {device, major, minor, "Write"});
    out.Add("container_fs_reads_bytes_total", io.read_bytes, {device});
    out.Add("container_fs_reads_total", io.reads, {device});
    out.Add("container_fs_writes_bytes_total", io.write_bytes, {device});
    out.Add("container_fs_writes_total", io.writes, {device});
  }
}

void AddFilesystem(const MetricsReading& r, Samples& out) {
  if (!r.writable_layer.has_value()) return;
  const std::string& device = r.writable_layer->mountpoint;
  out.Add("container_fs_usage_bytes", r.writable_layer->used_bytes, {device});
  out.Add("container_fs_limit_bytes", r.fs_limit_bytes, {device});
  out.Add("container_fs_inodes_total", r.fs_inodes, {device});
  out.Add("container_fs_inodes_free", r.fs_inodes_free, {device});
}

void AddProcesses(const MetricsReading& r, Samples& out) {
  out.Add("container_processes", r.processes);
  out.Add("container_threads", r.threads);
  out.Add("container_threads_max", r.stats.pids.limit.value_or(0));
  out.Add("container_file_descriptors", r.file_descriptors);
  out.Add("container_sockets", r.sockets);
  if (r.open_files_limit.has_value()) {
    out.Add("container_ulimits_soft", *r.open_files_limit, {"max_open_files"});
  }
}

void AddSpec(const MetricsReading& r, Samples& out) {
  const v1::LinuxContainerResources& spec = r.resources;
  out.Add("container_spec_cpu_period", Positive(spec.cpu_period()));
  if (spec.cpu_quota() > 0) out.Add("container_spec_cpu_quota", Positive(spec.cpu_quota()));
  out.Add("container_spec_cpu_shares", Positive(spec.cpu_shares()));
  out.Add("container_spec_memory_limit_bytes", InPages(spec.memory_limit_in_bytes()));
  out.Add("container_spec_memory_reservation_limit_bytes", 0);
  // A container without a limit of swap has one of both together that is the memory's.
  out.Add("container_spec_memory_swap_limit_bytes",
          InPages(spec.memory_swap_limit_in_bytes() != 0 ? spec.memory_swap_limit_in_bytes()
                                                         : spec.memory_limit_in_bytes()));
  out.Add("container_creation_time_seconds", Positive(absl::ToUnixSeconds(r.created_at)));
  out.Add("container_start_time_seconds", Positive(absl::ToUnixSeconds(r.started_at)));
}

}  // namespace

v1::ListMetricDescriptorsResponse MetricDescriptors() {
  v1::ListMetricDescriptorsResponse response;
  for (const Descriptor& descriptor : Table()) {
    v1::MetricDescriptor* out = response.add_descriptors();
    out->set_name(descriptor.name);
    out->set_help(descriptor.help);
    for (const char* label : kCommonLabels) out->add_label_keys(label);
    for (const char* label : descriptor.extra_labels) out->add_label_keys(label);
  }
  return response;
}

std::vector<v1::Metric> ContainerMetricSamples(const MetricsReading& reading) {
  Samples out(reading);
  AddCpu(reading, out);
  AddMemory(reading, out);
  AddPressure("cpu", reading.stats.cpu.pressure, out);
  AddPressure("memory", reading.stats.memory.pressure, out);
  AddPressure("io", reading.stats.io.pressure, out);
  AddHugetlb(reading, out);
  AddIo(reading, out);
  AddFilesystem(reading, out);
  AddProcesses(reading, out);
  AddSpec(reading, out);
  out.Add("container_last_seen", Positive(absl::ToUnixSeconds(reading.stats.at)));
  return out.Take();
}

std::vector<v1::Metric> PodMetricSamples(
    const MetricsReading& reading, const std::vector<network::InterfaceCounters>& interfaces) {
  Samples out(reading);
  AddCpu(reading, out);
  AddMemory(reading, out);
  AddPressure("cpu", reading.stats.cpu.pressure, out);
  AddPressure("memory", reading.stats.memory.pressure, out);
  AddPressure("io", reading.stats.io.pressure, out);
  for (const network::InterfaceCounters& one : interfaces) {
    if (one.name == "lo") continue;
    out.Add("container_network_receive_bytes_total", one.rx_bytes, {one.name});
    out.Add("container_network_receive_errors_total", one.rx_errors, {one.name});
    out.Add("container_network_receive_packets_dropped_total", one.rx_dropped, {one.name});
    out.Add("container_network_receive_packets_total", one.rx_packets, {one.name});
    out.Add("container_network_transmit_bytes_total", one.tx_bytes, {one.name});
    out.Add("container_network_transmit_errors_total", one.tx_errors, {one.name});
    out.Add("container_network_transmit_packets_dropped_total", one.tx_dropped, {one.name});
    out.Add("container_network_transmit_packets_total", one.tx_packets, {one.name});
  }
  return out.Take();
}

}  // namespace crisp::cri
