#include "cri/config.h"

#include <sys/un.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/safe_path.h"
#include "base/status.h"

namespace crisp::cri {
namespace {

constexpr absl::string_view kUnixScheme = "unix://";
constexpr size_t kMaxInterfaceName = 15;  // IFNAMSIZ without its NUL

absl::Status Invalid(absl::string_view key, absl::string_view value, absl::string_view rule) {
  return absl::InvalidArgumentError(absl::StrCat(key, " \"", value, "\" ", rule));
}

absl::Status CheckDirectory(absl::string_view key, const std::string& path) {
  if (!absl::StartsWith(path, "/")) return Invalid(key, path, "must be an absolute path");
  if (CleanAbsolutePath(path) == "/") return Invalid(key, path, "must not be the root directory");
  return absl::OkStatus();
}

absl::Status CheckNetwork(const NetworkConfig& network) {
  if (network.name.empty() || network.name.size() > kMaxInterfaceName || network.name == "." ||
      network.name == ".." || network.name.find_first_of("/: \t\n\"{};") != std::string::npos) {
    return Invalid("network.name", network.name, "must be an interface name of at most 15 characters");
  }
  if (network.mtu != 0 && (network.mtu < 576 || network.mtu > 65535)) {
    return Invalid("network.mtu", absl::StrCat(network.mtu), "must be 0 or between 576 and 65535");
  }
  if (network.subnets.empty() || network.subnets.size() > 2) {
    return absl::InvalidArgumentError("network.subnets must name one or two subnets");
  }
  return absl::OkStatus();
}

// Whether the keys fit together and the address has a HOST:PORT's form is the server's to say.
absl::Status CheckStreaming(const StreamingConfig& streaming) {
  for (const auto& [key, limit] : {std::pair{"creation_timeout", streaming.creation_timeout},
                                   {"url_timeout", streaming.url_timeout}}) {
    if (limit == absl::ZeroDuration()) {
      return absl::InvalidArgumentError(absl::StrCat("streaming.", key, " must be longer than 0"));
    }
  }
  if (streaming.max_connections < 1 || streaming.max_connections > 100000) {
    return Invalid("streaming.max_connections", absl::StrCat(streaming.max_connections),
                   "must be between 1 and 100000");
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

absl::Status Config::Validate() const {
  CRISP_RETURN_IF_ERROR(CheckDirectory("root", root));
  CRISP_RETURN_IF_ERROR(CheckDirectory("state", state));
  if (Within(root, state) || Within(state, root)) {
    return Invalid("state", state, absl::StrCat("and root ", root, " must not contain each other"));
  }
  if (!listen.empty() && !absl::StartsWith(listen, "unix:///")) {
    return Invalid("listen", listen, "must be unix:///PATH");
  }
  if (SocketPath().size() >= sizeof(sockaddr_un::sun_path)) {
    return Invalid("listen", SocketPath(), "is too long for a unix socket");
  }
  if (log_level != "debug" && log_level != "info" && log_level != "warn" && log_level != "error") {
    return Invalid("log_level", log_level, "must be debug, info, warn or error");
  }
  if (image.max_parallel_downloads < 1 || image.max_parallel_downloads > 64) {
    return Invalid("image.max_parallel_downloads", absl::StrCat(image.max_parallel_downloads),
                   "must be between 1 and 64");
  }
  if (image.max_parallel_unpacks < 1 || image.max_parallel_unpacks > 64) {
    return Invalid("image.max_parallel_unpacks", absl::StrCat(image.max_parallel_unpacks),
                   "must be between 1 and 64");
  }
  if (image.layer_format != "directories" && image.layer_format != "erofs") {
    return Invalid("image.layer_format", image.layer_format, "must be directories or erofs");
  }
  for (const auto& [key, value] : {std::pair{"image.max_layer_bytes", image.max_layer_bytes},
                                   {"image.max_layer_files", image.max_layer_files}}) {
    if (value < 1) return Invalid(key, absl::StrCat(value), "must be more than zero");
  }
  if (image.max_unpack_cpu < absl::Seconds(1)) {
    return Invalid("image.max_unpack_cpu", absl::FormatDuration(image.max_unpack_cpu), "must be 1s at least");
  }
  CRISP_RETURN_IF_ERROR(CheckNetwork(network));
  CRISP_RETURN_IF_ERROR(CheckStreaming(streaming));
  if (runtime.cgroup_driver != "cgroupfs" && runtime.cgroup_driver != "systemd") {
    return Invalid("runtime.cgroup_driver", runtime.cgroup_driver, "must be cgroupfs or systemd");
  }
  if (runtime.selinux != "auto" && runtime.selinux != "off") {
    return Invalid("runtime.selinux", runtime.selinux, "must be auto or off");
  }
  // The kernel's policies have c0 to c1023.
  if (runtime.selinux_category_range < 2 || runtime.selinux_category_range > 1024) {
    return Invalid("runtime.selinux_category_range", absl::StrCat(runtime.selinux_category_range),
                   "must be between 2 and 1024");
  }
  if (!runtime.shim.empty() && !absl::StartsWith(runtime.shim, "/")) {
    return Invalid("runtime.shim", runtime.shim, "must be an absolute path");
  }
  for (const auto& [key, value] : {std::pair{"runtime.spare_pods", runtime.spare_pods},
                                   {"runtime.spare_roots", runtime.spare_roots}}) {
    if (value < 0 || value > 256) return Invalid(key, absl::StrCat(value), "must be between 0 and 256");
  }
  if (!runtime.blockio_config_file.empty() && !absl::StartsWith(runtime.blockio_config_file, "/")) {
    return Invalid("runtime.blockio_config_file", runtime.blockio_config_file, "must be an absolute path");
  }
  for (const std::string& dir : runtime.cdi_spec_dirs) {
    CRISP_RETURN_IF_ERROR(CheckDirectory("runtime.cdi_spec_dirs", dir));
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
