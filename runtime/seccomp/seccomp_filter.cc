#include "runtime/seccomp/seccomp_filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "runtime/oci/capabilities.h"
#include "runtime/seccomp/seccomp_condense.h"
#include "runtime/seccomp/seccomp_names.h"
#include "runtime/seccomp/seccomp_profile.h"
#include "runtime/seccomp/seccomp_prologue.h"

namespace crisp::runtime {
namespace {

using Context = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

absl::Status Failed(absl::string_view what, int result) {
  return Annotate(ErrnoError(-result, what), "compile seccomp profile");
}

uint32_t ActionOf(const std::string& name, std::optional<uint32_t> errno_ret) {
  return *SeccompAction(name, errno_ret.value_or(EPERM));
}

bool IsPermissive(uint32_t action) { return action == SCMP_ACT_ALLOW || action == SCMP_ACT_LOG; }

std::vector<uint32_t> Architectures(const OciSeccomp& profile) {
  std::vector<uint32_t> tokens = {seccomp_arch_native()};
  for (const std::string& name : profile.architectures) {
    uint32_t token = *SeccompArch(name);
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  }
  return tokens;
}

absl::Status AddArchitectures(const std::vector<uint32_t>& tokens, scmp_filter_ctx context) {
  for (uint32_t token : tokens) {
    int result = seccomp_arch_add(context, token);
    if (result != 0 && result != -EEXIST) return Failed("add an architecture", result);
  }
  return absl::OkStatus();
}

std::vector<scmp_arg_cmp> Comparisons(const OciSeccompRule& rule) {
  std::vector<scmp_arg_cmp> list;
  for (const OciSeccompArg& arg : rule.args) {
    list.push_back({.arg = arg.index,
                    .op = static_cast<scmp_compare>(*SeccompOperator(arg.op)),
                    .datum_a = arg.value,
                    .datum_b = arg.value_two});
  }
  return list;
}

bool RepeatsAnIndex(const OciSeccompRule& rule) {
  uint32_t seen = 0;
  for (const OciSeccompArg& arg : rule.args) {
    if ((seen >> arg.index & 1) != 0) return true;
    seen |= 1u << arg.index;
  }
  return false;
}

// Several conditions on one argument are alternatives, all others must hold together: that is how
// profiles are read since Docker's first ones.
absl::Status AddRule(const OciSeccompRule& rule,
                     uint32_t action,
                     int number,
                     const std::string& name,
                     scmp_filter_ctx context) {
  std::vector<scmp_arg_cmp> conditions = Comparisons(rule);
  int result = 0;
  if (RepeatsAnIndex(rule)) {
    for (const scmp_arg_cmp& one : conditions) {
      result = seccomp_rule_add_array(context, action, number, 1, &one);
      if (result != 0 && result != -EEXIST) break;
    }
  } else {
    result = seccomp_rule_add_array(context, action, number,
                                    static_cast<unsigned>(conditions.size()), conditions.data());
  }
  if (result == 0 || result == -EEXIST) return absl::OkStatus();
  return Annotate(
      absl::InvalidArgumentError(absl::StrCat("libseccomp refuses the rule: errno ", -result)),
      absl::StrCat("compile seccomp profile: ", name));
}

// A rule for a syscall that libseccomp cannot name goes to the prologue.
absl::Status AddNewSyscall(const OciSeccompRule& rule,
                           uint32_t action,
                           uint32_t default_action,
                           const std::string& name,
                           std::map<uint32_t, PrologueArch>& prologue) {
  for (auto& [token, arch] : prologue) {
    std::optional<uint32_t> number = NewSyscall(name, token);
    if (!number.has_value()) continue;
    if (!rule.args.empty()) {
      // Leaving it out is right only where that makes the filter stricter.
      if (IsPermissive(action) && !IsPermissive(default_action)) continue;
      return absl::UnimplementedError(absl::StrCat("compile seccomp profile: conditions on ", name,
                                                   " need a newer libseccomp"));
    }
    auto same = std::find_if(arch.syscalls.begin(), arch.syscalls.end(),
                             [&](const auto& entry) { return entry.first == *number; });
    if (same == arch.syscalls.end()) arch.syscalls.push_back({*number, action});
  }
  return absl::OkStatus();
}

void NoteNewest(const std::string& name, std::map<uint32_t, uint32_t>& newest) {
  for (auto& [token, highest] : newest) {
    int number = seccomp_syscall_resolve_name_arch(token, name.c_str());
    if (number < 0) number = static_cast<int>(NewSyscall(name, token).value_or(0));
    highest = std::max(highest, static_cast<uint32_t>(number));
  }
}

absl::StatusOr<std::string> Export(scmp_filter_ctx context) {
  UniqueFd fd(memfd_create("seccomp", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "create a memfd for a seccomp filter");
  int result = seccomp_export_bpf(context, fd.get());
  if (result != 0) return Failed("export the filter", result);
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return ErrnoError(errno, "rewind a memfd");
  return ReadFd(fd.get(), "seccomp filter");
}

class Compiler {
 public:
  explicit Compiler(const OciSeccomp& profile)
      : profile_(profile),
        default_action_(ActionOf(profile.default_action, profile.default_errno_ret)),
        context_(seccomp_init(default_action_), seccomp_release) {}

  absl::StatusOr<std::string> Run() {
    if (context_ == nullptr) return absl::InternalError("compile seccomp profile: seccomp_init");
    const std::vector<uint32_t> tokens = Architectures(profile_);
    CRISP_RETURN_IF_ERROR(AddArchitectures(tokens, context_.get()));
    for (uint32_t token : tokens) {
      if (token == SCMP_ARCH_X32) continue;
      prologue_[token].arch = token;  // libseccomp's token is the kernel's AUDIT_ARCH, but for x32
      newest_[token] = 0;
    }
    // A binary tree over the numbers; libraries before 2.5 lack it, and then the filter is a list.
    (void)seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (const OciSeccompRule& rule : profile_.syscalls) CRISP_RETURN_IF_ERROR(Add(rule));
    CRISP_ASSIGN_OR_RETURN(std::string body, Export(context_.get()));
    std::vector<sock_filter> program = Head();
    const size_t head = program.size();
    program.resize(head + body.size() / sizeof(sock_filter));
    std::memcpy(program.data() + head, body.data(), body.size());
    program = CondenseFilter(program);
    if (program.size() > BPF_MAXINSNS) {
      return absl::InvalidArgumentError("compile seccomp profile: the filter is too long");
    }
    return std::string(reinterpret_cast<const char*>(program.data()),
                       program.size() * sizeof(sock_filter));
  }

 private:
  absl::Status Add(const OciSeccompRule& rule) {
    const uint32_t action = ActionOf(rule.action, rule.errno_ret);
    for (const std::string& name : rule.names) {
      NoteNewest(name, newest_);
      if (action == default_action_) continue;  // libseccomp takes it for a mistake
      const int number = seccomp_syscall_resolve_name(name.c_str());
      CRISP_RETURN_IF_ERROR(number == __NR_SCMP_ERROR
                                ? AddNewSyscall(rule, action, default_action_, name, prologue_)
                                : AddRule(rule, action, number, name, context_.get()));
    }
    return absl::OkStatus();
  }

  std::vector<sock_filter> Head() {
    const bool stub = !IsPermissive(default_action_) && default_action_ != SCMP_ACT_ERRNO(ENOSYS);
    std::vector<PrologueArch> arches;
    for (auto& [token, arch] : prologue_) {
      if (stub && newest_[token] > 0) arch.newest = newest_[token];
      if (arch.syscalls.size() > 60) arch.syscalls.resize(60);
      arches.push_back(arch);
    }
    return SeccompPrologue(arches);
  }

  const OciSeccomp& profile_;
  const uint32_t default_action_;
  Context context_;
  std::map<uint32_t, PrologueArch> prologue_;
  std::map<uint32_t, uint32_t> newest_;
};

// Cheaper than JSON, and injective: every string is preceded by its length.
class Key {
 public:
  void Add(absl::string_view text) { absl::StrAppend(&key_, text.size(), ":", text); }
  void Add(const std::vector<std::string>& list) {
    absl::StrAppend(&key_, list.size(), "#");
    for (const std::string& text : list) Add(text);
  }
  void Add(std::optional<uint32_t> number) {
    absl::StrAppend(&key_, number.has_value() ? int64_t{*number} : int64_t{-1}, ";");
  }
  void Add(const OciSeccompRule& rule) {
    Add(rule.names);
    Add(rule.action);
    Add(rule.errno_ret);
    absl::StrAppend(&key_, rule.args.size(), "#");
    for (const OciSeccompArg& arg : rule.args) {
      absl::StrAppend(&key_, arg.index, ";", arg.value, ";", arg.value_two, ";");
      Add(arg.op);
    }
  }
  std::string Take() { return std::move(key_); }

 private:
  std::string key_;
};

std::string KeyOf(const OciSeccomp& profile) {
  Key key;
  key.Add(profile.default_action);
  key.Add(profile.default_errno_ret);
  key.Add(profile.architectures);
  key.Add(profile.flags);
  for (const OciSeccompRule& rule : profile.syscalls) key.Add(rule);
  return key.Take();
}

}  // namespace

absl::StatusOr<SeccompFilter> CompileSeccomp(const OciSeccomp& profile) {
  CRISP_RETURN_IF_ERROR(ValidateSeccomp(profile));
  SeccompFilter filter;
  // Without flags the mitigation against speculative store bypass stays the program's choice:
  // forcing it costs much and protects only code that runs several sandboxes in one process.
  if (profile.flags.empty()) filter.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  for (const std::string& flag : profile.flags) filter.flags |= *SeccompFlag(flag);
  CRISP_ASSIGN_OR_RETURN(filter.bpf, Compiler(profile).Run());
  return filter;
}

struct SeccompCache::Entry {
  absl::Notification done;
  absl::StatusOr<std::shared_ptr<const SeccompFilter>> result;  // set before `done`
  uint64_t used = 0;                                            // under the cache's mutex
};

SeccompCache::~SeccompCache() { warmer_.Join(); }

absl::StatusOr<std::shared_ptr<const SeccompFilter>> SeccompCache::Get(const OciSeccomp& profile) {
  std::string key = KeyOf(profile);
  std::shared_ptr<Entry> entry;
  bool compile = false;
  {
    absl::MutexLock lock(&mutex_);
    std::shared_ptr<Entry>& slot = entries_[key];
    if (slot == nullptr) {
      slot = std::make_shared<Entry>();
      compile = true;
    }
    slot->used = ++clock_;
    entry = slot;
    if (entries_.size() > capacity_) {
      auto oldest = std::min_element(
          entries_.begin(), entries_.end(),
          [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
      entries_.erase(oldest);
    }
  }
  if (!compile) {
    entry->done.WaitForNotification();
    return entry->result;
  }
  absl::StatusOr<SeccompFilter> filter = CompileSeccomp(profile);
  if (filter.ok()) {
    entry->result = std::make_shared<const SeccompFilter>(*std::move(filter));
  } else {
    entry->result = filter.status();
    // A failure is not worth a place, and may have been a lack of memory.
    absl::MutexLock lock(&mutex_);
    auto found = entries_.find(key);
    if (found != entries_.end() && found->second == entry) entries_.erase(found);
  }
  entry->done.Notify();
  return entry->result;
}

void SeccompCache::Warm() {
  if (warmer_.joinable()) return;
  absl::StatusOr<Thread> warmer = Thread::Start("seccomp", [this] {
    const uint64_t capabilities = DefaultCapabilities() & DaemonCapabilities();
    absl::Status status = Get(*HostDefaultSeccomp(capabilities)).status();
    if (!status.ok()) LogWarning("seccomp_warm_failed", {{"error", status.message()}});
  });
  if (warmer.ok()) {
    warmer_ = *std::move(warmer);
  } else {
    LogWarning("seccomp_warm_failed", {{"error", warmer.status().message()}});
  }
}

}  // namespace crisp::runtime
