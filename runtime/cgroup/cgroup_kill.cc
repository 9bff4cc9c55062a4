#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/cgroup_stats.h"

namespace crisp::runtime {
namespace {

constexpr absl::Duration kFreezePatience = absl::Milliseconds(20);

// A group that goes away between the listing and the look at it has no processes.
bool IsGone(const absl::Status& status) {
  return absl::IsNotFound(status) || ErrnoOf(status) == ENODEV;
}

absl::Status WriteIfThere(const std::string& path, absl::string_view value) {
  absl::Status status = WriteKernelFile(path, value);
  return IsGone(status) ? absl::OkStatus() : status;
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> Cgroup::Pids() const {
  std::vector<int32_t> pids;
  CRISP_RETURN_IF_ERROR(WalkGroups(PrimaryDir(), [&pids](const std::string& dir) -> absl::Status {
    absl::StatusOr<std::string> text = ReadFile(dir + "/cgroup.procs");
    if (IsGone(text.status())) return absl::OkStatus();
    if (!text.ok()) return text.status();
    for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
      int32_t pid = 0;
      // A process of a PID namespace that we do not see reads as 0.
      if (absl::SimpleAtoi(line, &pid) && pid > 0) pids.push_back(pid);
    }
    return absl::OkStatus();
  }));
  return pids;
}

absl::StatusOr<bool> Cgroup::IsEmpty() const {
  if (v2()) {
    absl::StatusOr<std::string> events = ReadFile(PrimaryDir() + "/cgroup.events");
    if (IsGone(events.status())) return true;
    if (!events.ok()) return events.status();
    return ParseFlatKeyed(*events)["populated"] == 0;
  }
  CRISP_ASSIGN_OR_RETURN(std::vector<int32_t> pids, Pids());
  return pids.empty();
}

bool Cgroup::IsNamedIn(absl::string_view proc_cgroup) const {
  for (absl::string_view line : absl::StrSplit(proc_cgroup, '\n')) {
    std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[2] == path_ || absl::StartsWith(parts[2], absl::StrCat(path_, "/"))) return true;
  }
  return false;
}

bool Cgroup::Contains(int32_t pid) const {
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", pid, "/cgroup"));
  return text.ok() && IsNamedIn(*text);
}

absl::StatusOr<UniqueFd> Cgroup::OpenProcess(int32_t pid) const {
  CRISP_ASSIGN_OR_RETURN(UniqueFd process, Open(absl::StrCat("/proc/", pid), O_PATH | O_DIRECTORY));
  const absl::StatusOr<std::string> groups = ReadFileAt(process.get(), "cgroup");
  if (groups.ok() && IsNamedIn(*groups)) return process;
  return absl::NotFoundError(absl::StrCat("process ", pid, " is not in cgroup ", path_));
}

// The pid may have been given to somebody else since it was listed; the pidfd pins it, and only
// then is its group looked at.
absl::Status Cgroup::SignalAll(int signal) const {
  CRISP_ASSIGN_OR_RETURN(std::vector<int32_t> pids, Pids());
  for (int32_t pid : pids) {
    UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.valid() || !Contains(pid)) continue;
    if (syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) != 0 && errno != ESRCH) {
      return ErrnoError(errno, absl::StrCat("signal process ", pid, " of cgroup ", path_));
    }
  }
  return absl::OkStatus();
}

// Nothing can fork away from the listing while it is frozen. Frozen processes die when thawed.
absl::Status Cgroup::KillFrozen() const {
  if (!v2() && layout_->Find("freezer") == nullptr) return SignalAll(SIGKILL);
  absl::Status frozen = Freeze(Operation(absl::Now() + kFreezePatience));
  absl::Status signalled = SignalAll(SIGKILL);
  absl::Status thawed = Thaw(Operation(absl::Now() + kFreezePatience));
  // Something in uninterruptible sleep never freezes; the signal waits for it all the same.
  if (!frozen.ok() && !absl::IsDeadlineExceeded(frozen)) return frozen;
  if (!signalled.ok()) return signalled;
  return absl::IsDeadlineExceeded(thawed) ? absl::OkStatus() : thawed;
}

absl::Status Cgroup::KillOnce() const {
  if (v2()) {
    absl::Status killed = WriteKernelFile(PrimaryDir() + "/cgroup.kill", "1");
    if (killed.ok()) return killed;
    // Before Linux 5.14 the file is missing, as it is when the group is.
    if (!IsGone(killed)) return killed;
    if (access(PrimaryDir().c_str(), F_OK) != 0) return absl::OkStatus();
    return KillFrozen();
  }
  // Nearly always there are a few processes and none forks: no need to freeze. One that was paused
  // must be thawed to die.
  CRISP_RETURN_IF_ERROR(SignalAll(SIGKILL));
  if (layout_->Find("freezer") == nullptr) return absl::OkStatus();
  return WriteIfThere(Dir("freezer") + "/freezer.state", "THAWED");
}

absl::Status Cgroup::Kill(const Operation& operation) const {
  absl::Duration pause = absl::Microseconds(200);
  for (int round = 0;; ++round) {
    CRISP_ASSIGN_OR_RETURN(bool empty, IsEmpty());
    if (empty) return absl::OkStatus();
    absl::Status status = operation.Check(absl::StrCat("kill cgroup ", path_));
    if (!status.ok()) {
      absl::StatusOr<std::vector<int32_t>> left = Pids();
      if (!left.ok() || left->empty()) return status;
      return absl::Status(status.code(), absl::StrCat(status.message(), "; still there: pid ",
                                                      absl::StrJoin(*left, ", ")));
    }
    // The second round comes early in case the first missed a fork; after that everything has its
    // SIGKILL, and a freeze now and then is enough.
    if (round == 0)
      CRISP_RETURN_IF_ERROR(KillOnce());
    else if (!v2() && round % 8 == 4)
      CRISP_RETURN_IF_ERROR(KillFrozen());
    else if (v2() && round % 64 == 0)
      CRISP_RETURN_IF_ERROR(KillOnce());
    // A version 1 hierarchy tells nobody that a group has become empty.
    (void)operation.Sleep(pause);
    pause = std::min(pause * 2, absl::Milliseconds(20));
  }
}

absl::StatusOr<bool> Cgroup::IsFrozen() const {
  const std::string dir = v2() ? PrimaryDir() : Dir("freezer");
  if (dir.empty()) return false;
  const absl::StatusOr<std::string> frozen =
      ReadFile(dir + (v2() ? "/cgroup.freeze" : "/freezer.self_freezing"));
  // The root has no such file.
  if (IsGone(frozen.status())) return false;
  if (!frozen.ok()) return frozen.status();
  return absl::StartsWith(*frozen, "1");
}

absl::Status Cgroup::ThawIfFrozen() const {
  CRISP_ASSIGN_OR_RETURN(const bool frozen, IsFrozen());
  if (!frozen) return absl::OkStatus();
  return v2() ? WriteIfThere(PrimaryDir() + "/cgroup.freeze", "0")
              : WriteIfThere(Dir("freezer") + "/freezer.state", "THAWED");
}

absl::Status Cgroup::SetFrozen(bool frozen, const Operation& operation) const {
  const std::string dir = v2() ? PrimaryDir() : Dir("freezer");
  if (dir.empty()) return absl::UnimplementedError("this machine has no freezer controller");
  const std::string file = dir + (v2() ? "/cgroup.freeze" : "/freezer.state");
  const char* wanted = v2() ? (frozen ? "1" : "0") : (frozen ? "FROZEN" : "THAWED");
  CRISP_RETURN_IF_ERROR(WriteKernelFile(file, wanted));
  absl::Duration pause = absl::Microseconds(100);
  while (true) {
    CRISP_ASSIGN_OR_RETURN(std::string state, ReadFile(v2() ? dir + "/cgroup.events" : file));
    if (v2() ? ParseFlatKeyed(state)["frozen"] == (frozen ? 1u : 0u)
             : absl::StartsWith(state, wanted)) {
      return absl::OkStatus();
    }
    CRISP_RETURN_IF_ERROR(operation.Check(absl::StrCat(frozen ? "freeze " : "thaw ", path_)));
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Milliseconds(5));
    // v1 gives up freezing when a process forks in the wrong moment; asking again helps.
    if (!v2() && frozen) CRISP_RETURN_IF_ERROR(WriteKernelFile(file, wanted));
  }
}

}  // namespace crisp::runtime
