#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/cgroup/cgroup_files.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMostOfAValue = 80;

bool Lists(const std::string& file, absl::string_view controller) {
  const std::string text = ReadFile(file).value_or("");
  for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (word == controller) return true;
  }
  return false;
}

// Why the v2 group `dir` has no files of this controller: who of those above it does not hand it
// down.
std::string WhyMissing(absl::string_view dir, absl::string_view controller) {
  std::string below(dir);
  for (;;) {
    const size_t slash = below.rfind('/');
    if (slash == std::string::npos || slash == 0) break;
    const std::string group = below.substr(0, slash);
    if (!ReadFile(group + "/cgroup.controllers").ok()) break;
    if (Lists(group + "/cgroup.subtree_control", controller)) return "";
    if (Lists(group + "/cgroup.controllers", controller)) {
      const std::string procs = ReadFile(group + "/cgroup.procs").value_or("");
      if (procs.empty())
        return absl::StrCat("the controller is not enabled in ", group, "/cgroup.subtree_control");
      return absl::StrCat(
          "a group with processes of its own hands no controllers down (\"no internal "
          "processes\"), "
          "and pid ",
          procs.substr(0, procs.find('\n')), " is in ", group,
          ": move what is there into a group below it");
    }
    below = group;
  }
  return absl::StrCat("this machine's cgroup v2 has no controller ", controller);
}

absl::StatusCode CodeOf(int error, const absl::Status& status) {
  switch (error) {
    case EINVAL:
    case ERANGE:
    case E2BIG:
    case ENODEV:
    case ENXIO:
    case EOPNOTSUPP:
      return absl::StatusCode::kInvalidArgument;
    default:
      return status.code();
  }
}

}  // namespace

absl::Status LimitRefused(const CgroupWrite& write,
                          const std::string& dir,
                          const absl::Status& status) {
  const int error = ErrnoOf(status);
  absl::StatusCode code = CodeOf(error, status);
  std::string why = error == 0 ? std::string(status.message()) : std::string(std::strerror(error));
  if (error == ENOENT) {
    const bool v2 = write.controller.empty();
    why = v2 ? WhyMissing(dir, write.file.substr(0, write.file.find('.'))) : "";
    code = why.empty() ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kFailedPrecondition;
    if (why.empty()) why = "this kernel has no such file";
  }
  absl::Status told(
      code, absl::StrCat(write.file, " cannot be set to \"", write.value.substr(0, kMostOfAValue),
                         write.value.size() > kMostOfAValue ? "…" : "", "\": ", why, " (cgroup ",
                         dir, ")"));
  status.ForEachPayload(
      [&told](absl::string_view url, const absl::Cord& payload) { told.SetPayload(url, payload); });
  return told;
}

}  // namespace crisp::runtime
