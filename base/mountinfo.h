#ifndef CRISP_BASE_MOUNTINFO_H_
#define CRISP_BASE_MOUNTINFO_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace crisp {

// One line of a /proc/<pid>/mountinfo (proc(5)).
struct MountEntry {
  std::string root;         // of the mount, within its file system
  std::string mount_point;  // below the process's root
  bool shared = false;      // in a group of peers, which see what is mounted below
  bool slave = false;       // sees what is mounted below another
  absl::string_view type;   // of the file system
  std::string source;
  absl::string_view super_options;  // the file system's own, by commas
};

// Reads a table, mount by mount, from below to the top: of two on one point the later is seen.
// Paths are as they are, not as the table escapes them. What is no line of such a table is left
// out. The entry lasts for the call.
void ForEachMount(absl::string_view table, absl::FunctionRef<void(const MountEntry&)> seen);

}  // namespace crisp

#endif  // CRISP_BASE_MOUNTINFO_H_
