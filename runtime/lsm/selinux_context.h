#ifndef CRISP_RUNTIME_LSM_SELINUX_CONTEXT_H_
#define CRISP_RUNTIME_LSM_SELINUX_CONTEXT_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::runtime {

// SELinux labels as plain values, and the choice of a container's. The kernel's side is in
// selinux.h.

// user:role:type[:level]. Only a policy with MLS or MCS has levels.
struct SelinuxContext {
  std::string user, role, type, level;
  // "" for a context without a type.
  std::string ToString() const;
  bool operator==(const SelinuxContext&) const = default;
};

// InvalidArgument unless there are three or four parts of printable characters. The kernel decides
// if a policy knows them.
absl::StatusOr<SelinuxContext> ParseSelinuxContext(absl::string_view text);

// The labels of containers that ask for nothing.
struct SelinuxDefaults {
  SelinuxContext process;
  SelinuxContext file;
  SelinuxContext unconfined;  // of unconfined processes: the process context as spc_t
  bool operator==(const SelinuxDefaults&) const = default;
};

// The names that container policies share.
SelinuxDefaults StandardSelinuxDefaults();
// Parses the text of a policy's lxc_contexts file (`process = "CONTEXT"` and `file = "CONTEXT"`; #
// begins a comment). A default that it does not give is the standard one. InvalidArgument with the
// line.
absl::StatusOr<SelinuxDefaults> ParseLxcContexts(absl::string_view text);

// A request. Empty members are not asked for.
struct SelinuxRequest {
  SelinuxContext options;
  // True for a container that is privileged, or in the host's PID or IPC namespace: confined it
  // could not do its work.
  bool unconfined = false;
};

struct SelinuxLabels {
  std::string process;    // of the container's processes; empty if they keep their parent's
  std::string mount;      // of its file systems and volumes
  bool confined = false;  // the process label's type is held to its own files
  bool operator==(const SelinuxLabels&) const = default;
};

// The labels of a container whose pod holds `level`, which is empty if the policy has no levels.
// Requested options count for privileged containers, too. InvalidArgument for an option with
// characters that no context can have.
absl::StatusOr<SelinuxLabels> MakeSelinuxLabels(const SelinuxDefaults& defaults,
                                                const SelinuxRequest& request,
                                                absl::string_view level);

// True if nothing is forbidden to this type. A kernel without SELinux then gives all that the type
// asks for.
bool IsUnconfinedSelinuxType(absl::string_view type);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_LSM_SELINUX_CONTEXT_H_
