#include "runtime/cgroup/cgroup_stats_parse.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace crisp::runtime {
namespace {

std::vector<absl::string_view> Words(absl::string_view line) {
  return absl::StrSplit(line, ' ', absl::SkipEmpty());
}

bool ParseDevice(absl::string_view text, DeviceIo& device) {
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  return absl::SimpleAtoi(parts.first, &device.major) &&
         absl::SimpleAtoi(parts.second, &device.minor);
}

PressureLine ParsePressureLine(const std::vector<absl::string_view>& words) {
  PressureLine line;
  for (size_t i = 1; i < words.size(); ++i) {
    std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(words[i], absl::MaxSplits('=', 1));
    double value = 0;
    uint64_t micros = 0;
    if (pair.first == "total") {
      if (absl::SimpleAtoi(pair.second, &micros)) line.total_ns = micros * 1000;
    } else if (absl::SimpleAtod(pair.second, &value)) {
      if (pair.first == "avg10") line.avg10 = value;
      if (pair.first == "avg60") line.avg60 = value;
      if (pair.first == "avg300") line.avg300 = value;
    }
  }
  return line;
}

DeviceIo& Entry(std::map<std::pair<uint32_t, uint32_t>, DeviceIo>& devices, const DeviceIo& key) {
  DeviceIo& entry = devices[{key.major, key.minor}];
  entry.major = key.major;
  entry.minor = key.minor;
  return entry;
}

void AddBlkio(absl::string_view text,
              uint64_t DeviceIo::*read,
              uint64_t DeviceIo::*write,
              std::map<std::pair<uint32_t, uint32_t>, DeviceIo>& devices) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<absl::string_view> words = Words(line);
    DeviceIo key;
    uint64_t value = 0;
    if (words.size() != 3 || !ParseDevice(words[0], key) || !absl::SimpleAtoi(words[2], &value)) {
      continue;
    }
    if (words[1] == "Read") Entry(devices, key).*read = value;
    if (words[1] == "Write") Entry(devices, key).*write = value;
  }
}

}  // namespace

std::map<std::string, uint64_t> ParseFlatKeyed(absl::string_view text) {
  std::map<std::string, uint64_t> values;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<absl::string_view> words = Words(line);
    uint64_t value = 0;
    if (words.size() == 2 && absl::SimpleAtoi(words[1], &value)) {
      values[std::string(words[0])] = value;
    }
  }
  return values;
}

uint64_t StatValue(const std::map<std::string, uint64_t>& stat, const char* key) {
  auto found = stat.find(key);
  return found == stat.end() ? 0 : found->second;
}

std::optional<Pressure> ParsePressure(absl::string_view text) {
  std::optional<Pressure> pressure;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<absl::string_view> words = Words(line);
    if (words.empty()) continue;
    if (words[0] == "some") {
      if (!pressure.has_value()) pressure.emplace();
      pressure->some = ParsePressureLine(words);
    } else if (words[0] == "full" && pressure.has_value()) {
      pressure->full = ParsePressureLine(words);
    }
  }
  return pressure;
}

std::vector<DeviceIo> ParseIoStat(absl::string_view text) {
  std::vector<DeviceIo> devices;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<absl::string_view> words = Words(line);
    DeviceIo device;
    if (words.size() < 2 || !ParseDevice(words[0], device)) continue;
    for (size_t i = 1; i < words.size(); ++i) {
      std::pair<absl::string_view, absl::string_view> pair =
          absl::StrSplit(words[i], absl::MaxSplits('=', 1));
      uint64_t value = 0;
      if (!absl::SimpleAtoi(pair.second, &value)) continue;
      if (pair.first == "rbytes") device.read_bytes = value;
      if (pair.first == "wbytes") device.write_bytes = value;
      if (pair.first == "rios") device.reads = value;
      if (pair.first == "wios") device.writes = value;
    }
    devices.push_back(device);
  }
  return devices;
}

std::vector<DeviceIo> ParseBlkio(absl::string_view bytes, absl::string_view operations) {
  std::map<std::pair<uint32_t, uint32_t>, DeviceIo> devices;
  AddBlkio(bytes, &DeviceIo::read_bytes, &DeviceIo::write_bytes, devices);
  AddBlkio(operations, &DeviceIo::reads, &DeviceIo::writes, devices);
  std::vector<DeviceIo> list;
  for (const auto& [key, device] : devices) list.push_back(device);
  return list;
}

std::optional<uint64_t> ParseCgroupNumber(absl::string_view text) {
  uint64_t value = 0;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &value)) return std::nullopt;
  return value;
}

}  // namespace crisp::runtime
