#include "cri/config/config_check.h"

#include <errno.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/devices/blockio_classes.h"
#include "streaming/server/tls.h"

namespace crisp::cri {
namespace {

absl::Status CheckShim(const Config& config) {
  if (config.runtime.shim.empty() || access(config.runtime.shim.c_str(), X_OK) == 0)
    return absl::OkStatus();
  return config.Refused("runtime.shim",
                        ErrnoError(errno, absl::StrCat("execute ", config.runtime.shim)).message());
}

absl::Status CheckBlockIo(const Config& config) {
  const std::string& path = config.runtime.blockio_config_file;
  if (path.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> text = ReadFile(path, 1u << 20);
  if (!text.ok()) return config.Refused("runtime.blockio_config_file", text.status().message());
  const absl::Status classes = runtime::ParseBlockIoClasses(*text).status();
  if (classes.ok()) return classes;
  return config.Refused("runtime.blockio_config_file", absl::StrCat(path, ": ", classes.message()));
}

absl::Status CheckTls(const Config& config) {
  const streaming::TlsOptions& tls = config.streaming.tls;
  if (tls.cert_file.empty()) return absl::OkStatus();
  const absl::Status keys = streaming::TlsKeys::Load(tls, {}, absl::Now()).status();
  return keys.ok() ? keys : config.Refused("streaming.tls_cert_file", keys.message());
}

}  // namespace

absl::Status CheckConfig(const Config& config) {
  CRISP_RETURN_IF_ERROR(config.Validate());
  CRISP_RETURN_IF_ERROR(CheckShim(config));
  CRISP_RETURN_IF_ERROR(CheckBlockIo(config));
  return CheckTls(config);
}

}  // namespace crisp::cri
