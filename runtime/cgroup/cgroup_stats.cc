#include "runtime/cgroup/cgroup_stats.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/cgroup/cgroup_stats_parse.h"

namespace crisp::runtime {
namespace {

// v1 has no word for "no limit", only a very large number of whole pages.
std::optional<uint64_t> V1Limit(absl::string_view text) {
  std::optional<uint64_t> limit = ParseCgroupNumber(text);
  if (limit.has_value() && *limit >= (uint64_t{1} << 62)) return std::nullopt;
  return limit;
}

uint64_t Above(uint64_t whole, uint64_t part) { return whole > part ? whole - part : 0; }

// "user" and "system" of cpuacct.stat are in ticks.
uint64_t TicksToNs(uint64_t ticks) {
  static const uint64_t kPerSecond = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  return ticks * (1000000000 / kPerSecond);
}

void MemoryFromStatV1(const std::map<std::string, uint64_t>& stat, CgroupStats::Memory& memory) {
  memory.inactive_file = StatValue(stat, "total_inactive_file");
  memory.active_file = StatValue(stat, "total_active_file");
  memory.rss = StatValue(stat, "total_rss");
  memory.cache = StatValue(stat, "total_cache");
  memory.mapped_file = StatValue(stat, "total_mapped_file");
  memory.page_faults = StatValue(stat, "total_pgfault");
  memory.major_page_faults = StatValue(stat, "total_pgmajfault");
  memory.dirty_file = StatValue(stat, "total_dirty");
  memory.writeback_file = StatValue(stat, "total_writeback");
  memory.refaults_anon = StatValue(stat, "total_workingset_refault_anon");
  memory.refaults_file = StatValue(stat, "total_workingset_refault_file");
  if (auto swap = stat.find("total_swap"); swap != stat.end()) memory.swap = swap->second;
}

void MemoryFromStatV2(const std::map<std::string, uint64_t>& stat, CgroupStats::Memory& memory) {
  memory.inactive_file = StatValue(stat, "inactive_file");
  memory.active_file = StatValue(stat, "active_file");
  memory.rss = StatValue(stat, "anon");
  memory.cache = StatValue(stat, "file");
  memory.mapped_file = StatValue(stat, "file_mapped");
  memory.kernel = StatValue(stat, "kernel");
  memory.page_faults = StatValue(stat, "pgfault");
  memory.major_page_faults = StatValue(stat, "pgmajfault");
  memory.dirty_file = StatValue(stat, "file_dirty");
  memory.writeback_file = StatValue(stat, "file_writeback");
  memory.refaults_anon = StatValue(stat, "workingset_refault_anon");
  memory.refaults_file = StatValue(stat, "workingset_refault_file");
  memory.pages_scanned = StatValue(stat, "pgscan");
  memory.pages_stolen = StatValue(stat, "pgsteal");
}

}  // namespace

absl::StatusOr<uint64_t> ReadCpuUsageNs(const Cgroup& cgroup) {
  const std::string path = cgroup.v2() ? absl::StrCat(cgroup.PrimaryDir(), "/cpu.stat")
                                       : absl::StrCat(cgroup.Dir("cpuacct"), "/cpuacct.usage");
  CRISP_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  if (cgroup.v2()) return StatValue(ParseFlatKeyed(text), "usage_usec") * 1000;
  return ParseCgroupNumber(text).value_or(0);
}

CgroupStatsReader::CgroupStatsReader(const Cgroup& cgroup) : cgroup_(cgroup) {}

absl::StatusOr<absl::string_view> CgroupStatsReader::Slurp(const std::string& controller,
                                                           const char* file) {
  File& entry = files_[absl::StrCat(controller, "/", file)];
  if (entry.missing) return absl::string_view();
  if (!entry.fd.valid()) {
    const std::string dir = cgroup_.Dir(controller);
    entry.path = absl::StrCat(dir, "/", file);
    if (!dir.empty()) entry.fd.reset(open(entry.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!entry.fd.valid() && !dir.empty() && errno != ENOENT && errno != EOPNOTSUPP) {
      return ErrnoError(errno, absl::StrCat("open ", entry.path));
    }
    // The group itself may be what is missing; then nothing must be remembered.
    if (!entry.fd.valid()) {
      entry.missing = dir.empty() || access(dir.c_str(), F_OK) == 0;
      return absl::string_view();
    }
  }
  if (buffer_.size() < 16384) buffer_.resize(16384);
  size_t size = 0;
  while (true) {
    ssize_t got = pread(entry.fd.get(), buffer_.data() + size, buffer_.size() - size,
                        static_cast<off_t>(size));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == ENODEV || errno == EOPNOTSUPP)) return absl::string_view();
    if (got < 0) return ErrnoError(errno, absl::StrCat("read ", entry.path));
    size += static_cast<size_t>(got);
    if (got == 0) break;
    if (size == buffer_.size()) buffer_.resize(2 * size);
    if (size > (1u << 20))
      return absl::ResourceExhaustedError(absl::StrCat(entry.path, ": too long"));
  }
  return absl::string_view(buffer_.data(), size);
}

absl::StatusOr<CgroupStats> CgroupStatsReader::Read() {
  if (access(cgroup_.PrimaryDir().c_str(), F_OK) != 0) {
    return absl::NotFoundError(absl::StrCat("cgroup ", cgroup_.path(), " is gone"));
  }
  CgroupStats stats;
  CRISP_RETURN_IF_ERROR(cgroup_.v2() ? ReadV2(stats) : ReadV1(stats));
  CRISP_RETURN_IF_ERROR(ReadHugetlb(stats));
  CRISP_ASSIGN_OR_RETURN(absl::string_view current, Slurp("pids", "pids.current"));
  stats.pids.current = ParseCgroupNumber(current).value_or(0);
  CRISP_ASSIGN_OR_RETURN(absl::string_view limit, Slurp("pids", "pids.max"));
  stats.pids.limit = ParseCgroupNumber(limit);
  stats.memory.working_set = Above(stats.memory.usage, stats.memory.inactive_file);
  stats.at = absl::Now();
  return stats;
}

absl::Status CgroupStatsReader::ReadHugetlb(CgroupStats& stats) {
  // Those of any architecture; a size that is not there costs one failed open.
  for (const char* size : {"64KB", "1MB", "2MB", "16MB", "32MB", "512MB", "1GB", "2GB", "16GB"}) {
    const std::string base = absl::StrCat("hugetlb.", size, ".");
    CRISP_ASSIGN_OR_RETURN(
        absl::string_view usage,
        Slurp("hugetlb", (base + (cgroup_.v2() ? "current" : "usage_in_bytes")).c_str()));
    if (usage.empty()) continue;
    CgroupStats::Hugetlb pages{.page_size = size, .usage = ParseCgroupNumber(usage).value_or(0)};
    if (!cgroup_.v2()) {
      CRISP_ASSIGN_OR_RETURN(absl::string_view peak,
                             Slurp("hugetlb", (base + "max_usage_in_bytes").c_str()));
      pages.max_usage = ParseCgroupNumber(peak);
    }
    stats.hugetlb.push_back(std::move(pages));
  }
  return absl::OkStatus();
}

absl::Status CgroupStatsReader::ReadV1(CgroupStats& stats) {
  auto number = [this](const char* controller, const char* file, uint64_t& into) -> absl::Status {
    CRISP_ASSIGN_OR_RETURN(absl::string_view text, Slurp(controller, file));
    into = ParseCgroupNumber(text).value_or(0);
    return absl::OkStatus();
  };
  CRISP_RETURN_IF_ERROR(number("cpuacct", "cpuacct.usage", stats.cpu.usage_ns));
  CRISP_ASSIGN_OR_RETURN(absl::string_view ticks, Slurp("cpuacct", "cpuacct.stat"));
  std::map<std::string, uint64_t> values = ParseFlatKeyed(ticks);
  stats.cpu.user_ns = TicksToNs(values["user"]);
  stats.cpu.system_ns = TicksToNs(values["system"]);
  CRISP_ASSIGN_OR_RETURN(absl::string_view throttled, Slurp("cpu", "cpu.stat"));
  values = ParseFlatKeyed(throttled);
  stats.cpu.periods = values["nr_periods"];
  stats.cpu.throttled_periods = values["nr_throttled"];
  stats.cpu.throttled_ns = values["throttled_time"];
  stats.cpu.burst_periods = values["nr_bursts"];
  stats.cpu.burst_ns = values["burst_time"];

  CgroupStats::Memory& memory = stats.memory;
  CRISP_RETURN_IF_ERROR(number("memory", "memory.usage_in_bytes", memory.usage));
  CRISP_RETURN_IF_ERROR(number("memory", "memory.failcnt", memory.fail_count));
  CRISP_RETURN_IF_ERROR(number("memory", "memory.kmem.usage_in_bytes", memory.kernel));
  CRISP_ASSIGN_OR_RETURN(absl::string_view stat, Slurp("memory", "memory.stat"));
  MemoryFromStatV1(ParseFlatKeyed(stat), memory);
  CRISP_ASSIGN_OR_RETURN(absl::string_view limit, Slurp("memory", "memory.limit_in_bytes"));
  memory.limit = V1Limit(limit);
  CRISP_ASSIGN_OR_RETURN(absl::string_view peak, Slurp("memory", "memory.max_usage_in_bytes"));
  memory.max_usage = ParseCgroupNumber(peak);
  CRISP_ASSIGN_OR_RETURN(absl::string_view both, Slurp("memory", "memory.memsw.limit_in_bytes"));
  if (std::optional<uint64_t> total = V1Limit(both);
      total.has_value() && memory.limit.has_value()) {
    memory.swap_limit = Above(*total, *memory.limit);
  }
  CRISP_ASSIGN_OR_RETURN(absl::string_view oom, Slurp("memory", "memory.oom_control"));
  memory.oom_kills = ParseFlatKeyed(oom)["oom_kill"];

  CRISP_ASSIGN_OR_RETURN(absl::string_view bytes,
                         Slurp("blkio", "blkio.throttle.io_service_bytes_recursive"));
  const std::string kept(bytes);  // the buffer is reused
  CRISP_ASSIGN_OR_RETURN(absl::string_view operations,
                         Slurp("blkio", "blkio.throttle.io_serviced_recursive"));
  stats.io.devices = ParseBlkio(kept, operations);
  return absl::OkStatus();
}

absl::Status CgroupStatsReader::ReadV2(CgroupStats& stats) {
  CRISP_ASSIGN_OR_RETURN(absl::string_view cpu, Slurp("", "cpu.stat"));
  std::map<std::string, uint64_t> values = ParseFlatKeyed(cpu);
  stats.cpu.usage_ns = values["usage_usec"] * 1000;
  stats.cpu.user_ns = values["user_usec"] * 1000;
  stats.cpu.system_ns = values["system_usec"] * 1000;
  stats.cpu.periods = values["nr_periods"];
  stats.cpu.throttled_periods = values["nr_throttled"];
  stats.cpu.throttled_ns = values["throttled_usec"] * 1000;
  stats.cpu.burst_periods = values["nr_bursts"];
  stats.cpu.burst_ns = values["burst_usec"] * 1000;

  CgroupStats::Memory& memory = stats.memory;
  CRISP_ASSIGN_OR_RETURN(absl::string_view stat, Slurp("", "memory.stat"));
  MemoryFromStatV2(ParseFlatKeyed(stat), memory);
  CRISP_ASSIGN_OR_RETURN(absl::string_view usage, Slurp("", "memory.current"));
  memory.usage = ParseCgroupNumber(usage).value_or(0);
  CRISP_ASSIGN_OR_RETURN(absl::string_view limit, Slurp("", "memory.max"));
  memory.limit = ParseCgroupNumber(limit);
  CRISP_ASSIGN_OR_RETURN(absl::string_view peak, Slurp("", "memory.peak"));
  memory.max_usage = ParseCgroupNumber(peak);
  CRISP_ASSIGN_OR_RETURN(absl::string_view events, Slurp("", "memory.events"));
  values = ParseFlatKeyed(events);
  memory.fail_count = values["max"];
  memory.high_events = values["high"];
  memory.oom_kills = values["oom_kill"];
  CRISP_ASSIGN_OR_RETURN(absl::string_view swap, Slurp("", "memory.swap.current"));
  memory.swap = ParseCgroupNumber(swap);
  CRISP_ASSIGN_OR_RETURN(absl::string_view swap_limit, Slurp("", "memory.swap.max"));
  memory.swap_limit = ParseCgroupNumber(swap_limit);

  CRISP_ASSIGN_OR_RETURN(absl::string_view io, Slurp("", "io.stat"));
  stats.io.devices = ParseIoStat(io);
  CRISP_ASSIGN_OR_RETURN(absl::string_view cpu_pressure, Slurp("", "cpu.pressure"));
  stats.cpu.pressure = ParsePressure(cpu_pressure);
  CRISP_ASSIGN_OR_RETURN(absl::string_view memory_pressure, Slurp("", "memory.pressure"));
  memory.pressure = ParsePressure(memory_pressure);
  CRISP_ASSIGN_OR_RETURN(absl::string_view io_pressure, Slurp("", "io.pressure"));
  stats.io.pressure = ParsePressure(io_pressure);
  return absl::OkStatus();
}

}  // namespace crisp::runtime
