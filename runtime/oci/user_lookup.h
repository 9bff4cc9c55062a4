#ifndef CRISP_RUNTIME_OCI_USER_LOOKUP_H_
#define CRISP_RUNTIME_OCI_USER_LOOKUP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/lower.h"

namespace crisp::runtime {

// The user of a container's process. The image's files are hostile: at most kMaxAccountFile bytes
// of each are looked at, and lines that are malformed or too long are skipped. A name that is a
// number is never looked up.

inline constexpr size_t kMaxAccountFile = 1u << 20;
// (uid_t)-1 means "leave as is" to the kernel, so it is nobody's id.
inline constexpr uint32_t kMaxId = 4294967294u;

// Decimal digits only, the whole string, at most kMaxId. nullopt for "", "-1", "+1", " 1", "1:",
// "4294967295", "4294967296". Leading zeros are fine ("01" is 1).
std::optional<uint32_t> ParseId(absl::string_view text);
// True if the text can only be meant as a number (an optional sign and digits). If ParseId()
// refuses such a text, it is an error, never a name.
bool LooksNumeric(absl::string_view text);

// The two files' contents.
struct AccountFiles {
  std::string passwd;
  std::string group;
};

// Reads /etc/passwd and /etc/group out of a stack of unpacked layers that is not mounted. It finds
// them as overlayfs would. Each component is taken from the topmost layer that has it. A whiteout
// (0:0 device), an opaque directory or a non-directory hides the layers below. Symlinks are
// resolved through the stack, at most 8, and never leave it. Absent files, and files that are not
// regular, are empty. Longer files are cut at kMaxAccountFile, at a line's end. Errors only for
// I/O.
absl::StatusOr<AccountFiles> ReadAccountFiles(const std::vector<Lower>& layers_topmost_first);

enum class GroupsPolicy { kMerge, kStrict };

struct UserRequest {
  std::optional<int64_t> run_as_user;
  std::string run_as_username;  // a name or a number; used when run_as_user is unset
  std::optional<int64_t> run_as_group;
  std::string image_user;  // the image's USER, "u[:g]"; used when nothing above is set
  std::vector<int64_t> supplemental_groups;
  GroupsPolicy policy = GroupsPolicy::kMerge;
};

struct ResolvedUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;  // supplementary, sorted, without duplicates; gid is among them
  std::string name;              // from passwd, may be empty
  std::string home = "/";
};

// The user is the first that is set of run_as_user, run_as_username, image_user and root. The group
// is run_as_group, else the image's `:g` if the image's user is used, else passwd's, else 0. kMerge
// adds the groups whose members name the user. InvalidArgument for a number out of range,
// run_as_group without a user, or a name that is not in the file (NotFound would read as "no such
// image" to a CRI client).
absl::StatusOr<ResolvedUser> ResolveUser(const UserRequest& request, const AccountFiles& files);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_OCI_USER_LOOKUP_H_
