#ifndef CRISP_RUNTIME_LSM_SELINUX_H_
#define CRISP_RUNTIME_LSM_SELINUX_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/lsm/selinux_context.h"

namespace crisp::runtime {

// The facts about this kernel's SELinux that matter to containers.
struct SelinuxHost {
  bool off = false;          // the operator wants no labels, so requests for them are not looked at
  bool required = false;     // the operator wants containers refused if they cannot have labels
  bool enabled = false;      // a policy is loaded, enforcing or not
  bool levels = false;       // and it has levels
  SelinuxDefaults defaults;  // `unconfined` has no type if the policy has no such type
  // The reason why containers that ask for nothing get no labels although it is enabled: the policy
  // does not know the default contexts. Empty if they do get them.
  std::string unusable;
};

// Asks the kernel and reads the policy's container contexts. Called at start, not on the way of a
// pod, so a policy that is loaded later counts after a restart. Thread-safe, as are the functions
// below.
SelinuxHost DetectSelinux();

// OK if the loaded policy knows the context at this moment; InvalidArgument with the context if
// not.
absl::Status CheckSelinuxContext(const std::string& context);

// Labels the file itself; no symlink is followed. A file system without labels is OK.
absl::Status SetSelinuxLabel(const std::string& path, const std::string& label);

// True if a volume at this absolute path, with its symlinks resolved, must never be relabelled as a
// whole. This holds for the system's own directories: programs of the node would lose their files.
bool IsSystemPath(absl::string_view path);

// Labels everything in the tree at `path` (a directory or a file, with its symlinks resolved). It
// goes through no symlink, whatever changes in the tree meanwhile. It labels what is mounted in the
// tree, too, as a container sees it, but not the kernel's own file systems. It looks at every file,
// and writes those that have another label. InvalidArgument for a system path, and if a bind mount
// leads to one. File systems without labels are OK.
absl::Status RelabelTree(const std::string& path, const std::string& label);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_LSM_SELINUX_H_
