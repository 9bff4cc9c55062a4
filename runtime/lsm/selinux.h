#ifndef CRISP_RUNTIME_LSM_SELINUX_H_
#define CRISP_RUNTIME_LSM_SELINUX_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/lsm/selinux_context.h"

namespace crisp::runtime {

// What this kernel's SELinux offers to containers.
struct SelinuxHost {
  bool off = false;          // the operator wants no labels: what is asked for is not looked at
  bool required = false;     // and this one wants them refused where they cannot be had
  bool enabled = false;      // a policy is loaded, enforcing or not
  bool levels = false;       // and it has levels
  SelinuxDefaults defaults;  // `unconfined` has no type where the policy has none such
  // Why containers that ask for nothing get no labels although it is enabled: the policy does not
  // know the default contexts. Empty: they do get them.
  std::string unusable;
};

// Asks the kernel and reads the policy's container contexts. At start, not on the way of a pod:
// what a policy that is loaded later changes is seen after a restart. Thread-safe, as are those
// below.
SelinuxHost DetectSelinux();

// OK when the loaded policy knows the context at this moment; InvalidArgument with it when not.
absl::Status CheckSelinuxContext(const std::string& context);

// Gives the file itself (no symlink is followed) the label; a file system without labels is OK.
absl::Status SetSelinuxLabel(const std::string& path, const std::string& label);

// True if a volume at this absolute path, its symlinks resolved, must never be relabelled as a
// whole. The system's own directories are such: programs of the node would lose their files.
bool IsSystemPath(absl::string_view path);

// Gives everything in the tree at `path` (a directory or a file, its symlinks resolved) the label,
// going through no symlink, whatever changes in it meanwhile: what is mounted in it, too, as a
// container sees it, but not the kernel's own file systems. Costs a look at every file, and a write
// at those that have another label. InvalidArgument for a system path, and when a bind mount leads
// to one. File systems without labels are OK.
absl::Status RelabelTree(const std::string& path, const std::string& label);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_LSM_SELINUX_H_
