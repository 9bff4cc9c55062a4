#include "runtime/client/shim_finder.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

constexpr char kShimProgram[] = "/memfd:crisp-shim";  // that of ShimBroker
constexpr char kDeleted[] = " (deleted)";

// "" when there is none (any more).
std::string LinkTarget(const std::string& path) {
  char target[4096];
  const ssize_t size = readlink(path.c_str(), target, sizeof(target));
  return size <= 0 ? std::string() : std::string(target, static_cast<size_t>(size));
}

// Which of the directory's pods the process holds the directory of; "" when it holds none.
std::string PodHeldBy(const std::string& process, const std::string& prefix) {
  const absl::StatusOr<std::vector<std::string>> fds = ListDir(process + "/fd");
  if (!fds.ok()) return "";
  for (const std::string& fd : *fds) {
    const std::string target = LinkTarget(absl::StrCat(process, "/fd/", fd));
    absl::string_view rest = target;
    if (!absl::ConsumePrefix(&rest, prefix)) continue;
    absl::ConsumeSuffix(&rest, kDeleted);
    if (!rest.empty() && !absl::StrContains(rest, '/')) return std::string(rest);
  }
  return "";
}

// All its threads are looked at: each has children of its own.
bool HasChildren(const std::string& process) {
  const absl::StatusOr<std::vector<std::string>> threads = ListDir(process + "/task");
  if (!threads.ok()) return true;
  for (const std::string& thread : *threads) {
    const absl::StatusOr<std::string> children =
        ReadFile(absl::StrCat(process, "/task/", thread, "/children"));
    if (!children.ok() || !children->empty()) return true;
  }
  return false;
}

// `newborn`: their children as well that have not reached their program.
absl::StatusOr<std::vector<FoundShim>> FindCopies(const std::string& pods_dir,
                                                  const std::string& pod_id,
                                                  bool newborn) {
  // As the kernel names it: without links on the way.
  char real[PATH_MAX];
  const std::string prefix =
      absl::StrCat(realpath(pods_dir.c_str(), real) == nullptr ? pods_dir : std::string(real), "/");
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir("/proc"));
  std::vector<FoundShim> found;
  for (const std::string& name : names) {
    FoundShim shim;
    if (!absl::SimpleAtoi(name, &shim.pid)) continue;
    const std::string process = absl::StrCat("/proc/", name);
    if (!absl::StartsWith(LinkTarget(process + "/exe"), kShimProgram)) continue;
    shim.pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, shim.pid, 0)));
    if (!shim.pidfd) continue;
    // A container's process on its way to its program is a copy of its shim, but leads no session.
    if (!newborn && getsid(shim.pid) != shim.pid) continue;
    shim.pod_id = PodHeldBy(process, prefix);
    if (shim.pod_id.empty() || (!pod_id.empty() && shim.pod_id != pod_id)) continue;
    shim.has_children = HasChildren(process);
    // The pid was the same process's from before the look to after it.
    if (!shim.HasEnded()) found.push_back(std::move(shim));
  }
  return found;
}

}  // namespace

absl::StatusOr<std::vector<FoundShim>> FindShims(const std::string& pods_dir,
                                                 const std::string& pod_id) {
  return FindCopies(pods_dir, pod_id, /*newborn=*/false);
}

absl::Status KillShims(const std::string& pods_dir,
                       const std::string& pod_id,
                       const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<FoundShim> shims,
                         FindCopies(pods_dir, pod_id, /*newborn=*/true));
  for (const FoundShim& shim : shims) {
    if (syscall(SYS_pidfd_send_signal, shim.pidfd.get(), SIGKILL, nullptr, 0) != 0 &&
        errno != ESRCH) {
      return ErrnoError(errno,
                        absl::StrCat("kill the shim of pod ", shim.pod_id, ", pid ", shim.pid));
    }
  }
  const CancelEvent cancelled(operation);
  CRISP_RETURN_IF_ERROR(cancelled.status());
  for (const FoundShim& shim : shims) {
    pollfd end = {.fd = shim.pidfd.get(), .events = POLLIN, .revents = 0};
    while (cancelled.Poll(absl::MakeSpan(&end, 1)) <= 0) {
      CRISP_RETURN_IF_ERROR(
          operation.Check(absl::StrCat("end the shim of pod ", shim.pod_id, ", pid ", shim.pid)));
    }
  }
  return absl::OkStatus();
}

}  // namespace crisp::runtime
