#ifndef CRISP_RUNTIME_LSM_SELINUX_CONTEXT_H_
#define CRISP_RUNTIME_LSM_SELINUX_CONTEXT_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::runtime {

// SELinux labels as plain values: which one a container gets. The kernel's side is in selinux.h.

// user:role:type[:level]. Only a policy with MLS or MCS has levels.
struct SelinuxContext {
  std::string user, role, type, level;
  // "" for a context without a type.
  std::string ToString() const;
  bool operator==(const SelinuxContext&) const = default;
};

// InvalidArgument unless there are three or four parts of printable characters. Whether a policy
// knows them is the kernel's to say.
absl::StatusOr<SelinuxContext> ParseSelinuxContext(absl::string_view text);

// What containers get that ask for nothing.
struct SelinuxDefaults {
  SelinuxContext process;
  SelinuxContext file;
  SelinuxContext
      unconfined;  // of processes that are not to be held back: the process context as spc_t
  bool operator==(const SelinuxDefaults&) const = default;
};

// The names that container policies share.
SelinuxDefaults StandardSelinuxDefaults();
// The text of a policy's lxc_contexts file (`process = "CONTEXT"` and `file = "CONTEXT"`, # begins
// a comment); what it does not say is standard. InvalidArgument with the line.
absl::StatusOr<SelinuxDefaults> ParseLxcContexts(absl::string_view text);

// Members that are empty are not asked for.
struct SelinuxRequest {
  SelinuxContext options;
  // Privileged, or in the host's PID or IPC namespace: confined it could not do what it is there
  // for.
  bool unconfined = false;
};

struct SelinuxLabels {
  std::string process;    // of the container's processes; empty: they stay in their parent's
  std::string mount;      // of its file systems and volumes
  bool confined = false;  // the process label is one that is held to its own files
  bool operator==(const SelinuxLabels&) const = default;
};

// The labels of a container whose pod holds `level`; empty where the policy has no levels. Options
// that are asked for count for privileged containers, too. InvalidArgument for an option of
// characters that no context can have.
absl::StatusOr<SelinuxLabels> MakeSelinuxLabels(const SelinuxDefaults& defaults,
                                                const SelinuxRequest& request,
                                                absl::string_view level);

// True if nothing is forbidden to this type. A kernel without SELinux then gives what the type asks
// for.
bool IsUnconfinedSelinuxType(absl::string_view type);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_LSM_SELINUX_CONTEXT_H_
