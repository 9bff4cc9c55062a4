#include "runtime/lsm/apparmor.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "base/subprocess.h"

namespace crisp::runtime {
namespace {

constexpr char kProfiles[] = "/sys/kernel/security/apparmor/profiles";
constexpr char kText[] = R"(# The default profile of crisp's containers.
profile "NAME" flags=(attach_disconnected, mediate_deleted) {
  # What follows takes away from this.
  file,
  network,
  capability,
  umount,

  # Whoever stops containers is not confined; among themselves they may do as they like.
  signal (receive) peer=unconfined,
  signal (send, receive) peer="NAME",
  ptrace (trace, read, tracedby, readby) peer="NAME",

  deny mount,

  # Families that 32-bit programs get past a seccomp filter through socketcall(2): what a filter cannot see.
  deny network alg,
  deny network vsock,

  # /proc: a process's own files, and the System V shared memory limits of its IPC namespace.
  deny /proc/* w,
  deny /proc/[^0-9s]*/** w,
  deny /proc/s[^y]*/** w,
  deny /proc/sy[^s]*/** w,
  deny /proc/sys[^/]*/** w,
  deny /proc/sys/[^k]** w,
  deny /proc/sys/kernel/[^s]** w,
  deny /proc/sys/kernel/s[^h]** w,
  deny /proc/sys/kernel/sh[^m]** w,
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rwklx,

  # /sys: control groups.
  deny /sys/* wklx,
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
}
)";

}  // namespace

std::string DefaultAppArmorText() {
  return absl::StrReplaceAll(kText, {{"NAME", kDefaultAppArmorProfile}});
}

bool HasAppArmor() {
  const auto enabled = ReadFile("/sys/module/apparmor/parameters/enabled");
  return enabled.ok() && absl::StartsWith(*enabled, "Y");
}

bool ListsAppArmorProfile(absl::string_view profiles, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(profiles, '\n')) {
    const size_t mode = line.rfind(" (");
    if (mode != absl::string_view::npos && line.substr(0, mode) == name) return true;
  }
  return false;
}

absl::Status CheckAppArmorProfile(absl::string_view name) {
  CRISP_ASSIGN_OR_RETURN(const std::string loaded, ReadFile(kProfiles));
  if (ListsAppArmorProfile(loaded, name)) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("apparmor: profile \"", name, "\" is not loaded"));
}

absl::Status LoadAppArmor(const std::string& text, const Operation& operation) {
  // A daemon's PATH may have no sbin.
  absl::StatusOr<CommandResult> result = absl::NotFoundError("");
  for (const char* parser : {"/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"}) {
    result = RunCommand({.argv = {parser, "--replace", "--skip-cache", "--quiet"},
                         .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"},
                         .input = text},
                        operation);
    if (!absl::IsNotFound(result.status())) break;
  }
  if (absl::IsNotFound(result.status())) {
    return absl::NotFoundError("apparmor: there is no /usr/sbin/apparmor_parser; install apparmor");
  }
  if (!result.ok()) return Annotate(result.status(), "apparmor_parser");
  if (result->exit_code == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("apparmor_parser ended with ",
                                                    result->exit_code, ": ",
                                                    absl::StripAsciiWhitespace(result->errors)));
}

absl::Status LoadDefaultAppArmor(const std::string& note, const Operation& operation) {
  const std::string text = DefaultAppArmorText();
  const auto noted = ReadFile(note);
  if (noted.ok() && *noted == text && CheckAppArmorProfile(kDefaultAppArmorProfile).ok()) {
    return absl::OkStatus();
  }
  CRISP_RETURN_IF_ERROR(LoadAppArmor(text, operation));
  return AtomicWriteFile(note, text, 0600, Durability::kNone);
}

}  // namespace crisp::runtime
