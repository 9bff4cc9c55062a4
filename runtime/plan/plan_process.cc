#include "runtime/plan/plan_process.h"

#include <sys/resource.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "runtime/oci/capabilities.h"
#include "runtime/oci/user_lookup.h"

namespace crisp::runtime {
namespace {

absl::Status Invalid(absl::string_view member, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("process.", member, ": ", why));
}

bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

absl::Status CheckStrings(const OciProcess& process) {
  CRISP_RETURN_IF_ERROR(CheckArgv(process.args));
  for (const std::string& entry : process.env) {
    if (HasNul(entry)) return Invalid("env", "has a NUL byte");
    size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return Invalid("env", absl::StrCat("\"", entry, "\" is not NAME=VALUE"));
    }
  }
  if (HasNul(process.cwd) || process.cwd.empty() || process.cwd[0] != '/') {
    return Invalid("cwd", absl::StrCat("\"", process.cwd, "\" is not an absolute path"));
  }
  return absl::OkStatus();
}

absl::Status RefuseUnmodelled(const OciProcess& process) {
  for (const char* key : {"scheduler", "execCPUAffinity"}) {
    if (process.other.is_object() && process.other.contains(key)) {
      return absl::UnimplementedError(absl::StrCat("process.", key, " is not supported"));
    }
  }
  return absl::OkStatus();
}

absl::Status FillUser(const OciUser& user, ProcessPlan& plan) {
  if (user.uid > kMaxId) return Invalid("user.uid", "is not a user id");
  if (user.gid > kMaxId) return Invalid("user.gid", "is not a group id");
  for (uint32_t gid : user.additional_gids) {
    if (gid > kMaxId)
      return Invalid("user.additionalGids", "holds something that is not a group id");
  }
  if (user.umask.value_or(0) > 0777) return Invalid("user.umask", "is above 0777");
  plan.uid = user.uid;
  plan.gid = user.gid;
  plan.groups = user.additional_gids;
  plan.umask = user.umask.value_or(022);
  return absl::OkStatus();
}

absl::Status FillCapabilities(const OciCapabilities& sets, uint64_t available, ProcessPlan& plan) {
  auto fill = [available](const std::vector<std::string>& names, uint64_t& mask) -> absl::Status {
    absl::StatusOr<uint64_t> parsed = ParseCapabilities(names);
    if (!parsed.ok()) return Annotate(parsed.status(), "process.capabilities");
    mask = *parsed & available;
    return absl::OkStatus();
  };
  CRISP_RETURN_IF_ERROR(fill(sets.bounding, plan.cap_bounding));
  CRISP_RETURN_IF_ERROR(fill(sets.effective, plan.cap_effective));
  CRISP_RETURN_IF_ERROR(fill(sets.permitted, plan.cap_permitted));
  CRISP_RETURN_IF_ERROR(fill(sets.inheritable, plan.cap_inheritable));
  CRISP_RETURN_IF_ERROR(fill(sets.ambient, plan.cap_ambient));
  if ((plan.cap_effective & ~plan.cap_permitted) != 0) {
    return Invalid("capabilities.effective", "is not a subset of permitted");
  }
  plan.cap_ambient &= plan.cap_permitted & plan.cap_inheritable;
  return absl::OkStatus();
}

absl::Status FillRlimits(const std::vector<OciRlimit>& limits, ProcessPlan& plan) {
  std::set<int> seen;
  for (const OciRlimit& limit : limits) {
    CRISP_ASSIGN_OR_RETURN(int resource, ParseRlimit(limit.type));
    if (!seen.insert(resource).second) {
      return Invalid("rlimits", absl::StrCat(limit.type, " is there twice"));
    }
    if (limit.soft > limit.hard) {
      return Invalid("rlimits", absl::StrCat(limit.type, ": soft is above hard"));
    }
    plan.rlimits.push_back({resource, {limit.soft, limit.hard}});
  }
  return absl::OkStatus();
}

// ioprio_set(2) takes a class and a level in it as one number.
absl::Status FillIoPriority(const Json& process, ProcessPlan& plan) {
  constexpr char kMember[] = "ioPriority";
  if (!process.is_object() || !process.contains(kMember)) return absl::OkStatus();
  const Json& wanted = process[kMember];
  if (!wanted.is_object()) return Invalid(kMember, "is not an object");
  CRISP_ASSIGN_OR_RETURN(const std::string name, JsonString(wanted, "class"));
  CRISP_ASSIGN_OR_RETURN(const int64_t level, JsonInt(wanted, "priority"));
  constexpr const char* kClasses[] = {"", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE",
                                      "IOPRIO_CLASS_IDLE"};
  const auto* const found = std::find(std::begin(kClasses) + 1, std::end(kClasses), name);
  if (found == std::end(kClasses))
    return Invalid("ioPriority.class", absl::StrCat("\"", name, "\" is none"));
  if (level < 0 || level > 7) return Invalid("ioPriority.priority", "is not between 0 and 7");
  plan.io_priority = static_cast<uint16_t>((found - kClasses) << 13 | level);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckArgv(const std::vector<std::string>& argv) {
  if (argv.empty() || argv[0].empty()) return Invalid("args", "names no program");
  for (const std::string& arg : argv) {
    if (HasNul(arg)) return Invalid("args", "has a NUL byte");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> ParseRlimit(const std::string& type) {
  static const auto* const kNames = new absl::flat_hash_map<std::string, int>{
      {"RLIMIT_AS", RLIMIT_AS},
      {"RLIMIT_CORE", RLIMIT_CORE},
      {"RLIMIT_CPU", RLIMIT_CPU},
      {"RLIMIT_DATA", RLIMIT_DATA},
      {"RLIMIT_FSIZE", RLIMIT_FSIZE},
      {"RLIMIT_LOCKS", RLIMIT_LOCKS},
      {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
      {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
      {"RLIMIT_NICE", RLIMIT_NICE},
      {"RLIMIT_NOFILE", RLIMIT_NOFILE},
      {"RLIMIT_NPROC", RLIMIT_NPROC},
      {"RLIMIT_RSS", RLIMIT_RSS},
      {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
      {"RLIMIT_RTTIME", RLIMIT_RTTIME},
      {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
      {"RLIMIT_STACK", RLIMIT_STACK},
  };
  auto found = kNames->find(type);
  if (found == kNames->end()) {
    return Invalid("rlimits", absl::StrCat("unknown type \"", type, "\""));
  }
  return found->second;
}

absl::StatusOr<ProcessPlan> BuildProcessPlan(const OciProcess& process, uint64_t available) {
  CRISP_RETURN_IF_ERROR(CheckStrings(process));
  CRISP_RETURN_IF_ERROR(RefuseUnmodelled(process));
  ProcessPlan plan{
      .argv = process.args,
      .env = process.env,
      .cwd = CleanAbsolutePath(process.cwd),
      .no_new_privileges = process.no_new_privileges,
      .terminal = process.terminal,
      .oom_score_adj = process.oom_score_adj.value_or(0),
      .apparmor_profile = process.apparmor_profile,
      .selinux_label = process.selinux_label,
  };
  if (plan.oom_score_adj < -1000 || plan.oom_score_adj > 1000) {
    return Invalid("oomScoreAdj", "is not between -1000 and 1000");
  }
  if (process.console_size.has_value()) {
    plan.terminal_rows = process.console_size->height;
    plan.terminal_columns = process.console_size->width;
  }
  CRISP_RETURN_IF_ERROR(FillUser(process.user, plan));
  if (process.capabilities.has_value()) {
    CRISP_RETURN_IF_ERROR(FillCapabilities(*process.capabilities, available, plan));
  }
  CRISP_RETURN_IF_ERROR(FillRlimits(process.rlimits, plan));
  CRISP_RETURN_IF_ERROR(FillIoPriority(process.other, plan));
  return plan;
}

}  // namespace crisp::runtime
