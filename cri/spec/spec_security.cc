#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/spec/spec_builder.h"
#include "runtime/oci/capabilities.h"
#include "runtime/oci/default_spec.h"
#include "runtime/seccomp/seccomp_profile.h"

namespace crisp::cri {
namespace {

absl::StatusOr<SeccompSelection> LocalhostSeccomp(absl::string_view reference) {
  absl::ConsumePrefix(&reference, "localhost/");
  if (!absl::StartsWith(reference, "/")) {
    return absl::InvalidArgumentError(
        absl::StrCat("seccomp: the Localhost profile \"", reference, "\" is not an absolute path"));
  }
  return SeccompSelection{.choice = SeccompChoice::kLocalhost, .path = std::string(reference)};
}

// The bounding set, with the CRI's add and drop lists applied.
absl::StatusOr<uint64_t> SelectCapabilities(const SpecInputs& inputs) {
  const v1::LinuxContainerSecurityContext& context = inputs.container.linux().security_context();
  if (context.privileged()) return inputs.host.capabilities;
  const v1::Capability& lists = context.capabilities();
  std::vector<std::string> add(lists.add_capabilities().begin(), lists.add_capabilities().end());
  // An ambient capability has to be permitted first.
  add.insert(add.end(), lists.add_ambient_capabilities().begin(),
             lists.add_ambient_capabilities().end());
  std::vector<std::string> unknown;
  absl::StatusOr<uint64_t> mask = runtime::AdjustCapabilities(
      runtime::DefaultCapabilities(), add,
      {lists.drop_capabilities().begin(), lists.drop_capabilities().end()},
      inputs.host.capabilities, unknown);
  if (!mask.ok()) return Annotate(mask.status(), "capabilities");
  for (const std::string& name : unknown) {
    LogWarning("capability.unknown",
               {{"capability", name}, {"container", inputs.container.metadata().name()}});
  }
  return mask;
}

// Those of `bounding` that a program which is not root keeps through execve; the kernel wants them
// inheritable, too. Every other container has none of either (CVE-2022-24769).
absl::Status ApplyAmbient(const SpecInputs& inputs,
                          uint64_t bounding,
                          runtime::OciCapabilities& sets) {
  const v1::Capability& lists = inputs.container.linux().security_context().capabilities();
  std::vector<std::string> unknown;  // SelectCapabilities() has said so
  absl::StatusOr<uint64_t> wanted = runtime::AdjustCapabilities(
      0, {lists.add_ambient_capabilities().begin(), lists.add_ambient_capabilities().end()}, {},
      bounding, unknown);
  if (!wanted.ok()) return Annotate(wanted.status(), "capabilities.add_ambient_capabilities");
  sets.ambient = sets.inheritable = runtime::CapabilityNames(*wanted);
  return absl::OkStatus();
}

enum class AppArmorChoice { kNothingSaid, kDefault, kUnconfined, kLocalhost };
struct AppArmorWish {
  AppArmorChoice choice = AppArmorChoice::kNothingSaid;
  std::string name;  // of a Localhost profile
};

AppArmorWish LocalhostAppArmor(absl::string_view name) {
  absl::ConsumePrefix(&name, "localhost/");
  return {.choice = AppArmorChoice::kLocalhost, .name = std::string(name)};
}

absl::StatusOr<AppArmorWish> ReadAppArmorWish(const v1::LinuxContainerSecurityContext& context) {
  if (context.has_apparmor()) {
    switch (context.apparmor().profile_type()) {
      case v1::SecurityProfile::RuntimeDefault:
        return AppArmorWish{AppArmorChoice::kDefault, ""};
      case v1::SecurityProfile::Unconfined:
        return AppArmorWish{AppArmorChoice::kUnconfined, ""};
      case v1::SecurityProfile::Localhost:
        return LocalhostAppArmor(context.apparmor().localhost_ref());
      default:
        return absl::InvalidArgumentError("apparmor: unknown profile_type");
    }
  }
  const std::string& old = context.apparmor_profile();
  if (old.empty()) return AppArmorWish{};
  if (old == "runtime/default") return AppArmorWish{AppArmorChoice::kDefault, ""};
  if (old == "unconfined") return AppArmorWish{AppArmorChoice::kUnconfined, ""};
  if (absl::StartsWith(old, "localhost/")) return LocalhostAppArmor(old);
  return absl::InvalidArgumentError(
      absl::StrCat("apparmor_profile: \"", old, "\" is not a form that is known"));
}

}  // namespace

absl::StatusOr<SeccompSelection> SelectSeccomp(const v1::LinuxContainerSecurityContext& context) {
  if (context.privileged()) return SeccompSelection{};
  if (context.has_seccomp()) {
    switch (context.seccomp().profile_type()) {
      case v1::SecurityProfile::RuntimeDefault:
        return SeccompSelection{.choice = SeccompChoice::kDefault};
      case v1::SecurityProfile::Unconfined:
        return SeccompSelection{};
      case v1::SecurityProfile::Localhost:
        return LocalhostSeccomp(context.seccomp().localhost_ref());
      default:
        return absl::InvalidArgumentError("seccomp: unknown profile_type");
    }
  }
  const std::string& old = context.seccomp_profile_path();
  if (old.empty() || old == "unconfined") return SeccompSelection{};
  if (old == "runtime/default" || old == "docker/default") {
    return SeccompSelection{.choice = SeccompChoice::kDefault};
  }
  if (absl::StartsWith(old, "localhost/")) return LocalhostSeccomp(old);
  return absl::InvalidArgumentError(
      absl::StrCat("seccomp_profile_path: \"", old, "\" is not a form that is known"));
}

absl::StatusOr<std::string> SelectAppArmor(const v1::LinuxContainerSecurityContext& context,
                                           const HostFacts& host) {
  CRISP_ASSIGN_OR_RETURN(const AppArmorWish wish, ReadAppArmorWish(context));
  std::string profile;
  if (wish.choice == AppArmorChoice::kLocalhost) {
    if (wish.name.empty()) return absl::InvalidArgumentError("apparmor: Localhost without a name");
    if (!host.apparmor) {
      return absl::FailedPreconditionError(absl::StrCat(
          "apparmor: profile \"", wish.name, "\" is asked for, but this kernel has no AppArmor"));
    }
    profile = wish.name;
  } else if (wish.choice != AppArmorChoice::kUnconfined) {
    profile = host.default_apparmor;
  }
  if (context.privileged()) return std::string();
  if (wish.choice == AppArmorChoice::kDefault && host.apparmor && profile.empty()) {
    return absl::FailedPreconditionError(
        "apparmor: the default profile is asked for, but could not be loaded when crispd started");
  }
  return profile;
}

absl::Status ApplySecurity(const SpecInputs& inputs, runtime::OciSpec& spec) {
  const v1::LinuxContainerSecurityContext& context = inputs.container.linux().security_context();
  CRISP_ASSIGN_OR_RETURN(const uint64_t capabilities, SelectCapabilities(inputs));
  spec.process.capabilities = runtime::CapabilitySets(capabilities);
  CRISP_RETURN_IF_ERROR(ApplyAmbient(inputs, capabilities, *spec.process.capabilities));
  spec.process.no_new_privileges = context.no_new_privs();
  CRISP_ASSIGN_OR_RETURN(spec.process.apparmor_profile, SelectAppArmor(context, inputs.host));
  spec.process.selinux_label = inputs.selinux.process;
  spec.linux_.mount_label = inputs.selinux.mount;

  // The lists are the kubelet's to say; an empty one is procMount: Unmasked.
  spec.linux_.masked_paths.clear();
  spec.linux_.readonly_paths.clear();
  if (!context.privileged()) {
    spec.linux_.masked_paths.assign(context.masked_paths().begin(), context.masked_paths().end());
    spec.linux_.readonly_paths.assign(context.readonly_paths().begin(),
                                      context.readonly_paths().end());
  }

  spec.linux_.seccomp.reset();
  CRISP_ASSIGN_OR_RETURN(const SeccompSelection seccomp, SelectSeccomp(context));
  if (seccomp.choice == SeccompChoice::kDefault) {
    spec.linux_.seccomp = runtime::HostDefaultSeccomp(capabilities);
  } else if (seccomp.choice == SeccompChoice::kLocalhost) {
    if (!inputs.seccomp_json.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("seccomp: ", seccomp.path, " was not read"));
    }
    auto profile = runtime::ParseSeccompProfile(*inputs.seccomp_json,
                                                runtime::SeccompTarget::Host(capabilities));
    if (!profile.ok())
      return Annotate(profile.status(), absl::StrCat("seccomp profile ", seccomp.path));
    spec.linux_.seccomp = *std::move(profile);
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
