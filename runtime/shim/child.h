#ifndef CRISP_RUNTIME_SHIM_CHILD_H_
#define CRISP_RUNTIME_SHIM_CHILD_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// A child of the shim's from its birth on. Everything is done to it by the descriptor. The number
// is for people, and to know whose end waitid(2) tells.
struct Process {
  pid_t pid = 0;  // 0 if there is none, or it is not known yet
  Fd pidfd;
  bool reaped = false;
  int wait_status = 0;                          // once reaped
  static constexpr int kLostStatus = 255 << 8;  // it has ended, and nobody can say how
  bool alive() const { return pid > 0 && !reaped; }
  void TakeFrom(Process* other);
  // True also for one that has ended. False with g_error.
  bool Signal(int signal) const;
  // Takes its wait status if it has ended. False if it has not.
  bool Reap();
  // Sends SIGKILL and waits a moment for its end. The reaping of children finds a later one.
  void Kill();
};

// True if the process behind `pidfd` is a child of this one that nobody has reaped.
bool IsChild(int pidfd);

// Starts a child that has this process' memory, and fills in *child (nullptr for one that WaitFor()
// ends at once). 0 in the child; -1 with errno.
pid_t CloneSelf(uint64_t flags, Process* child, int cgroup_fd);
// Waits for one child, whatever signals come. Returns the wait status.
int WaitFor(pid_t pid);

// The number of any child that has ended, which stays its own until Reap(); 0 if none has.
pid_t PeekEnded();
// Reaps one that nobody knows.
void ReapStranger(pid_t pid);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_CHILD_H_
