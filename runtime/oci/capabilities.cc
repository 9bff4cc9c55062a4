#include "runtime/oci/capabilities.h"

#include <linux/capability.h>
#include <sys/capability.h>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }

}  // namespace

absl::StatusOr<int> ParseCapability(absl::string_view name) {
  std::string lower = absl::AsciiStrToLower(name);
  if (!absl::StartsWith(lower, "cap_")) lower = absl::StrCat("cap_", lower);
  cap_value_t value = 0;
  // cap_from_name() also takes numbers, and ignores what follows a name.
  if (lower.size() < 5 ||
      lower.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") != std::string::npos ||
      cap_from_name(lower.c_str(), &value) != 0 || value < 0 || value > 63) {
    return absl::InvalidArgumentError(absl::StrCat("unknown capability \"", name, "\""));
  }
  return value;
}

absl::StatusOr<uint64_t> ParseCapabilities(const std::vector<std::string>& names) {
  uint64_t mask = 0;
  for (const std::string& name : names) {
    CRISP_ASSIGN_OR_RETURN(int capability, ParseCapability(name));
    mask |= Bit(capability);
  }
  return mask;
}

std::vector<std::string> CapabilityNames(uint64_t mask) {
  std::vector<std::string> names;
  for (int capability = 0; capability < 64; ++capability) {
    if ((mask & Bit(capability)) == 0) continue;
    char* name = cap_to_name(capability);
    if (name == nullptr) continue;
    // Without a name of its own libcap prints the number; ParseCapability() would not take it back.
    if (absl::ascii_isalpha(name[0])) names.push_back(absl::AsciiStrToUpper(name));
    cap_free(name);
  }
  return names;
}

uint64_t DaemonCapabilities() {
  uint64_t mask = 0;
  for (int capability = 0; capability < cap_max_bits(); ++capability) {
    if (cap_get_bound(capability) > 0) mask |= Bit(capability);
  }
  return mask;
}

uint64_t DefaultCapabilities() {
  return Bit(CAP_CHOWN) | Bit(CAP_DAC_OVERRIDE) | Bit(CAP_FSETID) | Bit(CAP_FOWNER) |
         Bit(CAP_MKNOD) | Bit(CAP_NET_RAW) | Bit(CAP_SETGID) | Bit(CAP_SETUID) | Bit(CAP_SETFCAP) |
         Bit(CAP_SETPCAP) | Bit(CAP_NET_BIND_SERVICE) | Bit(CAP_SYS_CHROOT) | Bit(CAP_KILL) |
         Bit(CAP_AUDIT_WRITE);
}

absl::StatusOr<uint64_t> AdjustCapabilities(uint64_t base,
                                            const std::vector<std::string>& add,
                                            const std::vector<std::string>& drop,
                                            uint64_t available,
                                            std::vector<std::string>& unknown) {
  constexpr absl::string_view kAll = "ALL";
  uint64_t adding = 0, dropping = 0, mask = base;
  for (const std::string& name : add) {
    if (absl::EqualsIgnoreCase(name, kAll)) {
      mask = available;
    } else if (absl::StatusOr<int> capability = ParseCapability(name); capability.ok()) {
      adding |= Bit(*capability);
    } else {
      unknown.push_back(name);
    }
  }
  for (const std::string& name : drop) {
    if (absl::EqualsIgnoreCase(name, kAll)) {
      mask = 0;
      continue;
    }
    CRISP_ASSIGN_OR_RETURN(const int capability, ParseCapability(name));
    dropping |= Bit(capability);
  }
  return ((mask | adding) & ~dropping) & available;
}

}  // namespace crisp::runtime
