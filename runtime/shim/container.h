#ifndef CRISP_RUNTIME_SHIM_CONTAINER_H_
#define CRISP_RUNTIME_SHIM_CONTAINER_H_

#include "runtime/shim/cgroup.h"
#include "runtime/shim/child.h"
#include "runtime/shim/io.h"
#include "runtime/shim/mounts.h"
#include "runtime/shim/process.h"
#include "runtime/shim/sys.h"

namespace crisp::shim {

struct Ending {
  int32_t exit_code = 0;  // 128 + signal when a signal ended it
  int32_t signal = 0;
  uint64_t at = 0;
  bool log_truncated = false;
};

// The plan and the detached mounts, which exist only between Create and Start.
struct Prepared : Fallible {
  char* plan = nullptr;  // malloc'ed; `view` points into it
  ContainerView view;
  Fd root;
  int* mounts = nullptr;  // by index of view.mounts; -1 if made by the child, or skipped
  bool* skipped = nullptr;
  int* device_binds = nullptr;   // by index of view.devices; -1 if made by mknod
  Fd mask_directory, mask_file;  // for the first masked paths; the others get a clone
  Fd stdio[3];                   // the container's ends
  ~Prepared();
};

enum class State : uint16_t { kCreated = 0, kRunning = 1, kExited = 2, kStarting = 3 };

struct Container : Fallible {
  char* id = nullptr;
  State state = State::kCreated;
  Process process;  // its first, from its birth to its end
  uint64_t started_at = 0;
  Ending ending;
  // While kCreated: a child that has assembled the root, or is about to. It waits for Start at the
  // other end of `gate`, if there is one.
  Process waiting;
  Fd gate;
  int signal_at_start = 0;  // requested while it was being started
  // `settling`: it has ended, and its exit waits until its output is in the log.
  bool settling = false, drained = false;
  uint64_t settle_by = 0;
  bool announced = false;  // the daemon has been told of the exit
  // The directory for its exit record, reached without a look at the host's mounts; "" for none.
  Fd exit_directory;
  char* exit_name = nullptr;
  bool unrecorded = false;  // the record could not be written, and is tried again
  bool own_pid_ns = true;
  bool own_cgroup_ns = true;
  Prepared* prepared = nullptr;
  Io io;
  Container* next = nullptr;
  ~Container();
};

struct Exec : Fallible {
  char* id = nullptr;
  Container* container = nullptr;
  Process process;
  uint64_t started_at = 0;
  bool running = false;  // execve has succeeded
  bool ended = false;
  Ending ending;
  bool announced = false;
  char* cgroup = nullptr;      // the container's
  bool own_cgroup_ns = false;  // it has unshared one
  // the namespace, once the exec runs; while it is held, no other has its number
  Fd cgroup_namespace;
  Io* io = nullptr;  // with a terminal only
  // True while its tree is to be killed. The rest says who is told when that is done.
  bool dying = false;
  static constexpr int kMostAskers = 4;
  uint64_t askers[kMostAskers];
  int asker_count = 0;
  Exec* next = nullptr;
  ~Exec();
};

extern Container* g_containers;
extern Exec* g_execs;

Container* FindContainer(const Str& id);
Exec* FindExec(const Str& id);

// Takes the malloc'ed plan on success. `root` is the overlay, if it is mounted already; it is
// taken.
bool CreateContainer(char* plan, size_t size, Fd* root, const LayerFds& layers);
// Clones the child of a container that CreateContainer() has made, so that its root stands when the
// start comes. Its errors come with the start. A container that does not exist (nullptr) or has a
// child is left.
void AssembleAhead(Container* container);
// Ends the waiting child, if there is one.
void EndWaiting(Container* container);
// Starts the child, or lets the waiting one go on. A Birth (birth.h) tells the end of it and
// answers the request. False if it could not begin. The container has then exited with 128, unless
// it was not in state kCreated.
bool BeginStart(Container* container, uint64_t request_id);
bool RemoveContainer(const Str& id);
bool ReopenLog(const Str& id);
bool SignalContainer(const Str& id, int signal);
bool AttachContainer(const Str& id, int stdio[3]);  // takes the descriptors on success
bool ResizeTerminal(const Str& id, const Str& exec_id, uint16_t rows, uint16_t columns);

bool BeginExec(const char* plan, size_t size, const int stdio[3], uint64_t request_id);
// Begins to end an exec with everything that it has begotten. The loop does a part of it in each
// turn.
void KillExec(Exec* exec);
// The same, and answers the request once it is done, or now.
void KillExec(const Str& id, uint64_t request_id);
void ServeKills();
// Milliseconds until the next part is due; -1 if nothing is to be killed.
int KillTimeout();
// Goes on with them until there is none left, for no longer than this time.
void FinishKills(uint64_t nanoseconds);

// Reaps the children that have ended and books them. One that nobody knows yet is left while a
// process is being born whose number has not come: it may be that one, and until it is reaped its
// number is nobody else's.
void ReapChildren();
// Removes execs that have ended, are announced (or nobody is there to be told) and are flushed.
void SweepExecs(bool connected);

// True if a child with this number is one of those that have a name here.
bool IsKnown(pid_t pid);
// Books the end of every running container whose process has ended, whatever was said of it.
void BookTheDead();

// Shared by birth.cc, container_start.cc and container_exit.cc. A record that cannot be written now
// is written later. Until then the daemon learns of the exit from Report or the event.
void WriteExitRecord(Container* container);
// Books the exit of a container whose process has been reaped.
void BookExit(Container* container);
// Lets everything go on that waited for the log writer: exits, and output that had no room.
void ServeLogs();
void BookExecExit(Exec* exec);
// Books a container that could not be started.
void FailStart(Container* container);

// In the child (container_child.cc).
struct StartPlan {
  const Prepared* prepared;
  const CgroupEntry* cgroups;
  int status;
  int join_pid;  // a pidfd or namespace descriptor for setns(CLONE_NEWPID); -1: new or the shim's
                 // own
  bool gated;    // the child waits for kGo before it takes its program's privileges
};
[[noreturn]] void RunContainerChild(const StartPlan& start);
uint64_t InitCloneFlags(const ContainerView& plan);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_CONTAINER_H_
