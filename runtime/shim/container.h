#ifndef CRISP_RUNTIME_SHIM_CONTAINER_H_
#define CRISP_RUNTIME_SHIM_CONTAINER_H_

#include "runtime/shim/cgroup.h"
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

// What only exists between Create and Start: the plan and the detached mounts.
struct Prepared {
  char* plan = nullptr;  // malloc'ed; `view` points into it
  ContainerView view;
  Fd root;
  int* mounts = nullptr;  // by index of view.mounts; -1: made by the child, or skipped
  bool* skipped = nullptr;
  int* device_binds = nullptr;  // by index of view.devices; -1: by mknod
  Fd mask_directory, mask_file;  // what the first masked ones get, and the others a clone of
  Fd stdio[3];                  // the container's ends
  ~Prepared();
};

struct Container;

// The status socket of a child on its way to execve.
class StartWatch : public Watch {
 public:
  void Ready(uint32_t events) override;
  // At most one process is being started; whichever it is.
  Container* container = nullptr;
  struct Exec* exec = nullptr;
  pid_t pid = 0;          // 0 until known
  Fd pidfd;               // of it
  uint64_t deadline = 0;  // Now() at which the child is killed
  bool failed = false;
  bool dead = false;      // the child had ended before it was told to go on
  Error error;
  // Children that ended before it was known which pid is the container's (user namespaces).
  static constexpr int kMostEarly = 8;
  pid_t early_pids[kMostEarly];
  int early_statuses[kMostEarly];
  int early = 0;
  Fd mount_table;  // the host's, where binds follow it
  void Begin(int fd);  // forgets the previous start
  void LearnPid(pid_t child);

 private:
  void TakeTerminal(int master);
};

enum class State : uint16_t { kCreated = 0, kRunning = 1, kExited = 2, kStarting = 3 };

struct Container {
  char* id = nullptr;
  State state = State::kCreated;
  pid_t pid = 0;
  uint64_t started_at = 0;
  Ending ending;
  // While kCreated: a child that has assembled the root, or is about to, and waits for Start at the
  // other end of `gate`; 0: there is none.
  pid_t waiting = 0;
  Fd gate;
  bool reaped = false;  // that one, or while kStarting the one: has died already, with `wait_status`
  int wait_status = 0;
  // It has ended, and what it said is on its way to the log, for which its exit waits until then.
  bool settling = false, drained = false;
  uint64_t settle_by = 0;
  bool announced = false;  // the daemon has been told of the exit
  char* exit_record = nullptr;
  bool own_pid_ns = true;
  bool own_cgroup_ns = true;
  Prepared* prepared = nullptr;
  Io io;
  Container* next = nullptr;
  ~Container();
};

struct Exec {
  char* id = nullptr;
  Container* container = nullptr;
  pid_t pid = 0;
  uint64_t started_at = 0;
  bool running = false;  // execve has succeeded
  bool reaped = false;
  int wait_status = 0;
  bool ended = false;
  Ending ending;
  bool announced = false;
  char* cgroup = nullptr;    // the container's
  bool own_cgroup_ns = false;  // it has unshared one
  uint64_t mark = 0;           // that one, once the exec runs
  Io* io = nullptr;      // with a terminal only
  Exec* next = nullptr;
  ~Exec();
};

extern Container* g_containers;
extern Exec* g_execs;
extern StartWatch g_start;

Container* FindContainer(const Str& id);
Exec* FindExec(const Str& id);

// Takes the malloc'ed plan on success. `root`: the overlay, when it is mounted already; taken.
bool CreateContainer(char* plan, size_t size, Fd* root, const LayerFds& layers);
// Clones the child of a container that CreateContainer() has made, so that its root stands when the
// start is asked for. Its errors come with the start; what is not there (nullptr) or has one is left.
void AssembleAhead(Container* container);
// Ends the child that waits, if one does.
void EndWaiting(Container* container);
// Starts the child, or lets the one that waits go on; g_start tells the end of it. False: could not even begin (and then the
// container has exited with 128, unless it was not in state kCreated).
bool BeginStart(Container* container);
bool RemoveContainer(const Str& id);
bool ReopenLog(const Str& id);
bool SignalContainer(const Str& id, int signal);
bool AttachContainer(const Str& id, int stdio[3]);  // takes the descriptors on success
bool ResizeTerminal(const Str& id, const Str& exec_id, uint16_t rows, uint16_t columns);

bool BeginExec(const char* plan, size_t size, const int stdio[3]);
bool KillExec(const Str& id);

// Reaps every child that has ended and books what it was.
void ReapChildren();
// After g_start's socket has closed: settles the state and reaps what died meanwhile. Then the
// server answers the request.
void SettleStart();
// Removes execs that have ended, are announced (or nobody is there to be told) and are flushed.
void SweepExecs(bool connected);

// Between container_start.cc and container_exit.cc. A record that cannot be written is left out:
// the daemon still learns of the exit from Report or the event.
void WriteExitRecord(const Container& container);
void BookExit(Container* container, int wait_status);
// Whatever waited for the log writer and may go on: exits, and output that had no room.
void ServeLogs();
void BookExecExit(Exec* exec, int wait_status);
// Whether `pid` is the process being started, dead before its start was settled.
bool BookStarting(pid_t pid, int wait_status);

// In the child (container_child.cc).
struct StartPlan {
  const Prepared* prepared;
  const CgroupEntry* cgroups;
  int status;
  int join_pid;  // a pidfd or namespace descriptor for setns(CLONE_NEWPID); -1: new or own
  bool gated;    // the child waits for kGo before it takes its program's privileges
};
[[noreturn]] void RunContainerChild(const StartPlan& start);
uint64_t InitCloneFlags(const ContainerView& plan);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_CONTAINER_H_
