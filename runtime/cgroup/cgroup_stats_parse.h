#ifndef CRISP_RUNTIME_CGROUP_CGROUP_STATS_PARSE_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_STATS_PARSE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

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

// Parsers of the kernel's text, tolerant of lines they do not know; pure, fuzzed.
// "key value\n" lines; lines of another form are skipped.
std::map<std::string, uint64_t> ParseFlatKeyed(absl::string_view text);
uint64_t StatValue(const std::map<std::string, uint64_t>& stat, const char* key);
// "some avg10=0.00 … total=12\nfull …"; nullopt when there is no "some" line.
std::optional<Pressure> ParsePressure(absl::string_view text);
std::vector<DeviceIo> ParseIoStat(absl::string_view text);
// The two blkio.throttle files' "8:0 Read 123" lines.
std::vector<DeviceIo> ParseBlkio(absl::string_view bytes, absl::string_view operations);
// One number. nullopt for "max", and for text that is not a number.
std::optional<uint64_t> ParseCgroupNumber(absl::string_view text);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_STATS_PARSE_H_
