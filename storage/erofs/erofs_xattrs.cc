#include "storage/erofs/erofs_xattrs.h"

#include <limits.h>
#include <linux/capability.h>
#include <sys/xattr.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "storage/erofs/erofs_format.h"
#include "storage/layer/layer_sink.h"

namespace crisp::storage {
namespace {

constexpr char kCapability[] = "security.capability";
constexpr char kAccessAcl[] = "system.posix_acl_access";
constexpr char kOpaque[] = "trusted.overlay.opaque";
constexpr char kDefaultAcl[] = "system.posix_acl_default";
constexpr size_t kMaxEntries = 4 * 65534;  // bytes; their number of words is 16 bits wide
constexpr size_t kMaxValue = 65535;

struct Prefix {
  absl::string_view name;
  uint8_t index;
};
constexpr Prefix kPrefixes[] = {
    {"user.", 1}, {kAccessAcl, 2}, {kDefaultAcl, 3}, {"trusted.", 4}, {"security.", 6}};

// As the kernel hands ACLs to user space.
constexpr uint32_t kAclVersion = 2;
struct AclEntry {
  uint16_t tag;
  uint16_t permissions;
  uint32_t id;
};
enum AclTag : uint16_t {
  kUserObj = 1,
  kUser = 2,
  kGroupObj = 4,
  kGroup = 8,
  kMask = 16,
  kOther = 32
};

AclEntry EntryAt(absl::string_view value, size_t i) {
  AclEntry entry;
  memcpy(&entry, value.data() + sizeof(kAclVersion) + i * sizeof(entry), sizeof(entry));
  return entry;
}

size_t CountAcl(absl::string_view value) {
  return (value.size() - sizeof(kAclVersion)) / sizeof(AclEntry);
}

// One owner, users, one group, groups, a mask (a must with users or groups), others; in this order.
bool IsAcl(absl::string_view value) {
  if ((value.size() - sizeof(kAclVersion)) % sizeof(AclEntry) != 0) return false;
  uint16_t last = 0;
  bool named = false, masked = false, grouped = false;
  for (size_t i = 0; i < CountAcl(value); ++i) {
    const AclEntry entry = EntryAt(value, i);
    if (entry.permissions > 7) return false;
    const bool many = entry.tag == kUser || entry.tag == kGroup;
    const bool known = many || entry.tag == kUserObj || entry.tag == kGroupObj ||
                       entry.tag == kMask || entry.tag == kOther;
    if (!known || entry.tag < last || (entry.tag == last && !many)) return false;
    if (last == 0 && entry.tag != kUserObj) return false;
    if (many && entry.id == ~0u) return false;
    named |= many;
    masked |= entry.tag == kMask;
    grouped |= entry.tag == kGroupObj;
    last = entry.tag;
  }
  return last == kOther && grouped && (!named || masked);
}

absl::Status Malformed(absl::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat("set ", name, ": malformed"));
}

absl::StatusOr<bool> CheckAcl(absl::string_view name, absl::string_view value) {
  uint32_t version = 0;
  if (value.size() < sizeof(version)) return Malformed(name);
  memcpy(&version, value.data(), sizeof(version));
  if (version != kAclVersion || value.size() == sizeof(version)) return false;
  if (!IsAcl(value)) return Malformed(name);
  return true;
}

bool IsCapability(absl::string_view value) {
  uint32_t magic = 0;
  if (value.size() < sizeof(magic)) return false;
  memcpy(&magic, value.data(), sizeof(magic));
  const uint32_t revision = magic & VFS_CAP_REVISION_MASK;
  return (value.size() == XATTR_CAPS_SZ_2 && revision == VFS_CAP_REVISION_2) ||
         (value.size() == XATTR_CAPS_SZ_3 && revision == VFS_CAP_REVISION_3);
}

}  // namespace

absl::StatusOr<bool> CheckXattr(absl::string_view name, absl::string_view value) {
  if (name.size() > XATTR_NAME_MAX) return absl::InvalidArgumentError("attribute's name too long");
  if (value.size() > kMaxValue) {
    return absl::InvalidArgumentError(absl::StrCat("set ", name, ": value too long"));
  }
  if (name == "user.") return Malformed(name);
  if (name == kCapability && !IsCapability(value)) return Malformed(name);
  if (name == kAccessAcl || name == kDefaultAcl) return CheckAcl(name, value);
  return true;
}

mode_t ModeWithAcl(mode_t mode, absl::string_view value, bool* kept) {
  mode_t group = 0;
  *kept = false;
  mode &= ~mode_t{0777};
  for (size_t i = 0; i < CountAcl(value); ++i) {
    const AclEntry entry = EntryAt(value, i);
    if (entry.tag == kUserObj) mode |= static_cast<mode_t>(entry.permissions << 6);
    if (entry.tag == kOther) mode |= entry.permissions;
    if (entry.tag == kGroupObj) group = entry.permissions;
    // The mask stands for the group in the mode; the ACL alone then knows the group's own.
    if (entry.tag == kMask) group = entry.permissions;
    *kept |= entry.tag == kUser || entry.tag == kGroup || entry.tag == kMask;
  }
  return mode | group << 3;
}

absl::StatusOr<std::string> EncodeErofsXattrs(const XattrMap& xattrs) {
  if (xattrs.empty()) return std::string();
  std::string bytes(kErofsXattrHeader, '\0');
  for (const auto& [name, value] : xattrs) {
    for (const Prefix& prefix : kPrefixes) {
      if (!absl::StartsWith(name, prefix.name)) continue;
      const uint16_t size = static_cast<uint16_t>(value.size());
      bytes.push_back(static_cast<char>(name.size() - prefix.name.size()));
      bytes.push_back(static_cast<char>(prefix.index));
      bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
      bytes.append(name, prefix.name.size()).append(value);
      bytes.resize((bytes.size() + 3) / 4 * 4);
      break;
    }
  }
  if (bytes.size() - kErofsXattrHeader > kMaxEntries) {
    return absl::ResourceExhaustedError("too many extended attributes for an EROFS inode");
  }
  return bytes;
}

bool AreErofsLayerXattrs(absl::string_view bytes) {
  if (bytes.size() <= kErofsXattrHeader || bytes.size() % 4 != 0) return false;
  // No filter, no shared attributes.
  if (bytes.substr(0, kErofsXattrHeader) != std::string(kErofsXattrHeader, '\0')) return false;
  for (bytes.remove_prefix(kErofsXattrHeader); !bytes.empty();) {
    const size_t name_size = static_cast<uint8_t>(bytes[0]);
    const uint8_t index = static_cast<uint8_t>(bytes[1]);
    uint16_t value_size = 0;
    memcpy(&value_size, bytes.data() + 2, sizeof(value_size));
    const size_t size = (4 + name_size + value_size + 3) / 4 * 4;
    if (size > bytes.size()) return false;
    std::string name;
    for (const Prefix& prefix : kPrefixes) {
      if (prefix.index == index) name = absl::StrCat(prefix.name, bytes.substr(4, name_size));
    }
    const absl::string_view value = bytes.substr(4 + name_size, value_size);
    const bool opaque = name == kOpaque && value == "y";
    if (!opaque && (!IsAllowedXattr(name) || !CheckXattr(name, value).value_or(false)))
      return false;
    bytes.remove_prefix(size);
  }
  return true;
}

}  // namespace crisp::storage
