#ifndef CRISP_RUNTIME_SHIM_EXEC_TREE_H_
#define CRISP_RUNTIME_SHIM_EXEC_TREE_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// What tells the processes that an exec has begotten from the others of its container, in whose
// cgroup they all are.
struct ExecTree {
  const char* cgroup = "";  // theirs; "": none, then only the exec's session dies
  pid_t pid = 0;            // the exec's own process, and the session that it has begun
  // The inode of the cgroup namespace that only they are in: it is inherited, however a process
  // forks away, and to leave it takes CAP_SYS_ADMIN. 0: they have none of their own, then they are
  // those of the session and all their descendants. Who asks holds the namespace, or its number is
  // another's by now.
  uint64_t mark = 0;
};

// The inode of the cgroup namespace that a process is in; 0 when it has ended.
uint64_t CgroupNamespaceOf(pid_t pid);

// SIGKILLs them all, until a look finds none that was not sent it before; freezes the cgroup in
// between when they fork faster than that. Begins it, for one tree at a time, whose cgroup's name
// must last: false and g_error when that cannot be.
bool BeginKillTree(const ExecTree& tree);
enum class Killing { kGoesOn, kDone, kFailed };  // kFailed: g_error
// Goes on with it for a millisecond or two, however many they are: others are served in between.
Killing KillSome();
// Milliseconds until there is something to do again.
int KillPause();

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_EXEC_TREE_H_
