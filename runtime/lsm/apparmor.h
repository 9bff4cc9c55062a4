#ifndef CRISP_RUNTIME_LSM_APPARMOR_H_
#define CRISP_RUNTIME_LSM_APPARMOR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/operation.h"

namespace crisp::runtime {

// The AppArmor profile that containers have unless they ask for another. The kernel keeps it by
// name until the next boot, for all instances of crispd together. Thread-safe.

inline constexpr char kDefaultAppArmorProfile[] = "crisp-default";

// Its text, as apparmor_parser(8) reads it. It allows everything but mounting, and writing to the
// parts of /proc and /sys that are the machine's and not the container's. It includes no file, so
// that it needs no abstractions installed.
std::string DefaultAppArmorText();

// True if this kernel was started with AppArmor.
bool HasAppArmor();

// True if the text of the kernel's list of profiles ("NAME (enforce)" lines) names this one.
bool ListsAppArmorProfile(absl::string_view profiles, absl::string_view name);

// OK if the kernel has it at this moment; NotFound with the name if not.
absl::Status CheckAppArmorProfile(absl::string_view name);

// Compiles `text` and puts it into the kernel, in place of a profile of its name. Runs
// apparmor_parser, so it is never on the way of a pod. NotFound if there is no apparmor_parser,
// FailedPrecondition with its message if it refuses.
absl::Status LoadAppArmor(const std::string& text, const Operation& operation);

// Loads the default profile, unless the kernel has it and `note` (a file of a tmpfs) says that
// exactly this text was loaded before. Writes `note`.
absl::Status LoadDefaultAppArmor(const std::string& note, const Operation& operation);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_LSM_APPARMOR_H_
