#include "cri/pods/pod_files.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "network/pod/pod_network.h"

namespace crisp::cri {
namespace {

// The size of the file system that the shim makes, and the part of it that one file may take.
constexpr size_t kUsualSize = 256u << 10;
constexpr size_t kUsualText = 64u << 10;

// A node's own hosts may be a list of a million names that are to be blocked.
absl::Status MakeRoom(int directory, size_t bytes) {
  const UniqueFd fs(fspick(directory, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC));
  const std::string size = absl::StrCat(kUsualSize + bytes);
  if (!fs || fsconfig(fs.get(), FSCONFIG_SET_STRING, "size", size.c_str(), 0) != 0 ||
      fsconfig(fs.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) != 0) {
    return ErrnoError(errno, absl::StrCat("give the pod's files ", size, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PodFiles::Write(const std::string& name, absl::string_view text) const {
  const std::string what = absl::StrCat("the pod's ", name);
  if (!directory_)
    return absl::InternalError(absl::StrCat(what, ": its shim has made no place for it"));
  if (text.size() > kUsualText) CRISP_RETURN_IF_ERROR(MakeRoom(directory_.get(), text.size()));
  CRISP_ASSIGN_OR_RETURN(
      const UniqueFd file,
      OpenAt(directory_.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
  CRISP_RETURN_IF_ERROR(WriteAll(file.get(), text, what));
  if ((uid_ != 0 || gid_ != 0) && fchown(file.get(), uid_, gid_) != 0) {
    return ErrnoError(errno, absl::StrCat("give ", what, " to its root"));
  }
  return absl::OkStatus();
}

std::string HostnameOf(const v1::PodSandboxConfig& config) {
  if (!config.hostname().empty()) return config.hostname();
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, HOST_NAME_MAX) == 0 ? std::string(name) : std::string();
}

std::string HostsOf(const v1::PodSandboxConfig& config, const std::vector<std::string>& addresses) {
  if (config.linux().security_context().namespace_options().network() == v1::NODE) {
    if (auto text = ReadFile("/etc/hosts"); text.ok() && !text->empty()) return *std::move(text);
  }
  return network::RenderHosts(HostnameOf(config), addresses);
}

absl::StatusOr<std::string> ResolvConfOf(const v1::PodSandboxConfig& config) {
  if (!config.has_dns_config()) return ReadFile("/etc/resolv.conf").value_or("");
  const v1::DNSConfig& dns = config.dns_config();
  return network::RenderResolvConf({.servers = {dns.servers().begin(), dns.servers().end()},
                                    .searches = {dns.searches().begin(), dns.searches().end()},
                                    .options = {dns.options().begin(), dns.options().end()}});
}

}  // namespace crisp::cri
