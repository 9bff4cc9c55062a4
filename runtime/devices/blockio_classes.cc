#include "runtime/devices/blockio_classes.h"

#include <glob.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/yaml_document.h"

namespace crisp::runtime {
namespace {

absl::Status Invalid(absl::string_view where, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", why));
}

// An amount as Kubernetes writes it: digits and a decimal or binary unit.
absl::StatusOr<uint64_t> Amount(const Json& value, const std::string& where) {
  constexpr struct {
    const char* unit;
    uint64_t factor;
  } kUnits[] = {{"", 1},
                {"k", 1000},
                {"M", 1000000},
                {"G", 1000000000},
                {"T", 1000000000000},
                {"Ki", 1ull << 10},
                {"Mi", 1ull << 20},
                {"Gi", 1ull << 30},
                {"Ti", 1ull << 40}};
  CRISP_ASSIGN_OR_RETURN(const std::string text, YamlString(value, where));
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  uint64_t number = 0;
  for (const auto& known : kUnits) {
    if (digits == 0 || text.substr(digits) != known.unit ||
        !absl::SimpleAtoi(text.substr(0, digits), &number) ||
        number > std::numeric_limits<uint64_t>::max() / known.factor) {
      continue;
    }
    return number * known.factor;
  }
  return Invalid(where, absl::StrCat("\"", text, "\" is not an amount such as 60M or 1Gi"));
}

absl::Status ReadMember(const std::string& key,
                        const Json& value,
                        const std::string& where,
                        BlockIoRule& rule) {
  const std::string name = absl::AsciiStrToLower(key);
  if (name == "devices") {
    CRISP_ASSIGN_OR_RETURN(rule.devices, YamlStrings(value, where));
    for (const std::string& device : rule.devices) {
      if (!absl::StartsWith(device, "/"))
        return Invalid(where, absl::StrCat("\"", device, "\" is not absolute"));
    }
    return absl::OkStatus();
  }
  if (name == "weight") {
    CRISP_ASSIGN_OR_RETURN(const int64_t weight, YamlInt(value, where, 10, 1000));
    rule.weight = static_cast<uint16_t>(weight);
    return absl::OkStatus();
  }
  std::optional<uint64_t>* rate = name == "throttlereadbps"     ? &rule.read_bps
                                  : name == "throttlewritebps"  ? &rule.write_bps
                                  : name == "throttlereadiops"  ? &rule.read_iops
                                  : name == "throttlewriteiops" ? &rule.write_iops
                                                                : nullptr;
  if (rate == nullptr) return Invalid(where, "unknown member");
  CRISP_ASSIGN_OR_RETURN(*rate, Amount(value, where));
  return absl::OkStatus();
}

absl::StatusOr<BlockIoRule> ReadRule(const Json& json, const std::string& where) {
  if (!json.is_object()) return Invalid(where, "must be a mapping");
  BlockIoRule rule;
  for (const auto& [key, value] : json.items()) {
    if (value.is_null()) continue;
    CRISP_RETURN_IF_ERROR(ReadMember(key, value, absl::StrCat(where, ".", key), rule));
  }
  const bool throttles = rule.read_bps || rule.write_bps || rule.read_iops || rule.write_iops;
  if (throttles && rule.devices.empty()) return Invalid(where, "a throttle needs Devices");
  return rule;
}

absl::StatusOr<std::vector<BlockIoRule>> ReadClass(const Json& json, const std::string& where) {
  std::vector<BlockIoRule> rules;
  if (json.is_null()) return rules;
  if (!json.is_array()) return Invalid(where, "must be a list");
  for (size_t i = 0; i < json.size(); ++i) {
    CRISP_ASSIGN_OR_RETURN(BlockIoRule rule, ReadRule(json[i], absl::StrCat(where, "[", i, "]")));
    rules.push_back(std::move(rule));
  }
  return rules;
}

void PutRate(const std::optional<uint64_t>& rate,
             DeviceNumber device,
             std::vector<OciThrottleDevice>& list) {
  if (!rate.has_value()) return;
  std::erase_if(list,
                [&](const auto& d) { return d.major == device.first && d.minor == device.second; });
  list.push_back({.major = device.first, .minor = device.second, .rate = *rate});
}

void PutDevice(const BlockIoRule& rule, DeviceNumber device, OciBlockIo& io) {
  PutRate(rule.read_bps, device, io.throttle_read_bps);
  PutRate(rule.write_bps, device, io.throttle_write_bps);
  PutRate(rule.read_iops, device, io.throttle_read_iops);
  PutRate(rule.write_iops, device, io.throttle_write_iops);
  if (!rule.weight.has_value()) return;
  std::erase_if(io.weight_device,
                [&](const auto& d) { return d.major == device.first && d.minor == device.second; });
  io.weight_device.push_back(
      {.major = device.first, .minor = device.second, .weight = rule.weight});
}

}  // namespace

absl::StatusOr<BlockIoClasses> ParseBlockIoClasses(absl::string_view text) {
  CRISP_ASSIGN_OR_RETURN(const Json json,
                         ParseYaml(text, {.max_bytes = 1u << 20, .max_nodes = 1u << 16}));
  BlockIoClasses classes;
  if (json.is_null()) return classes;
  if (!json.is_object()) return Invalid("the document", "must be a mapping");
  for (const auto& [key, value] : json.items()) {
    if (!absl::EqualsIgnoreCase(key, "classes")) return Invalid(key, "unknown member");
    if (!value.is_object()) return Invalid(key, "must be a mapping");
    for (const auto& [name, rules] : value.items()) {
      CRISP_ASSIGN_OR_RETURN(classes[name], ReadClass(rules, absl::StrCat(key, ".", name)));
    }
  }
  return classes;
}

absl::StatusOr<OciBlockIo> ResolveBlockIo(const std::vector<BlockIoRule>& rules,
                                          const FindBlockDevices& find) {
  OciBlockIo io;
  for (const BlockIoRule& rule : rules) {
    if (rule.devices.empty() && rule.weight.has_value()) io.weight = rule.weight;
    for (const std::string& pattern : rule.devices) {
      const std::vector<DeviceNumber> devices = find(pattern);
      // A pattern is for whatever this node has; a name without one is a promise.
      if (devices.empty() && pattern.find_first_of("*?[") == std::string::npos) {
        return absl::FailedPreconditionError(
            absl::StrCat(pattern, " is not a block device of this node"));
      }
      for (const DeviceNumber& device : devices) PutDevice(rule, device, io);
    }
  }
  return io;
}

std::string SelectBlockIoClass(const std::string& container_name,
                               const std::map<std::string, std::string>& container_annotations,
                               const std::map<std::string, std::string>& pod_annotations) {
  constexpr char kPrefix[] = "blockio.resources.beta.kubernetes.io/";
  const auto own = container_annotations.find("io.kubernetes.cri.blockio-class");
  if (own != container_annotations.end()) return own->second;
  auto chosen = pod_annotations.find(absl::StrCat(kPrefix, "container.", container_name));
  if (chosen == pod_annotations.end()) chosen = pod_annotations.find(absl::StrCat(kPrefix, "pod"));
  return chosen == pod_annotations.end() ? "" : chosen->second;
}

}  // namespace crisp::runtime
