#ifndef CRISP_RUNTIME_SHIM_PROCESS_H_
#define CRISP_RUNTIME_SHIM_PROCESS_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// What a child tells the shim over its status socket before execve closes it.
// kBind and kBound are questions, answered in kind or with kError (propagation.h).
enum class ChildMessage : uint32_t { kError = 1, kTerminal, kPid, kBind, kBound };
struct ChildReport {
  ChildMessage type;
  int32_t pid;  // kPid: of the grandchild that will be the container; kBind, kBound: the mount
  Error error;  // kError
};

// What the shim tells a child that waits.
constexpr char kGo = 'g';

bool DropAllCapabilities();

// Sends g_error over the status socket and ends the child.
[[noreturn]] void ReportAndExit(int status);

// The part that needs the host's privileges: cgroups (v1, by writing "0" to open `tasks`), OOM
// score and limits.
bool EnterCgroupsAndLimits(const ProcessView& process, const int* tasks, int task_count);

// With a user namespace, before it is entered: makes the pipes among the descriptors (-1: none) the
// process', so that it may open them by name (/dev/stdout). Afterwards their owner would be unknown.
void GiveStdio(const ProcessView& process, const int stdio[3]);

// Opens the slave of a new terminal on `devpts` (verified), sends the master to the shim, and
// returns the slave. -1 with g_error.
int OpenTerminal(int devpts, const ProcessView& process, int status);

// The last part of every child, in its final namespaces and root: session, stdio, directory, the
// container's keyring, labels, ids, capabilities, filter, execve. `stdio` are the descriptors for 0,
// 1, 2 (-1: null). Only `status` survives of the others. `gated`: with all that done which needs no
// privilege of the program's own, waits on the status socket for kGo; when that closes first, the
// child ends. Ends in the program or in ReportAndExit.
[[noreturn]] void RunProcess(const ProcessView& process,
                             const Str& container_id,
                             const int stdio[3],
                             int status,
                             bool gated = false);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_PROCESS_H_
