#ifndef CRISP_RUNTIME_CGROUP_CGROUP_STATS_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_STATS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/cgroup_stats_parse.h"

namespace crisp::runtime {

// An optional is unset if the kernel does not tell the value (v1 has no pressure, …).
struct CgroupStats {
  absl::Time at;
  struct Cpu {
    uint64_t usage_ns = 0, user_ns = 0, system_ns = 0;
    uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;
    uint64_t burst_periods = 0, burst_ns = 0;
    std::optional<Pressure> pressure;
  } cpu;
  struct Memory {
    uint64_t usage = 0;
    uint64_t working_set = 0;  // usage − inactive file pages, at least 0
    uint64_t rss = 0;          // anonymous memory
    uint64_t cache = 0, mapped_file = 0, kernel = 0;
    uint64_t active_file = 0, inactive_file = 0;
    uint64_t dirty_file = 0, writeback_file = 0;
    uint64_t page_faults = 0, major_page_faults = 0;
    uint64_t refaults_anon = 0, refaults_file = 0;
    uint64_t pages_scanned = 0, pages_stolen = 0;  // by reclaim; v2 only
    uint64_t high_events = 0;                      // times above memory.high; v2 only
    std::optional<uint64_t> limit;                 // unset: none
    std::optional<uint64_t> max_usage;
    uint64_t fail_count = 0;  // times the limit was hit
    uint64_t oom_kills = 0;
    std::optional<uint64_t> swap;        // swap alone
    std::optional<uint64_t> swap_limit;  // swap alone; unset: none or no accounting
    std::optional<Pressure> pressure;
  } memory;
  struct Pids {
    uint64_t current = 0;
    std::optional<uint64_t> limit;  // unset: none
  } pids;
  struct Hugetlb {
    std::string page_size;              // "2MB"
    uint64_t usage = 0;                 // bytes
    std::optional<uint64_t> max_usage;  // v1 only
  };
  std::vector<Hugetlb> hugetlb;  // of the sizes that the kernel accounts for
  struct Io {
    std::vector<DeviceIo> devices;
    std::optional<Pressure> pressure;
  } io;
};

// The CPU time that a group has used, from one file. NotFound when the group is gone.
absl::StatusOr<uint64_t> ReadCpuUsageNs(const Cgroup& cgroup);

// Reads one group's numbers again and again, and opens every file once. Not thread-safe. Keeps up
// to 30 descriptors, which do not keep the group from being removed.
class CgroupStatsReader {
 public:
  explicit CgroupStatsReader(const Cgroup& cgroup);

  // NotFound when the group is gone. A single missing file leaves its numbers at zero or unset.
  absl::StatusOr<CgroupStats> Read();

 private:
  struct File {
    std::string path;
    UniqueFd fd;
    bool missing = false;
  };
  // The contents of a file, empty if it does not exist. The view is valid until the next call.
  absl::StatusOr<absl::string_view> Slurp(const std::string& controller, const char* file);
  absl::Status ReadHugetlb(CgroupStats& stats);
  absl::Status ReadV1(CgroupStats& stats);
  absl::Status ReadV2(CgroupStats& stats);

  Cgroup cgroup_;
  std::map<std::string, File> files_;
  std::string buffer_;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_STATS_H_
