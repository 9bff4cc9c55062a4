#include "runtime/shim/exec_tree.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

constexpr int kMostProcesses = 8192;
constexpr int kMostGroups = 2000;
constexpr int kMostDepth = 16;
constexpr int kRounds = 100;
constexpr int kPatientRounds = 4;  // before the cgroup is frozen
constexpr int kAtOnce = 64;        // processes that are looked at, or signalled, in one go
constexpr uint64_t kFreezeTime = 20ull * 1000000u;
constexpr uint64_t kLimit = 4ull * 1000000000u;  // whoever asks waits for five seconds

enum class Whose : uint8_t { kUnknown, kBeingSought, kOthers, kOurs };

struct Process {
  pid_t pid = 0, parent = 0, session = 0;
  Whose whose = Whose::kUnknown;
  bool told = false;     // it has its SIGKILL
  uint64_t started = 0;  // with the pid: whose it is; 0: it has ended
};

// Of one round, and what has its SIGKILL from an earlier one and so begets nobody: both in the
// order of their numbers. They are not touched, and so no memory, until there is something to kill.
Process g_listed[kMostProcesses], g_told[kMostProcesses];
int g_listed_count, g_told_count;

enum class Step { kFreeze, kList, kLook, kSignal };

struct Job {
  ExecTree tree;
  Fd dir;  // invalid: the tree has no cgroup
  int round = 0;
  Step step = Step::kFreeze;
  int at = 0;               // in g_listed, of kLook and kSignal
  int fresh = 0;            // how many were to get it in this round for the first time
  bool incomplete = false;  // not all could be seen
  uint64_t until = 0, frozen_until = 0;
  // The file with which the cgroup was frozen, and what thaws it; nullptr: it was not, or by
  // somebody else.
  const char *freeze_file = nullptr, *thaw = nullptr;
};
Job g_job;

struct Entry {  // linux_dirent64
  uint64_t inode, offset;
  uint16_t size;
  uint8_t type;
  char name[1];  // and more
};

// The numbers in /proc/<pid>/stat behind the name. False when it has ended. Whose first thread has
// ended is called a zombie, and lives while it has others.
bool Look(pid_t pid, Process* process) {
  Text<40> path;
  path.Add("/proc/").AddNumber(pid).Add("/stat");
  const Fd file(open(path.data, O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t n = file.valid() ? read(file.get(), text, sizeof(text) - 1) : -1;
  if (n <= 0) {
    if (n < 0 && errno != ENOENT && errno != ESRCH) g_job.incomplete = true;
    return false;
  }
  text[n] = '\0';
  const char* at = strrchr(text, ')');
  if (at == nullptr || at[1] == '\0' || at[2] == 'X') return false;
  const bool zombie = at[2] == 'Z';
  process->pid = pid;
  at += 3;
  for (int field = 4; field <= 22 && *at != '\0'; ++field) {
    char* end = nullptr;
    const uint64_t value = strtoull(at, &end, 10);
    if (field == 4) process->parent = static_cast<pid_t>(value);
    if (field == 6) process->session = static_cast<pid_t>(value);
    if (field == 20 && zombie && value < 2) return false;
    if (field == 22) process->started = value;
    at = end;
  }
  return process->started != 0;
}

// The mark of a process whose first thread may have ended, which has no namespaces then: that of
// the first thread that has. 0 if there is none.
uint64_t MarkOf(pid_t pid) {
  if (const uint64_t mark = CgroupNamespaceOf(pid); mark != 0) return mark;
  Text<40> path;
  path.Add("/proc/").AddNumber(pid).Add("/task");
  const Fd tasks(open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  alignas(Entry) char buffer[1024];
  long n = -1;
  while (tasks.valid() && (n = syscall(SYS_getdents64, tasks.get(), buffer, sizeof(buffer))) > 0) {
    for (long at = 0; at < n;) {
      const Entry* const entry = reinterpret_cast<const Entry*>(buffer + at);
      at += entry->size;
      Text<40> link;
      link.Add(entry->name).Add("/ns/cgroup");
      struct stat about;
      if (entry->name[0] != '.' && fstatat(tasks.get(), link.data, &about, 0) == 0)
        return about.st_ino;
    }
  }
  return 0;
}

// 0 as its mark: it has ended since it was looked at, or may not be asked.
Whose WhoseIs(const Process& process) {
  const ExecTree& tree = g_job.tree;
  if (tree.mark == 0) {
    const bool ours = process.pid == tree.pid || process.session == tree.pid;
    return ours ? Whose::kOurs : Whose::kUnknown;
  }
  const uint64_t mark = MarkOf(process.pid);
  if (mark == 0) g_job.incomplete = true;
  return mark == tree.mark ? Whose::kOurs : Whose::kUnknown;
}

void ListOne(pid_t pid) {
  if (pid <= 0) return;
  if (g_listed_count == kMostProcesses) {
    g_job.incomplete = true;
    return;
  }
  g_listed[g_listed_count] = Process();
  g_listed[g_listed_count++].pid = pid;
}

void ListProcesses(int group) {
  const Fd file(openat(group, "cgroup.procs", O_RDONLY | O_CLOEXEC));
  static char buffer[4096];
  pid_t pid = 0;
  ssize_t n = -1;
  while (file.valid() && (n = read(file.get(), buffer, sizeof(buffer))) > 0) {
    for (ssize_t i = 0; i < n; ++i) {
      if (buffer[i] != '\n') {
        pid = pid * 10 + (buffer[i] - '0');
        continue;
      }
      ListOne(pid);
      pid = 0;
    }
  }
  if (n < 0 && errno != ENOENT && errno != ENODEV) g_job.incomplete = true;
}

void ListGroup(int parent, const char* name, int depth, int* left);

// Lists the processes in the cgroups below it, because those that an exec starts may have moved
// down.
void ListBelow(int group, int depth, int* left) {
  constexpr uint8_t kDirectory = 4;
  alignas(Entry) char buffer[1024];
  long n;
  while ((n = syscall(SYS_getdents64, group, buffer, sizeof(buffer))) > 0) {
    for (long at = 0; at < n;) {
      const Entry* const entry = reinterpret_cast<const Entry*>(buffer + at);
      if (entry->type == kDirectory && entry->name[0] != '.')
        ListGroup(group, entry->name, depth + 1, left);
      at += entry->size;
    }
  }
  if (n < 0 && errno != ENOENT) g_job.incomplete = true;
}

void ListGroup(int parent, const char* name, int depth, int* left) {
  if (depth > kMostDepth || --*left < 0) {
    g_job.incomplete = true;
    return;
  }
  const Fd group(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!group.valid()) {
    if (errno != ENOENT && errno != ENODEV) g_job.incomplete = true;
    return;
  }
  ListProcesses(group.get());
  ListBelow(group.get(), depth, left);
}

int ByNumber(const void* a, const void* b) {
  const pid_t one = static_cast<const Process*>(a)->pid,
              other = static_cast<const Process*>(b)->pid;
  return one < other ? -1 : (one > other ? 1 : 0);
}

void List() {
  int left = kMostGroups;
  g_listed_count = 0;
  ListGroup(g_job.dir.get(), ".", 0, &left);
  qsort(g_listed, static_cast<size_t>(g_listed_count), sizeof(Process), ByNumber);
}

Process* Find(Process* list, int count, pid_t pid) {
  Process key;
  key.pid = pid;
  return static_cast<Process*>(
      bsearch(&key, list, static_cast<size_t>(count), sizeof(Process), ByNumber));
}

// Children of what is ours are as well, although they are in another session or namespace. Each
// process is passed once: what is found out at the end of a line of parents holds for all on the
// way. Numbers that were given out anew while they were looked at may make a circle, which nobody
// has begun.
void FindDescendants() {
  for (int i = 0; i < g_listed_count; ++i) {
    Process* end = &g_listed[i];
    while (end != nullptr && end->whose == Whose::kUnknown) {
      end->whose = Whose::kBeingSought;
      end = Find(g_listed, g_listed_count, end->parent);
    }
    const Whose whose =
        end != nullptr && end->whose == Whose::kOurs ? Whose::kOurs : Whose::kOthers;
    for (Process* process = &g_listed[i];
         process != nullptr && process->whose == Whose::kBeingSought;) {
      process->whose = whose;
      process = Find(g_listed, g_listed_count, process->parent);
    }
  }
}

// A process that has ended since it was listed may have begotten one that was listed no more. One
// that had its SIGKILL before has not.
void NoteEnded(Process* process) {
  process->told = Find(g_told, g_told_count, process->pid) != nullptr;
  if (!process->told) g_job.incomplete = true;
}

// Sends SIGKILL. True if the process was there. A pid that still means the same process after its
// pidfd was opened is what the pidfd means.
bool Signal(const Process& process) {
  const Fd pidfd(SysPidfdOpen(process.pid));
  if (!pidfd.valid() && errno != ESRCH) g_job.incomplete = true;
  Process now;
  return pidfd.valid() && Look(process.pid, &now) && now.started == process.started &&
         SysPidfdSignal(pidfd.get(), SIGKILL) == 0;
}

bool WasTold(const Process& process) {
  const Process* const told = Find(g_told, g_told_count, process.pid);
  return told != nullptr && told->started == process.started;
}

// Freezes the cgroup, unless somebody else has. True if there is such a file.
bool FreezeBy(const char* file, const char* thawed, const char* frozen) {
  const Fd state(openat(g_job.dir.get(), file, O_RDONLY | O_CLOEXEC));
  char first = 0;
  if (!state.valid() || read(state.get(), &first, 1) != 1) return false;
  if (first == thawed[0] && WriteFileAt(g_job.dir.get(), file, frozen)) {
    g_job.freeze_file = file;
    g_job.thaw = thawed;
  }
  return true;
}

// False: it is still frozen by us, and this is to be tried again.
bool Thaw() {
  if (g_job.thaw == nullptr) return true;
  if (!WriteFileAt(g_job.dir.get(), g_job.freeze_file, g_job.thaw) &&
      g_error.error_number != ENOENT && g_error.error_number != ENODEV) {
    return false;
  }
  g_job.thaw = nullptr;
  return true;
}

bool RoundIsOver() { return g_job.step == Step::kSignal && g_job.at == g_listed_count; }

// True if all of them stand still, and also if that takes too long, because one is in
// uninterruptible sleep.
bool StandStill() {
  if (g_job.thaw == nullptr || Monotonic() >= g_job.frozen_until) return true;
  const bool v2 = strcmp(g_job.freeze_file, "cgroup.freeze") == 0;
  const Fd file(
      openat(g_job.dir.get(), v2 ? "cgroup.events" : "freezer.state", O_RDONLY | O_CLOEXEC));
  char text[256];
  const ssize_t n = file.valid() ? read(file.get(), text, sizeof(text) - 1) : -1;
  if (n <= 0) return true;
  text[n] = '\0';
  return v2 ? strstr(text, "frozen 1") != nullptr : strncmp(text, "FROZEN", 6) == 0;
}

// A round: stand still, if they have been too quick so far; list; look at each; signal each of
// ours.
void GoOn() {
  const int last = g_job.at + kAtOnce < g_listed_count ? g_job.at + kAtOnce : g_listed_count;
  switch (g_job.step) {
    case Step::kFreeze:
      if (g_job.round >= kPatientRounds && g_job.frozen_until == 0) {
        g_job.frozen_until = Monotonic() + kFreezeTime;
        if (!FreezeBy("cgroup.freeze", "0", "1"))
          (void)FreezeBy("freezer.state", "THAWED", "FROZEN");
      }
      if (StandStill()) g_job.step = Step::kList;
      return;
    case Step::kList:
      List();
      g_job.step = Step::kLook;
      g_job.at = 0;
      return;
    case Step::kLook:
      for (; g_job.at < last; ++g_job.at) {
        Process& process = g_listed[g_job.at];
        if (Look(process.pid, &process))
          process.whose = WhoseIs(process);
        else
          NoteEnded(&process);
      }
      if (g_job.at < g_listed_count) return;
      FindDescendants();
      g_job.step = Step::kSignal;
      g_job.at = 0;
      return;
    case Step::kSignal:
      for (; g_job.at < last; ++g_job.at) {
        Process& process = g_listed[g_job.at];
        if (process.whose != Whose::kOurs) continue;
        process.told = WasTold(process);
        if (process.told) continue;
        process.told = Signal(process);
        ++g_job.fresh;  // also if it has ended by itself, for it may have begotten another before
      }
      return;
  }
}

// A process that is not listed any more has ended.
void EndRound() {
  g_told_count = 0;
  for (int i = 0; i < g_listed_count; ++i) {
    if (g_listed[i].told) g_told[g_told_count++] = g_listed[i];
  }
  ++g_job.round;
  g_job.step = Step::kFreeze;
  g_job.at = g_job.fresh = g_listed_count = 0;
  g_job.incomplete = false;
  g_job.frozen_until = 0;
}

Killing Conclude(Killing killing) {
  g_job.dir.Reset();
  return killing;
}

}  // namespace

uint64_t CgroupNamespaceOf(pid_t pid) {
  Text<40> path;
  path.Add("/proc/").AddNumber(pid).Add("/ns/cgroup");
  struct stat about;
  return stat(path.data, &about) == 0 ? about.st_ino : 0;
}

bool BeginKillTree(const ExecTree& tree) {
  g_job = Job();
  g_job.tree = tree;
  g_job.until = Monotonic() + kLimit;
  g_listed_count = g_told_count = 0;
  if (tree.cgroup[0] == '\0') return true;
  const HostScope host;
  if (!host.entered()) return false;
  g_job.dir.Reset(open(tree.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // If the cgroup is gone, nothing is in it.
  return g_job.dir.valid() || errno == ENOENT || Fail("open the cgroup", tree.cgroup);
}

Killing KillSome() {
  const ExecTree& tree = g_job.tree;
  if (!g_job.dir.valid()) {
    if (tree.cgroup[0] == '\0') (void)kill(-tree.pid, SIGKILL);
    return Killing::kDone;
  }
  GoOn();
  if (RoundIsOver()) {
    if (!Thaw()) return Killing::kGoesOn;
    if (g_job.fresh == 0 && !g_job.incomplete) return Conclude(Killing::kDone);
    EndRound();
  }
  if (g_job.round < kRounds && Monotonic() < g_job.until) return Killing::kGoesOn;
  if (!Thaw()) return Killing::kGoesOn;
  Refuse(kDeadlineExceeded, "processes go on forking in the cgroup", tree.cgroup);
  return Conclude(Killing::kFailed);
}

int KillPause() {
  const bool waits = g_job.step == Step::kFreeze || RoundIsOver();
  return g_job.dir.valid() && g_job.frozen_until != 0 && waits ? 1 : 0;
}

}  // namespace crisp::shim
