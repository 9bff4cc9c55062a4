#ifndef CRISP_RUNTIME_SHIM_PROCESS_H_
#define CRISP_RUNTIME_SHIM_PROCESS_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// The messages of a child to the shim over its status socket before execve closes it. kBind and
// kBound are questions, answered in kind or with kError (propagation.h).
enum class ChildMessage : uint32_t { kError = 1, kTerminal, kPid, kBind, kBound };
struct ChildReport {
  ChildMessage type;
  int32_t pid;  // kPid: of the process that a helper has given birth to, with its pidfd; kBind,
                // kBound: the mount
  Error error;  // kError
};

// The shim's word to a child that waits.
constexpr char kGo = 'g';

// Drops all capabilities of the bounding set but those in `keep`. False with g_error.
bool DropBounding(uint64_t keep);
// Drop all capabilities, or all but one; of the bounding set likewise. False with g_error.
bool DropAllCapabilities();
bool DropToCapability(int capability);

// Sends g_error over the status socket and ends the child.
[[noreturn]] void ReportAndExit(int status);

// Does the part that needs the host's privileges: cgroups (v1, by writing "0" to open `tasks`), OOM
// score and limits.
bool EnterCgroupsAndLimits(const ProcessView& process, const int* tasks, int task_count);

// Called with a user namespace, before it is entered. Gives the pipes among the descriptors (-1 for
// none) to the process, so that it may open them by name (/dev/stdout). Afterwards their owner
// would be unknown.
void GiveStdio(const ProcessView& process, const int stdio[3]);

// Opens the slave of a new terminal on `devpts` (verified), sends the master to the shim, and
// returns the slave. -1 with g_error.
int OpenTerminal(int devpts, const ProcessView& process, int status);

// Tells the LSMs the labels of the program and of its keys, by a procfs of the own PID namespace.
// False with g_error.
bool SetLabels(const ProcessView& process);

// Clones a child of the shim's in the PID namespace that setns(2) has chosen, or with `flags` in
// new ones, and tells the shim of it. Returns in that child only, once the shim has answered kGo.
// This process, a helper, ends.
void GiveBirth(uint64_t flags, int status);

struct RunOptions {
  // True if the process joins a PID namespace whose other processes may trace it. A helper then
  // gives birth to it once nothing of the outside is left: descriptors, root, capabilities that are
  // not the program's. SetLabels() has been called. Without no_new_privs a filter takes
  // CAP_SYS_ADMIN. The helper sets the filter, too, if it lets through what is left to be done. A
  // filter that does not is the process' own to set, and the process has that capability until
  // then.
  bool joins;
  // True if the child waits on the status socket for kGo, after everything is done that needs no
  // privilege of the program's own. If the socket closes first, the child ends.
  bool gated;
};

// The last part of every child, in its final namespaces and root: session, stdio, directory, the
// container's keyring, labels, ids, capabilities, filter, execve. `stdio` are the descriptors for
// 0, 1, 2 (-1 for null). Of the others only `status` survives. Ends in the program or in
// ReportAndExit.
[[noreturn]] void RunProcess(const ProcessView& process,
                             const Str& container_id,
                             const int stdio[3],
                             int status,
                             RunOptions options);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_PROCESS_H_
