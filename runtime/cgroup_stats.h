#ifndef CRISP_RUNTIME_CGROUP_STATS_H_
#define CRISP_RUNTIME_CGROUP_STATS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "runtime/cgroup.h"

namespace crisp::runtime {

struct PressureLine {
  double avg10 = 0, avg60 = 0, avg300 = 0;  // percent
  uint64_t total_ns = 0;
};
struct Pressure {
  PressureLine some, full;
};

struct DeviceIo {
  uint32_t major = 0, minor = 0;
  uint64_t read_bytes = 0, write_bytes = 0, reads = 0, writes = 0;
};

// An optional that is unset: the kernel does not say (v1 has no pressure, …).
struct CgroupStats {
  absl::Time at;
  struct Cpu {
    uint64_t usage_ns = 0, user_ns = 0, system_ns = 0;
    uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;
    std::optional<Pressure> pressure;
  } cpu;
  struct Memory {
    uint64_t usage = 0;
    uint64_t working_set = 0;      // usage − inactive file pages, at least 0
    uint64_t rss = 0;              // anonymous memory
    uint64_t cache = 0, mapped_file = 0, kernel = 0;
    uint64_t active_file = 0, inactive_file = 0;
    uint64_t page_faults = 0, major_page_faults = 0;
    std::optional<uint64_t> limit;  // unset: none
    std::optional<uint64_t> max_usage;
    uint64_t fail_count = 0;        // times the limit was hit
    uint64_t oom_kills = 0;
    std::optional<uint64_t> swap;   // swap alone
    std::optional<uint64_t> swap_limit;  // swap alone; unset: none or no accounting
    std::optional<Pressure> pressure;
  } memory;
  struct Pids {
    uint64_t current = 0;
    std::optional<uint64_t> limit;  // unset: none
  } pids;
  struct Io {
    std::vector<DeviceIo> devices;
    std::optional<Pressure> pressure;
  } io;
};

// Reads one group's numbers again and again: every file is opened once. Not thread-safe. Keeps up to
// 12 descriptors, which do not keep the group from being removed.
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
  // Empty when the file does not exist; the view is valid until the next call.
  absl::StatusOr<absl::string_view> Slurp(const std::string& controller, const char* file);
  absl::Status ReadV1(CgroupStats& stats);
  absl::Status ReadV2(CgroupStats& stats);

  Cgroup cgroup_;
  std::map<std::string, File> files_;
  std::string buffer_;
};

// Parsers of the kernel's text, tolerant of lines they do not know; fuzzed.
// "key value\n" lines; lines of another form are skipped.
std::map<std::string, uint64_t> ParseFlatKeyed(absl::string_view text);
// "some avg10=0.00 … total=12\nfull …"; nullopt when there is no "some" line.
std::optional<Pressure> ParsePressure(absl::string_view text);
std::vector<DeviceIo> ParseIoStat(absl::string_view text);
// The two blkio.throttle files' "8:0 Read 123" lines.
std::vector<DeviceIo> ParseBlkio(absl::string_view bytes, absl::string_view operations);
// One number or "max" (nullopt). nullopt for garbage, too.
std::optional<uint64_t> ParseCgroupNumber(absl::string_view text);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_STATS_H_
