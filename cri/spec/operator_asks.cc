#include "cri/spec/operator_asks.h"

#include <sys/resource.h>

#include <climits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "cri/api/operator_annotations.h"

namespace crisp::cri {
namespace {

constexpr uint64_t kUnlimited = ~uint64_t{0};  // RLIM64_INFINITY

struct Ulimit {
  absl::string_view name;      // docker's
  absl::string_view oci_type;  // "RLIMIT_" and the name in capitals
  int number;
};
constexpr Ulimit kUlimits[] = {
    {"as", "RLIMIT_AS", RLIMIT_AS},
    {"core", "RLIMIT_CORE", RLIMIT_CORE},
    {"cpu", "RLIMIT_CPU", RLIMIT_CPU},
    {"data", "RLIMIT_DATA", RLIMIT_DATA},
    {"fsize", "RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"locks", "RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"memlock", "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"msgqueue", "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"nice", "RLIMIT_NICE", RLIMIT_NICE},
    {"nofile", "RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"nproc", "RLIMIT_NPROC", RLIMIT_NPROC},
    {"rss", "RLIMIT_RSS", RLIMIT_RSS},
    {"rtprio", "RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"rttime", "RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"sigpending", "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"stack", "RLIMIT_STACK", RLIMIT_STACK},
};

absl::Status Refused(absl::string_view annotation, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("annotation ", annotation, ": ", why));
}

using Annotations = google::protobuf::Map<std::string, std::string>;

// Empty if it is absent.
absl::string_view ValueOf(const Annotations& annotations, const char* key) {
  const auto found = annotations.find(key);
  return found == annotations.end() ? absl::string_view() : absl::string_view(found->second);
}

// Decimal digits alone: no sign, no blank.
std::optional<uint64_t> Number(absl::string_view text) {
  uint64_t number = 0;
  if (text.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(text[0])) ||
      !absl::SimpleAtoi(text, &number)) {
    return std::nullopt;
  }
  return number;
}

std::optional<uint64_t> Limit(absl::string_view text) {
  if (text == "-1" || text == "unlimited") return kUnlimited;
  return Number(text);
}

absl::StatusOr<std::vector<runtime::OciRlimit>> ParseUlimits(absl::string_view text) {
  std::vector<runtime::OciRlimit> limits;
  if (text.empty()) return limits;
  for (absl::string_view item : absl::StrSplit(text, ',')) {
    const auto refuse = [item](absl::string_view why) {
      return Refused(kUlimitsAnnotation, absl::StrCat("\"", item, "\" ", why));
    };
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(item, absl::MaxSplits('=', 1));
    const Ulimit* known = nullptr;
    for (const Ulimit& one : kUlimits) {
      if (one.name == parts.first) known = &one;
    }
    if (known == nullptr) return refuse("does not begin with the name of a limit, such as nofile=");
    const size_t colon = parts.second.find(':');
    const std::optional<uint64_t> soft = Limit(parts.second.substr(0, colon));
    const std::optional<uint64_t> hard =
        colon == absl::string_view::npos ? soft : Limit(parts.second.substr(colon + 1));
    if (!soft.has_value() || !hard.has_value())
      return refuse("must be NAME=SOFT or NAME=SOFT:HARD, in decimal numbers or \"unlimited\"");
    if (*soft > *hard) return refuse("has a soft limit above its hard one");
    for (const runtime::OciRlimit& earlier : limits) {
      if (earlier.type == known->oci_type) return refuse("is there twice");
    }
    limits.push_back({.type = std::string(known->oci_type), .soft = *soft, .hard = *hard});
  }
  return limits;
}

absl::StatusOr<std::vector<DeviceRate>> ParseRates(const Annotations& annotations,
                                                   const char* annotation) {
  const absl::string_view text = ValueOf(annotations, annotation);
  std::vector<DeviceRate> rates;
  if (text.empty()) return rates;
  for (absl::string_view item : absl::StrSplit(text, ',')) {
    const size_t colon = item.rfind(':');
    const absl::string_view path = item.substr(0, colon);
    const std::optional<uint64_t> rate =
        colon == absl::string_view::npos ? std::nullopt : Number(item.substr(colon + 1));
    // A pattern would be looked up as one.
    if (!rate.has_value() || *rate == 0 || path.empty() || path[0] != '/' ||
        path.size() >= PATH_MAX || path.find_first_of("*?[\\") != absl::string_view::npos) {
      return Refused(annotation, absl::StrCat("\"", item,
                                              "\" must be PATH:RATE, an absolute path without "
                                              "patterns and a decimal number of at least 1"));
    }
    if (rates.size() == kMostDeviceRates)
      return Refused(annotation, absl::StrCat("has more than ", kMostDeviceRates, " devices"));
    rates.push_back({.path = std::string(path), .rate = *rate});
  }
  return rates;
}

absl::StatusOr<std::optional<uint64_t>> ParseShm(const v1::PodSandboxConfig& config) {
  const absl::string_view text = ValueOf(config.annotations(), kShmSizeAnnotation);
  if (text.empty()) return std::optional<uint64_t>();
  const std::optional<uint64_t> bytes = Number(text);
  if (!bytes.has_value() || *bytes == 0 || *bytes > kMostShmBytes) {
    return Refused(
        kShmSizeAnnotation,
        absl::StrCat("\"", text, "\" must be a number of bytes from 1 to ", kMostShmBytes));
  }
  if (config.linux().security_context().namespace_options().ipc() == v1::NODE)
    return Refused(kShmSizeAnnotation, "the pod has the host's IPC namespace and /dev/shm");
  return bytes;
}

absl::StatusOr<bool> ParseNoNetwork(const v1::PodSandboxConfig& config) {
  const absl::string_view text = ValueOf(config.annotations(), kNetworkAnnotation);
  if (text.empty()) return false;
  if (text != kNetworkNone)
    return Refused(kNetworkAnnotation, absl::StrCat("\"", text, "\" must be \"none\""));
  if (config.linux().security_context().namespace_options().network() == v1::NODE)
    return Refused(kNetworkAnnotation, "the pod has the host's network namespace");
  for (const v1::PortMapping& port : config.port_mappings()) {
    if (port.host_port() > 0)
      return Refused(kNetworkAnnotation, "a pod without a network has no host ports");
  }
  return true;
}

}  // namespace

absl::StatusOr<PodAsks> ParsePodAsks(const v1::PodSandboxConfig& config) {
  PodAsks asks;
  const absl::string_view removal = ValueOf(config.annotations(), kRemoveOnExitAnnotation);
  if (!removal.empty() && removal != "true" && removal != "false") {
    return Refused(kRemoveOnExitAnnotation,
                   absl::StrCat("\"", removal, "\" must be \"true\" or \"false\""));
  }
  asks.remove_on_exit = removal == "true";
  CRISP_ASSIGN_OR_RETURN(asks.no_network, ParseNoNetwork(config));
  CRISP_ASSIGN_OR_RETURN(asks.shm_bytes, ParseShm(config));
  return asks;
}

PodAsks AsksOf(const state::PodRecord& record) {
  if (!record.of_operator()) return {};
  return ParsePodAsks(record.config()).value_or(PodAsks());
}

absl::StatusOr<ContainerAsks> ParseContainerAsks(const v1::ContainerConfig& config) {
  const Annotations& annotations = config.annotations();
  ContainerAsks asks;
  CRISP_ASSIGN_OR_RETURN(asks.ulimits, ParseUlimits(ValueOf(annotations, kUlimitsAnnotation)));
  CRISP_ASSIGN_OR_RETURN(asks.read_bps, ParseRates(annotations, kDeviceReadBpsAnnotation));
  CRISP_ASSIGN_OR_RETURN(asks.write_bps, ParseRates(annotations, kDeviceWriteBpsAnnotation));
  CRISP_ASSIGN_OR_RETURN(asks.read_iops, ParseRates(annotations, kDeviceReadIopsAnnotation));
  CRISP_ASSIGN_OR_RETURN(asks.write_iops, ParseRates(annotations, kDeviceWriteIopsAnnotation));
  return asks;
}

int RlimitNumber(absl::string_view oci_type) {
  for (const Ulimit& one : kUlimits) {
    if (one.oci_type == oci_type) return one.number;
  }
  return -1;
}

absl::Status CheckHardLimits(const std::vector<runtime::OciRlimit>& limits,
                             uint64_t (*hard_limit_of)(int resource)) {
  for (const runtime::OciRlimit& limit : limits) {
    const uint64_t most = hard_limit_of(RlimitNumber(limit.type));
    if (limit.hard <= most) continue;
    return Refused(kUlimitsAnnotation,
                   absl::StrCat(limit.type, ": the hard limit ",
                                limit.hard == kUnlimited ? "unlimited" : absl::StrCat(limit.hard),
                                " is above crispd's own, ", most));
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
