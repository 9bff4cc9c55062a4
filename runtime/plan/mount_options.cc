#include "runtime/plan/mount_options.h"

#include <linux/mount.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/oci/crisp_mounts.h"

namespace crisp::runtime {
namespace {

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

struct Attribute {
  uint64_t set = 0;
  uint64_t clear = 0;
};

const absl::flat_hash_map<absl::string_view, Attribute>& Attributes() {
  static const auto* const kAttributes = new absl::flat_hash_map<absl::string_view, Attribute>{
      {"ro", {.set = MOUNT_ATTR_RDONLY}},
      {"rw", {.clear = MOUNT_ATTR_RDONLY}},
      {"nosuid", {.set = MOUNT_ATTR_NOSUID}},
      {"suid", {.clear = MOUNT_ATTR_NOSUID}},
      {"nodev", {.set = MOUNT_ATTR_NODEV}},
      {"dev", {.clear = MOUNT_ATTR_NODEV}},
      {"noexec", {.set = MOUNT_ATTR_NOEXEC}},
      {"exec", {.clear = MOUNT_ATTR_NOEXEC}},
      {"nodiratime", {.set = MOUNT_ATTR_NODIRATIME}},
      {"diratime", {.clear = MOUNT_ATTR_NODIRATIME}},
      {"relatime", {.clear = MOUNT_ATTR__ATIME}},
      {"norelatime", {.set = MOUNT_ATTR_STRICTATIME, .clear = MOUNT_ATTR__ATIME}},
      {"noatime", {.set = MOUNT_ATTR_NOATIME, .clear = MOUNT_ATTR__ATIME}},
      {"atime", {.clear = MOUNT_ATTR__ATIME}},
      {"strictatime", {.set = MOUNT_ATTR_STRICTATIME, .clear = MOUNT_ATTR__ATIME}},
      {"nostrictatime", {.clear = MOUNT_ATTR__ATIME}},
      {"nosymfollow", {.set = MOUNT_ATTR_NOSYMFOLLOW}},
      {"symfollow", {.clear = MOUNT_ATTR_NOSYMFOLLOW}},
  };
  return *kAttributes;
}

const absl::flat_hash_map<absl::string_view, Propagation>& Propagations() {
  static const auto* const kPropagations = new absl::flat_hash_map<absl::string_view, Propagation>{
      {"private", Propagation::kPrivate}, {"rprivate", Propagation::kPrivate},
      {"slave", Propagation::kSlave},     {"rslave", Propagation::kSlave},
      {"shared", Propagation::kShared},   {"rshared", Propagation::kShared},
  };
  return *kPropagations;
}

// "rro" is "ro", recursively. Words such as "relatime" are attributes already.
bool ApplyAttribute(absl::string_view word, MountOptions& parsed) {
  auto found = Attributes().find(word);
  bool recursive = false;
  if (found == Attributes().end() && word.size() > 1 && word[0] == 'r') {
    found = Attributes().find(word.substr(1));
    recursive = true;
  }
  if (found == Attributes().end()) return false;
  parsed.attributes = (parsed.attributes & ~found->second.clear) | found->second.set;
  if (recursive) parsed.recursive_attributes = true;
  return true;
}

bool IsNoise(absl::string_view word) {
  return word.empty() || word == "defaults" || word == "async" || word == "nomand" ||
         word == "loud" || word == "silent" || word == "nolazytime";
}

bool IsRefused(absl::string_view word) {
  return word == "remount" || word == "unbindable" || word == "runbindable" || word == "move" ||
         word == "tmpcopyup" || word == "nofail";
}

}  // namespace

absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options) {
  MountOptions parsed;
  for (const std::string& word : options) {
    if (IsNoise(word)) continue;
    if (IsRefused(word)) {
      return absl::InvalidArgumentError(
          absl::StrCat("mount option \"", word, "\" is not possible for a container"));
    }
    if (word == "bind" || word == "rbind") {
      parsed.bind = true;
      parsed.recursive_bind = word == "rbind";
    } else if (auto found = Propagations().find(word); found != Propagations().end()) {
      parsed.propagation = found->second;
    } else if (word == "idmap" || word == "ridmap") {
      parsed.idmap = true;
    } else if (word == kOptionCopyUp) {
      parsed.copy_up = true;
    } else if (word == kOptionOptional) {
      parsed.optional = true;
    } else if (!ApplyAttribute(word, parsed)) {
      parsed.rest.push_back(word);
    }
  }
  return parsed;
}

}  // namespace crisp::runtime
