#include "runtime/seccomp/seccomp_profile.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/status.h"
#include "runtime/oci/capabilities.h"
#include "runtime/seccomp/seccomp_names.h"

namespace crisp::runtime {
namespace {

constexpr uint32_t kMaxErrno = 4095;  // the kernel's

absl::Status Invalid(absl::string_view member, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("seccomp profile: ", member, ": ", why));
}

absl::Status CheckAction(absl::string_view member,
                         const std::string& action,
                         std::optional<uint32_t> errno_ret) {
  if (action == "SCMP_ACT_NOTIFY") {
    return absl::UnimplementedError(
        absl::StrCat("seccomp profile: ", member,
                     ": SCMP_ACT_NOTIFY is not supported; let the profile decide by "
                     "itself, with SCMP_ACT_ERRNO, SCMP_ACT_LOG or SCMP_ACT_ALLOW"));
  }
  if (!SeccompAction(action, 0).has_value()) {
    return Invalid(member, absl::StrCat("unknown action \"", action, "\""));
  }
  if (errno_ret.value_or(0) > kMaxErrno) return Invalid(member, "errnoRet is above 4095");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Strings(const Json& object, const char* key) {
  CRISP_ASSIGN_OR_RETURN(const Json* array, JsonArray(object, key));
  std::vector<std::string> strings;
  for (const Json& element : *array) {
    if (!element.is_string()) return Invalid(key, "holds something that is not a string");
    strings.push_back(element.get<std::string>());
  }
  return strings;
}

bool Has(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

absl::StatusOr<std::pair<int, int>> ParseKernel(const std::string& text) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  int major = 0, minor = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &major) ||
      !absl::SimpleAtoi(parts[1], &minor)) {
    return Invalid("minKernel", absl::StrCat("\"", text, "\" is not major.minor"));
  }
  return std::pair<int, int>{major, minor};
}

struct Conditions {
  std::vector<std::string> arches;
  std::vector<uint64_t> capabilities;  // one bit each
  std::optional<std::pair<int, int>> kernel;
};

absl::StatusOr<Conditions> ParseConditions(const Json& rule, const char* key) {
  Conditions conditions;
  CRISP_ASSIGN_OR_RETURN(const Json* object, JsonObject(rule, key));
  CRISP_ASSIGN_OR_RETURN(conditions.arches, Strings(*object, "arches"));
  CRISP_ASSIGN_OR_RETURN(std::vector<std::string> names, Strings(*object, "caps"));
  for (const std::string& name : names) {
    absl::StatusOr<int> capability = ParseCapability(name);
    // One that this build does not know is one that no container of ours has.
    conditions.capabilities.push_back(capability.ok() ? uint64_t{1} << *capability : 0);
  }
  CRISP_ASSIGN_OR_RETURN(std::string kernel, JsonString(*object, "minKernel"));
  if (!kernel.empty()) {
    CRISP_ASSIGN_OR_RETURN(conditions.kernel, ParseKernel(kernel));
  }
  return conditions;
}

// Docker's rule: all of `includes` must hold, and nothing of `excludes`.
absl::StatusOr<bool> Applies(const Json& rule, const SeccompTarget& target) {
  CRISP_ASSIGN_OR_RETURN(Conditions includes, ParseConditions(rule, "includes"));
  if (!includes.arches.empty() && !Has(includes.arches, target.architecture)) return false;
  for (uint64_t bit : includes.capabilities) {
    if ((target.capabilities & bit) == 0) return false;
  }
  if (includes.kernel.has_value() && target.kernel < *includes.kernel) return false;
  CRISP_ASSIGN_OR_RETURN(Conditions excludes, ParseConditions(rule, "excludes"));
  if (Has(excludes.arches, target.architecture)) return false;
  for (uint64_t bit : excludes.capabilities) {
    if ((target.capabilities & bit) != 0) return false;
  }
  return !excludes.kernel.has_value() || target.kernel < *excludes.kernel;
}

// Turns Docker's members of one rule into the OCI's, in place.
absl::Status NormaliseRule(Json& rule) {
  CRISP_ASSIGN_OR_RETURN(std::string name, JsonString(rule, "name"));
  if (!name.empty()) {
    if (rule.contains("names") && !rule["names"].empty()) {
      return Invalid("syscalls", "a rule has both name and names");
    }
    rule["names"] = Json::array({name});
  }
  for (const char* key : {"name", "comment", "includes", "excludes"}) rule.erase(key);
  return absl::OkStatus();
}

absl::Status ResolveArchMap(Json& profile, const SeccompTarget& target) {
  CRISP_ASSIGN_OR_RETURN(const Json* map, JsonArray(profile, "archMap"));
  if (map->empty()) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const Json* listed, JsonArray(profile, "architectures"));
  if (!listed->empty()) return Invalid("archMap", "stands beside architectures");
  const OciSeccomp host = DefaultSeccompProfile(target);
  Json architectures = Json::array();
  for (const Json& entry : *map) {
    if (!entry.is_object()) return Invalid("archMap", "holds something that is not an object");
    CRISP_ASSIGN_OR_RETURN(std::string name, JsonString(entry, "architecture"));
    CRISP_ASSIGN_OR_RETURN(std::vector<std::string> sub, Strings(entry, "subArchitectures"));
    // The entry that is this machine's native one lists the others as its own.
    const std::string native = target.architecture == "amd64"   ? "SCMP_ARCH_X86_64"
                               : target.architecture == "arm64" ? "SCMP_ARCH_AARCH64"
                               : host.architectures.empty()     ? ""
                                                                : host.architectures.back();
    if (name != native) continue;
    architectures.push_back(name);
    for (const std::string& one : sub) architectures.push_back(one);
  }
  profile["architectures"] = architectures;
  profile.erase("archMap");
  return absl::OkStatus();
}

absl::Status ResolveRules(Json& profile, const SeccompTarget& target) {
  CRISP_ASSIGN_OR_RETURN(const Json* rules, JsonArray(profile, "syscalls"));
  Json kept = Json::array();
  for (const Json& rule : *rules) {
    if (!rule.is_object()) return Invalid("syscalls", "holds something that is not an object");
    CRISP_ASSIGN_OR_RETURN(bool applies, Applies(rule, target));
    Json normal = rule;
    CRISP_RETURN_IF_ERROR(NormaliseRule(normal));
    if (applies) kept.push_back(std::move(normal));
  }
  profile["syscalls"] = std::move(kept);
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateSeccomp(const OciSeccomp& profile) {
  CRISP_RETURN_IF_ERROR(
      CheckAction("defaultAction", profile.default_action, profile.default_errno_ret));
  // Without an SCMP_ACT_NOTIFY, which is refused, nobody connects to listenerPath (runtime-spec,
  // config-linux.md, "seccomp").
  for (const std::string& name : profile.architectures) {
    if (!SeccompArch(name).has_value()) {
      return Invalid("architectures", absl::StrCat("unknown \"", name, "\""));
    }
  }
  for (const std::string& name : profile.flags) {
    if (!SeccompFlag(name).has_value()) {
      return Invalid("flags", absl::StrCat("unknown \"", name, "\""));
    }
  }
  for (const OciSeccompRule& rule : profile.syscalls) {
    if (rule.names.empty()) return Invalid("syscalls", "a rule names no syscall");
    CRISP_RETURN_IF_ERROR(CheckAction("syscalls", rule.action, rule.errno_ret));
    for (const std::string& name : rule.names) {
      if (name.empty()) return Invalid("syscalls", "a name is empty");
    }
    for (const OciSeccompArg& arg : rule.args) {
      if (arg.index > 5) return Invalid("syscalls", "an argument index is above 5");
      if (!SeccompOperator(arg.op).has_value()) {
        return Invalid("syscalls", absl::StrCat("unknown operator \"", arg.op, "\""));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<OciSeccomp> ParseSeccompProfile(absl::string_view json,
                                               const SeccompTarget& target) {
  CRISP_ASSIGN_OR_RETURN(Json document, ParseJson(json, {.max_bytes = 1u << 20}));
  if (!document.is_object()) return Invalid("document", "is not an object");
  CRISP_RETURN_IF_ERROR(ResolveArchMap(document, target));
  CRISP_RETURN_IF_ERROR(ResolveRules(document, target));
  absl::StatusOr<OciSeccomp> profile = OciSeccompFromJson(document);
  if (!profile.ok()) return Annotate(profile.status(), "seccomp profile");
  CRISP_RETURN_IF_ERROR(ValidateSeccomp(*profile));
  return profile;
}

}  // namespace crisp::runtime
