#include "cri/node/programs.h"

#include <errno.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::cri {

absl::StatusOr<std::string> HelperPath(absl::string_view name) {
  std::string path(4096, '\0');
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size());
  if (size < 0) return ErrnoError(errno, "find the directory of crispd");
  path.resize(static_cast<size_t>(size));
  const std::string directory = path.substr(0, path.rfind('/'));
  const std::string installed = absl::StrCat(directory, "/../libexec/crisp/", name);
  const std::string beside = absl::StrCat(directory, "/", name);
  return access(beside.c_str(), X_OK) != 0 && access(installed.c_str(), X_OK) == 0 ? installed
                                                                                   : beside;
}

}  // namespace crisp::cri
