#include "runtime/cgroup/cgroup_resources.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "runtime/cgroup/cgroup_devices.h"

namespace crisp::runtime {
namespace {

absl::Status Invalid(absl::string_view member, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("resources.", member, ": ", why));
}

std::string Limit(int64_t value, absl::string_view none) {
  return value < 0 ? std::string(none) : absl::StrCat(value);
}

constexpr uint64_t kDefaultPeriod = 100000;

absl::Status Check(const OciResources& r) {
  if (r.cpu.quota.value_or(1) < -1) return Invalid("cpu.quota", "is below -1");
  if (r.memory.limit.value_or(0) < -1) return Invalid("memory.limit", "is below -1");
  if (r.memory.swap.value_or(0) < -1) return Invalid("memory.swap", "is below -1");
  const int64_t limit = r.memory.limit.value_or(0), swap = r.memory.swap.value_or(0);
  if (swap > 0 && limit > 0 && swap < limit) {
    return Invalid("memory.swap", "is below memory.limit, which it includes");
  }
  if (swap > 0 && limit == -1) return Invalid("memory.swap", "is limited while memory is not");
  for (const std::string* list : {&r.cpu.cpus, &r.cpu.mems}) {
    if (list->find_first_not_of("0123456789,-") != std::string::npos) {
      return Invalid("cpu.cpus/mems", absl::StrCat("\"", *list, "\" is not a list of numbers"));
    }
  }
  for (const OciHugepageLimit& page : r.hugepage_limits) {
    if (!IsHugePageSize(page.page_size)) {
      return Invalid("hugepageLimits", absl::StrCat("\"", page.page_size, "\" is not a page size"));
    }
  }
  return absl::OkStatus();
}

class Writes {
 public:
  void Add(std::string controller, std::string file, std::string value, bool optional = false) {
    list_.push_back({std::move(controller), std::move(file), std::move(value), optional});
  }
  std::vector<CgroupWrite> Take() { return std::move(list_); }

 private:
  std::vector<CgroupWrite> list_;
};

void CpuV1(const OciCpu& cpu, Writes& out) {
  if (cpu.shares.value_or(0) != 0) {
    out.Add("cpu", "cpu.shares", absl::StrCat(std::clamp<uint64_t>(*cpu.shares, 2, 262144)));
  }
  if (cpu.period.value_or(0) != 0) out.Add("cpu", "cpu.cfs_period_us", absl::StrCat(*cpu.period));
  // 0 would be no time at all; every runtime reads it as unset.
  if (cpu.quota.value_or(0) != 0) out.Add("cpu", "cpu.cfs_quota_us", absl::StrCat(*cpu.quota));
  if (cpu.burst.has_value()) out.Add("cpu", "cpu.cfs_burst_us", absl::StrCat(*cpu.burst));
  if (cpu.realtime_period.value_or(0) != 0) {
    out.Add("cpu", "cpu.rt_period_us", absl::StrCat(*cpu.realtime_period));
  }
  if (cpu.realtime_runtime.value_or(0) != 0) {
    out.Add("cpu", "cpu.rt_runtime_us", absl::StrCat(*cpu.realtime_runtime));
  }
  if (cpu.idle.has_value()) out.Add("cpu", "cpu.idle", absl::StrCat(*cpu.idle), *cpu.idle == 0);
  if (!cpu.cpus.empty()) out.Add("cpuset", "cpuset.cpus", cpu.cpus);
  if (!cpu.mems.empty()) out.Add("cpuset", "cpuset.mems", cpu.mems);
}

void MemoryV1(const OciMemory& memory, Writes& out) {
  const int64_t limit = memory.limit.value_or(0);
  if (limit != 0) out.Add("memory", "memory.limit_in_bytes", Limit(limit, "-1"));
  // No swap beyond the memory limit unless it is asked for; the file is there only with swap
  // accounting, and without it a container can swap like everything else.
  int64_t swap = memory.swap.value_or(0) != 0 ? *memory.swap : limit;
  if (swap != 0) out.Add("memory", "memory.memsw.limit_in_bytes", Limit(swap, "-1"), true);
  if (memory.reservation.value_or(0) != 0) {
    out.Add("memory", "memory.soft_limit_in_bytes", Limit(*memory.reservation, "-1"), true);
  }
  if (memory.kernel_tcp.value_or(0) != 0) {
    out.Add("memory", "memory.kmem.tcp.limit_in_bytes", Limit(*memory.kernel_tcp, "-1"), true);
  }
  if (memory.swappiness.has_value()) {
    out.Add("memory", "memory.swappiness", absl::StrCat(*memory.swappiness));
  }
  if (memory.disable_oom_killer.value_or(false)) out.Add("memory", "memory.oom_control", "1");
}

void Throttle(const std::vector<OciThrottleDevice>& devices,
              absl::string_view controller,
              absl::string_view file,
              absl::string_view key,
              Writes& out) {
  for (const OciThrottleDevice& d : devices) {
    out.Add(std::string(controller), std::string(file),
            absl::StrCat(d.major, ":", d.minor, " ", key, d.rate));
  }
}

void BlockIoV1(const OciBlockIo& io, Writes& out) {
  // The weight's file is bfq's or, before Linux 5.0, cfq's; with neither there are no weights.
  if (io.weight.value_or(0) != 0) {
    out.Add("blkio", "blkio.bfq.weight", absl::StrCat(*io.weight), true);
    out.Add("blkio", "blkio.weight", absl::StrCat(*io.weight), true);
  }
  for (const OciWeightDevice& d : io.weight_device) {
    if (!d.weight.has_value()) continue;
    std::string value = absl::StrCat(d.major, ":", d.minor, " ", *d.weight);
    out.Add("blkio", "blkio.bfq.weight_device", value, true);
    out.Add("blkio", "blkio.weight_device", value, true);
  }
  Throttle(io.throttle_read_bps, "blkio", "blkio.throttle.read_bps_device", "", out);
  Throttle(io.throttle_write_bps, "blkio", "blkio.throttle.write_bps_device", "", out);
  Throttle(io.throttle_read_iops, "blkio", "blkio.throttle.read_iops_device", "", out);
  Throttle(io.throttle_write_iops, "blkio", "blkio.throttle.write_iops_device", "", out);
}

absl::StatusOr<std::vector<CgroupWrite>> WritesV1(const OciResources& r) {
  if (!r.unified.empty()) {
    return Invalid("unified", "needs cgroup v2, and this machine has cgroup v1");
  }
  Writes out;
  CpuV1(r.cpu, out);
  MemoryV1(r.memory, out);
  if (r.pids.has_value()) {
    out.Add("pids", "pids.max", r.pids->limit > 0 ? absl::StrCat(r.pids->limit) : "max");
  }
  BlockIoV1(r.block_io, out);
  for (const OciHugepageLimit& page : r.hugepage_limits) {
    std::string file = absl::StrCat("hugetlb.", page.page_size);
    out.Add("hugetlb", file + ".limit_in_bytes", absl::StrCat(page.limit), true);
    out.Add("hugetlb", file + ".rsvd.limit_in_bytes", absl::StrCat(page.limit), true);
  }
  if (r.network.class_id.has_value()) {
    out.Add("net_cls", "net_cls.classid", absl::StrCat(*r.network.class_id));
  }
  for (const OciInterfacePriority& p : r.network.priorities) {
    out.Add("net_prio", "net_prio.ifpriomap", absl::StrCat(p.name, " ", p.priority));
  }
  std::vector<CgroupWrite> writes = out.Take();
  CRISP_ASSIGN_OR_RETURN(std::vector<CgroupWrite> devices, DeviceWritesV1(r.devices));
  writes.insert(writes.end(), devices.begin(), devices.end());
  return writes;
}

void CpuV2(const OciCpu& cpu, Writes& out) {
  if (cpu.shares.value_or(0) != 0) {
    out.Add("", "cpu.weight", absl::StrCat(SharesToWeight(*cpu.shares)));
  }
  const int64_t quota = cpu.quota.value_or(0);
  const uint64_t period = cpu.period.value_or(0);
  if (quota > 0) {
    out.Add("", "cpu.max", absl::StrCat(quota, " ", period != 0 ? period : kDefaultPeriod));
  } else if (quota < 0 || period != 0) {
    out.Add("", "cpu.max", absl::StrCat("max ", period != 0 ? period : kDefaultPeriod));
  }
  if (cpu.burst.has_value()) out.Add("", "cpu.max.burst", absl::StrCat(*cpu.burst));
  if (cpu.idle.has_value()) out.Add("", "cpu.idle", absl::StrCat(*cpu.idle), *cpu.idle == 0);
  if (!cpu.cpus.empty()) out.Add("", "cpuset.cpus", cpu.cpus);
  if (!cpu.mems.empty()) out.Add("", "cpuset.mems", cpu.mems);
}

void MemoryV2(const OciMemory& memory, Writes& out) {
  const int64_t limit = memory.limit.value_or(0), swap = memory.swap.value_or(0);
  if (limit != 0) out.Add("", "memory.max", Limit(limit, "max"));
  // v2 counts swap apart from memory.
  if (swap < 0 || limit < 0) {
    out.Add("", "memory.swap.max", "max", true);
  } else if (limit > 0) {
    out.Add("", "memory.swap.max", absl::StrCat(swap > limit ? swap - limit : 0), true);
  }
  if (memory.reservation.value_or(0) != 0) {
    out.Add("", "memory.low", Limit(*memory.reservation, "max"));
  }
}

void BlockIoV2(const OciBlockIo& io, Writes& out) {
  if (io.weight.value_or(0) != 0) {
    out.Add("", "io.bfq.weight", absl::StrCat(*io.weight), true);
    out.Add("", "io.weight", absl::StrCat("default ", BlkioToIoWeight(*io.weight)), true);
  }
  for (const OciWeightDevice& d : io.weight_device) {
    if (!d.weight.has_value()) continue;
    out.Add("", "io.bfq.weight", absl::StrCat(d.major, ":", d.minor, " ", *d.weight), true);
    out.Add("", "io.weight", absl::StrCat(d.major, ":", d.minor, " ", BlkioToIoWeight(*d.weight)),
            true);
  }
  Throttle(io.throttle_read_bps, "", "io.max", "rbps=", out);
  Throttle(io.throttle_write_bps, "", "io.max", "wbps=", out);
  Throttle(io.throttle_read_iops, "", "io.max", "riops=", out);
  Throttle(io.throttle_write_iops, "", "io.max", "wiops=", out);
}

absl::StatusOr<std::vector<CgroupWrite>> WritesV2(const OciResources& r) {
  Writes out;
  CpuV2(r.cpu, out);
  MemoryV2(r.memory, out);
  if (r.pids.has_value()) {
    out.Add("", "pids.max", r.pids->limit > 0 ? absl::StrCat(r.pids->limit) : "max");
  }
  BlockIoV2(r.block_io, out);
  for (const OciHugepageLimit& page : r.hugepage_limits) {
    std::string file = absl::StrCat("hugetlb.", page.page_size);
    out.Add("", file + ".max", absl::StrCat(page.limit), true);
    out.Add("", file + ".rsvd.max", absl::StrCat(page.limit), true);
  }
  // Last, so that a raw value beats what was derived from another member.
  for (const auto& [file, value] : r.unified) {
    if (file.empty() || absl::StrContains(file, "/") || absl::StartsWith(file, "cgroup.") ||
        !absl::StrContains(file, ".") || file[0] == '.') {
      return Invalid("unified", absl::StrCat("\"", file, "\" is not a limit of a controller"));
    }
    // A request to this file is done once, or not, and sets nothing.
    if (file == "memory.reclaim") return Invalid("unified", "\"memory.reclaim\" is not a limit");
    out.Add("", file, value);
  }
  return out.Take();
}

template <class T>
void Put(std::optional<T>& into, const std::optional<T>& value) {
  if (value.has_value()) into = value;
}

// The kubelet's "unset" is 0.
template <class T>
void PutNonZero(std::optional<T>& into, const std::optional<T>& value) {
  if (value.value_or(0) != 0) into = value;
}

template <class T>
void PutList(std::vector<T>& into, const std::vector<T>& value) {
  if (!value.empty()) into = value;
}

}  // namespace

bool IsHugePageSize(absl::string_view text) {
  return absl::EndsWith(text, "B") &&
         text.find_first_not_of("0123456789KMGB") == absl::string_view::npos;
}

uint64_t SharesToWeight(uint64_t shares) {
  if (shares == 0) return 0;
  const double doublings = std::log2(static_cast<double>(std::clamp<uint64_t>(shares, 2, 262144)));
  const double decades = (doublings + 125) * doublings / 612 - 7.0 / 34;
  // An error of rounding must not turn a whole number into the next one.
  return static_cast<uint64_t>(std::ceil(std::pow(10, decades) - 1e-6));
}

uint64_t BlkioToIoWeight(uint64_t weight) {
  if (weight == 0) return 0;
  weight = std::clamp<uint64_t>(weight, 10, 1000);
  return 1 + (weight - 10) * 9999 / 990;
}

absl::StatusOr<std::vector<CgroupWrite>> CgroupWrites(const OciResources& resources, bool v2) {
  CRISP_RETURN_IF_ERROR(Check(resources));
  return v2 ? WritesV2(resources) : WritesV1(resources);
}

bool IsInitialValue(const CgroupWrite& write) {
  return (write.file == "cpu.cfs_period_us" && write.value == absl::StrCat(kDefaultPeriod)) ||
         (write.file == "cpu.cfs_quota_us" && write.value == "-1") ||
         (write.file == "cpu.max" && write.value == absl::StrCat("max ", kDefaultPeriod));
}

OciResources MergeResources(const OciResources& base, const OciResources& change) {
  OciResources merged = base;
  PutNonZero(merged.cpu.shares, change.cpu.shares);
  PutNonZero(merged.cpu.quota, change.cpu.quota);
  PutNonZero(merged.cpu.period, change.cpu.period);
  Put(merged.cpu.burst, change.cpu.burst);
  Put(merged.cpu.idle, change.cpu.idle);
  PutNonZero(merged.cpu.realtime_period, change.cpu.realtime_period);
  PutNonZero(merged.cpu.realtime_runtime, change.cpu.realtime_runtime);
  if (!change.cpu.cpus.empty()) merged.cpu.cpus = change.cpu.cpus;
  if (!change.cpu.mems.empty()) merged.cpu.mems = change.cpu.mems;
  PutNonZero(merged.memory.limit, change.memory.limit);
  PutNonZero(merged.memory.swap, change.memory.swap);
  PutNonZero(merged.memory.reservation, change.memory.reservation);
  Put(merged.memory.swappiness, change.memory.swappiness);
  Put(merged.memory.disable_oom_killer, change.memory.disable_oom_killer);
  Put(merged.pids, change.pids);
  PutNonZero(merged.block_io.weight, change.block_io.weight);
  PutList(merged.block_io.weight_device, change.block_io.weight_device);
  PutList(merged.block_io.throttle_read_bps, change.block_io.throttle_read_bps);
  PutList(merged.block_io.throttle_write_bps, change.block_io.throttle_write_bps);
  PutList(merged.block_io.throttle_read_iops, change.block_io.throttle_read_iops);
  PutList(merged.block_io.throttle_write_iops, change.block_io.throttle_write_iops);
  for (const OciHugepageLimit& page : change.hugepage_limits) {
    auto same = std::find_if(merged.hugepage_limits.begin(), merged.hugepage_limits.end(),
                             [&](const auto& p) { return p.page_size == page.page_size; });
    if (same == merged.hugepage_limits.end())
      merged.hugepage_limits.push_back(page);
    else
      same->limit = page.limit;
  }
  for (const auto& [file, value] : change.unified) merged.unified[file] = value;
  return merged;
}

}  // namespace crisp::runtime
