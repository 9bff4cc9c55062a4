#include "cri/config.h"

#include <stdint.h>
#include <sys/un.h>

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "base/host_port.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "network/address_pool.h"
#include "network/ip_address.h"

namespace crisp::cri {
namespace {

constexpr absl::string_view kUnixScheme = "unix://";
constexpr size_t kMaxInterfaceName = 15;  // IFNAMSIZ without its NUL

absl::Status Invalid(const Config& config, const std::string& key, absl::string_view value, absl::string_view rule) {
  return config.Refused(key, absl::StrCat("\"", value, "\" ", rule));
}

absl::Status CheckPath(const Config& config, const std::string& key, const std::string& path) {
  if (!absl::StartsWith(path, "/")) return Invalid(config, key, path, "must be an absolute path");
  if (CleanAbsolutePath(path) == "/") return Invalid(config, key, path, "must not be the root directory");
  return absl::OkStatus();
}

absl::Status CheckPaths(const Config& config) {
  for (const auto& [key, path] : {std::pair{"root", &config.root}, {"state", &config.state}}) {
    CRISP_RETURN_IF_ERROR(CheckPath(config, key, *path));
  }
  for (const auto& [key, path] : {std::pair{"network.cni_conf_dir", &config.network.cni_conf_dir},
                                  {"runtime.shim", &config.runtime.shim},
                                  {"runtime.blockio_config_file", &config.runtime.blockio_config_file},
                                  {"streaming.tls_cert_file", &config.streaming.tls_cert_file},
                                  {"streaming.tls_key_file", &config.streaming.tls_key_file},
                                  {"streaming.tls_client_ca_file", &config.streaming.tls_client_ca_file}}) {
    if (!path->empty()) CRISP_RETURN_IF_ERROR(CheckPath(config, key, *path));
  }
  for (const auto& [key, paths] : {std::pair{"image.registry_config_dirs", &config.image.registry_config_dirs},
                                   {"network.cni_bin_dirs", &config.network.cni_bin_dirs},
                                   {"runtime.cdi_spec_dirs", &config.runtime.cdi_spec_dirs}}) {
    for (const std::string& path : *paths) CRISP_RETURN_IF_ERROR(CheckPath(config, key, path));
  }
  return absl::OkStatus();
}

absl::Status CheckAddress(const Config& config, const std::string& key, const std::string& address) {
  if (address.empty()) return absl::OkStatus();
  const absl::Status form = HostPort::Parse(address).status();
  return form.ok() ? form : config.Refused(key, form.message());
}

// What network/ makes of them at start.
absl::Status CheckSubnets(const Config& config) {
  const std::vector<std::string>& subnets = config.network.subnets;
  if (subnets.empty()) return absl::OkStatus();  // some are chosen
  if (subnets.size() > 2) return config.Refused("network.subnets", "must name at most two subnets");
  const auto parsed = network::ParsePrefixes(subnets);
  if (!parsed.ok()) return config.Refused("network.subnets", parsed.status().message());
  for (size_t i = 0; i < subnets.size(); ++i) {
    const network::IpPrefix& prefix = (*parsed)[i];
    const auto first = network::IpAddress::Parse(absl::string_view(subnets[i]).substr(0, subnets[i].find('/')));
    if (first.ok() && *first != prefix.address) {
      return Invalid(config, "network.subnets", subnets[i],
                     absl::StrCat("has bits behind its length; the network is ", prefix.ToString()));
    }
    if (const auto pool = network::AddressPool::Create(prefix); !pool.ok()) {
      return config.Refused("network.subnets", pool.status().message());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckUnpacking(const Config& config) {
  if (config.image.max_unpack_cpu >= absl::Seconds(1)) return absl::OkStatus();
  return Invalid(config, "image.max_unpack_cpu", absl::FormatDuration(config.image.max_unpack_cpu),
                 "must be 1s at least");
}

absl::Status CheckNetwork(const Config& config) {
  const NetworkConfig& network = config.network;
  if (network.name.empty() || network.name.size() > kMaxInterfaceName || network.name == "." ||
      network.name == ".." || network.name.find_first_of("/: \t\n\"{};") != std::string::npos) {
    return Invalid(config, "network.name", network.name, "must be an interface name of at most 15 characters");
  }
  if (network.mtu != 0 && (network.mtu < 576 || network.mtu > 65535)) {
    return Invalid(config, "network.mtu", absl::StrCat(network.mtu), "must be 0 or between 576 and 65535");
  }
  if (network.builtin != "auto" && network.builtin != "always" && network.builtin != "never") {
    return Invalid(config, "network.builtin", network.builtin, "must be auto, always or never");
  }
  return CheckSubnets(config);
}

absl::Status CheckStreaming(const Config& config) {
  const StreamingConfig& streaming = config.streaming;
  CRISP_RETURN_IF_ERROR(CheckAddress(config, "streaming.address", streaming.address));
  for (const auto& [key, limit] : {std::pair{"streaming.creation_timeout", streaming.creation_timeout},
                                   {"streaming.url_timeout", streaming.url_timeout}}) {
    if (limit == absl::ZeroDuration()) return config.Refused(key, "must be longer than 0");
  }
  if (streaming.tls_cert_file.empty() != streaming.tls_key_file.empty()) {
    return config.Refused(streaming.tls_cert_file.empty() ? "streaming.tls_key_file" : "streaming.tls_cert_file",
                          "is given without the other: a certificate and its key belong together");
  }
  return absl::OkStatus();
}

struct Range {
  const char* key;
  int64_t value, least, most;
};

absl::Status CheckRanges(const Config& config) {
  if (config.runtime.path_timeout < absl::Seconds(1)) {
    return config.Refused("runtime.path_timeout", "must be at least 1s");
  }
  for (const Range& range : {Range{"image.max_parallel_downloads", config.image.max_parallel_downloads, 1, 64},
                             Range{"image.max_parallel_unpacks", config.image.max_parallel_unpacks, 1, 64},
                             Range{"streaming.max_connections", config.streaming.max_connections, 1, 100000},
                             Range{"streaming.max_connections_per_pod", config.streaming.max_connections_per_pod, 1,
                                   100000},
                             Range{"image.max_layer_bytes", config.image.max_layer_bytes, 1, INT64_MAX},
                             Range{"image.max_layer_files", config.image.max_layer_files, 1, INT64_MAX},
                             // The kernel's policies have c0 to c1023.
                             Range{"runtime.selinux_category_range", config.runtime.selinux_category_range, 2, 1024},
                             Range{"runtime.spare_pods", config.runtime.spare_pods, 0, 256},
                             Range{"runtime.max_log_rate", config.runtime.max_log_rate, 0, 1000000},
                             Range{"runtime.spare_roots", config.runtime.spare_roots, 0, 256}}) {
    if (range.value >= range.least && range.value <= range.most) continue;
    return Invalid(config, range.key, absl::StrCat(range.value),
                   absl::StrCat("must be between ", range.least, " and ", range.most));
  }
  return absl::OkStatus();
}

struct Choice {
  const char* key;
  const std::string& value;
  std::vector<absl::string_view> among;
};

absl::Status CheckChoices(const Config& config) {
  for (const Choice& choice :
       {Choice{"log_level", config.log_level, {"debug", "info", "warn", "error"}},
        Choice{"image.layer_format", config.image.layer_format, {"directories", "erofs"}},
        Choice{"runtime.cgroup_driver", config.runtime.cgroup_driver, {"cgroupfs", "systemd"}},
        Choice{"runtime.selinux", config.runtime.selinux, {"auto", "required", "off"}}}) {
    if (absl::c_linear_search(choice.among, choice.value)) continue;
    const absl::Span<const absl::string_view> all = choice.among;
    return Invalid(config, choice.key, choice.value,
                   absl::StrCat("must be ", absl::StrJoin(all.first(all.size() - 1), ", "), " or ", all.back()));
  }
  return absl::OkStatus();
}

absl::Status CheckWritable(const Config& config) {
  for (const std::string& handler : config.runtime.cgroup_writable_handlers) {
    if (handler.empty() || absl::c_linear_search(config.runtime.handlers, handler)) continue;
    return Invalid(config, "runtime.cgroup_writable_handlers", handler,
                   "must be empty or one of runtime.handlers");
  }
  return absl::OkStatus();
}

bool Within(const std::string& inner, const std::string& outer) {
  const std::string a = CleanAbsolutePath(inner), b = CleanAbsolutePath(outer);
  return a == b || absl::StartsWith(a, b + "/");
}

}  // namespace

std::string Config::SocketPath() const {
  if (listen.empty()) return absl::StrCat(state, "/crisp.sock");
  return std::string(absl::StripPrefix(listen, kUnixScheme));
}

absl::Status Config::Refused(const std::string& key, absl::string_view rule) const {
  const auto place = places.find(key);
  return absl::InvalidArgumentError(
      absl::StrCat(place == places.end() ? "" : absl::StrCat(place->second, ": "), key, " ", rule));
}

absl::Status Config::Validate() const {
  CRISP_RETURN_IF_ERROR(CheckPaths(*this));
  if (Within(root, state) || Within(state, root)) {
    return Invalid(*this, "state", state, absl::StrCat("and root ", root, " must not contain each other"));
  }
  if (!listen.empty() && !absl::StartsWith(listen, "unix:///")) {
    return Invalid(*this, "listen", listen, "must be unix:///PATH");
  }
  if (SocketPath().size() >= sizeof(sockaddr_un::sun_path)) {
    return Invalid(*this, "listen", SocketPath(), "is too long for a unix socket");
  }
  CRISP_RETURN_IF_ERROR(CheckAddress(*this, "metrics.address", metrics.address));
  CRISP_RETURN_IF_ERROR(CheckChoices(*this));
  CRISP_RETURN_IF_ERROR(CheckRanges(*this));
  CRISP_RETURN_IF_ERROR(CheckUnpacking(*this));
  CRISP_RETURN_IF_ERROR(CheckWritable(*this));
  CRISP_RETURN_IF_ERROR(CheckNetwork(*this));
  return CheckStreaming(*this);
}

}  // namespace crisp::cri
