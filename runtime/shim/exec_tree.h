#ifndef CRISP_RUNTIME_SHIM_EXEC_TREE_H_
#define CRISP_RUNTIME_SHIM_EXEC_TREE_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// Tells the processes that an exec has begotten from the others of its container, in whose cgroup
// they all are.
struct ExecTree {
  const char* cgroup = "";  // theirs; "" for none: then only the exec's session dies
  pid_t pid = 0;            // the exec's own process, and the session that it has begun
  // The inode of the cgroup namespace that only they are in. A process inherits it however it forks
  // away, and needs CAP_SYS_ADMIN to leave it. 0 if they have none of their own: then they are the
  // processes of the session and all their descendants. The caller holds the namespace; otherwise
  // its number may be another's by now.
  uint64_t mark = 0;
};

// The inode of a process' cgroup namespace; 0 if it has ended.
uint64_t CgroupNamespaceOf(pid_t pid);

// Begins to send SIGKILL to them all, until a look finds none that was not sent it before, and none
// that ended by itself while it looked. If they fork faster than that, the cgroup is frozen in
// between. One tree at a time; its cgroup's name
// must last. False, with g_error, if that cannot be.
bool BeginKillTree(const ExecTree& tree);
enum class Killing { kGoesOn, kDone, kFailed };  // kFailed: g_error
// Goes on with it for a millisecond or two, however many they are, so that others are served in
// between.
Killing KillSome();
// Milliseconds until there is something to do again.
int KillPause();

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_EXEC_TREE_H_
