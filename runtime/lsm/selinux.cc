#include "runtime/lsm/selinux.h"

#include <selinux/selinux.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::runtime {

SelinuxHost DetectSelinux() {
  SelinuxHost host{.defaults = StandardSelinuxDefaults()};
  if (::is_selinux_enabled() <= 0) return host;
  host.enabled = true;
  host.levels = ::is_selinux_mls_enabled() > 0;
  const char* const path = ::selinux_lxc_contexts_path();
  const auto text = path == nullptr ? absl::NotFoundError("") : ReadFile(path, 1u << 16);
  if (text.ok()) {
    auto parsed = ParseLxcContexts(*text);
    if (parsed.ok())
      host.defaults = *std::move(parsed);
    else
      host.unusable = absl::StrCat(path, ": ", std::string(parsed.status().message()));
  }
  if (!host.levels) host.defaults.process.level = host.defaults.file.level = "";
  if (!host.levels) host.defaults.unconfined.level = "";
  for (const SelinuxContext& context : {host.defaults.process, host.defaults.file}) {
    const absl::Status known = CheckSelinuxContext(context.ToString());
    if (!known.ok() && host.unusable.empty()) host.unusable = std::string(known.message());
  }
  // A policy without it: such processes stay where the daemon's children are.
  if (!CheckSelinuxContext(host.defaults.unconfined.ToString()).ok()) host.defaults.unconfined = {};
  return host;
}

absl::Status CheckSelinuxContext(const std::string& context) {
  if (::security_check_context_raw(context.c_str()) == 0) return absl::OkStatus();
  if (errno == EINVAL) {
    return absl::InvalidArgumentError(
        absl::StrCat("selinux: the loaded policy knows no context ", context));
  }
  return ErrnoError(errno, absl::StrCat("selinux: check the context ", context));
}

}  // namespace crisp::runtime
