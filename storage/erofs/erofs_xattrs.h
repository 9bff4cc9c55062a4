#ifndef CRISP_STORAGE_EROFS_EROFS_XATTRS_H_
#define CRISP_STORAGE_EROFS_EROFS_XATTRS_H_

#include <sys/types.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::storage {

// Extended attributes of one inode, by their full names.
using XattrMap = std::map<std::string, std::string>;

// Checks an attribute as setxattr(2) would. InvalidArgument for malformed file capabilities and
// ACLs, and for names and values that are too long. False for an attribute to leave out: an ACL of
// another version or without entries.
absl::StatusOr<bool> CheckXattr(absl::string_view name, absl::string_view value);

// The mode after setting the (checked) access ACL `value`. `kept` is false if the mode alone says
// the same, so that no ACL is kept.
mode_t ModeWithAcl(mode_t mode, absl::string_view value, bool* kept);

// The bytes behind an EROFS inode: the header and an entry for each attribute, a multiple of 4
// bytes; "" for none. ResourceExhausted if there are more than an inode can have.
absl::StatusOr<std::string> EncodeErofsXattrs(const XattrMap& xattrs);

// True if such bytes are well-formed and hold only attributes that a layer may have: those that
// IsAllowedXattr() lets in, and the mark of an opaque directory.
bool AreErofsLayerXattrs(absl::string_view bytes);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EROFS_EROFS_XATTRS_H_
