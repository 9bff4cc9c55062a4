#include "runtime/shim/exec_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

constexpr int kMostProcesses = 8192;
constexpr int kMostGroups = 2000;
constexpr int kMostDepth = 16;
constexpr int kRounds = 100;
constexpr int kPatientRounds = 4;  // before the cgroup is frozen

struct Process {
  pid_t pid = 0, parent = 0, session = 0;
  uint64_t started = 0;  // with the pid: whose it is
  bool ours = false;
};

// Of one round, and what has its SIGKILL from an earlier one and so begets nobody. They are not touched,
// and so no memory, until there is something to kill.
Process g_listed[kMostProcesses], g_told[kMostProcesses];
int g_listed_count, g_told_count;

// The numbers in /proc/<pid>/stat behind the name. False when it has ended.
bool Look(pid_t pid, Process* process) {
  Text<40> path;
  path.Add("/proc/").AddNumber(pid).Add("/stat");
  const Fd file(open(path.data, O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t n = file.valid() ? read(file.get(), text, sizeof(text) - 1) : -1;
  if (n <= 0) return false;
  text[n] = '\0';
  const char* at = strrchr(text, ')');
  if (at == nullptr || at[1] == '\0' || at[2] == 'Z' || at[2] == 'X') return false;
  process->pid = pid;
  at += 3;
  for (int field = 4; field <= 22 && *at != '\0'; ++field) {
    char* end = nullptr;
    const uint64_t value = strtoull(at, &end, 10);
    if (field == 4) process->parent = static_cast<pid_t>(value);
    if (field == 6) process->session = static_cast<pid_t>(value);
    if (field == 22) process->started = value;
    at = end;
  }
  return process->started != 0;
}

bool Belongs(const ExecTree& tree, const Process& process) {
  if (tree.mark != 0) return CgroupNamespaceOf(process.pid) == tree.mark;
  return process.pid == tree.pid || process.session == tree.pid;
}

void ListOne(const ExecTree& tree, pid_t pid) {
  Process process;
  if (pid <= 0 || g_listed_count == kMostProcesses || !Look(pid, &process)) return;
  process.ours = Belongs(tree, process);
  g_listed[g_listed_count++] = process;
}

// Whoever is in the cgroup and in those below it: what an exec starts may have moved down.
void ListGroup(const ExecTree& tree, int parent, const char* name, int depth, int* left) {
  if (depth > kMostDepth || --*left < 0) return;
  const int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (dir < 0) return;
  const Fd file(openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC));
  char buffer[4096];
  pid_t pid = 0;
  ssize_t n;
  while (file.valid() && (n = read(file.get(), buffer, sizeof(buffer))) > 0) {
    for (ssize_t i = 0; i < n; ++i) {
      if (buffer[i] != '\n') {
        pid = pid * 10 + (buffer[i] - '0');
        continue;
      }
      ListOne(tree, pid);
      pid = 0;
    }
  }
  DIR* entries = fdopendir(dir);
  if (entries == nullptr) {
    close(dir);
    return;
  }
  while (const dirent* entry = readdir(entries)) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    ListGroup(tree, dir, entry->d_name, depth + 1, left);
  }
  closedir(entries);
}

const Process* Find(const Process* list, int count, pid_t pid) {
  for (int i = 0; i < count; ++i) {
    if (list[i].pid == pid) return &list[i];
  }
  return nullptr;
}

// Children of what is ours are as well, although they are in another session or namespace.
void AddDescendants() {
  for (bool more = true; more;) {
    more = false;
    for (int i = 0; i < g_listed_count; ++i) {
      Process& process = g_listed[i];
      if (process.ours) continue;
      const Process* parent = Find(g_listed, g_listed_count, process.parent);
      if (parent != nullptr && parent->ours) process.ours = more = true;
    }
  }
}

// Whether it was there to be sent it. A pid that still means the same process after its pidfd was opened is
// what the pidfd means.
bool Signal(const Process& process) {
  const Fd pidfd(SysPidfdOpen(process.pid));
  Process now;
  return pidfd.valid() && Look(process.pid, &now) && now.started == process.started &&
         SysPidfdSignal(pidfd.get(), SIGKILL) == 0;
}

// How many were sent it for the first time.
int SignalListed() {
  int fresh = 0;
  for (int i = 0; i < g_listed_count; ++i) {
    const Process& process = g_listed[i];
    if (!process.ours) continue;
    const Process* told = Find(g_told, g_told_count, process.pid);
    if (told != nullptr && told->started == process.started) continue;
    if (!Signal(process)) continue;
    ++fresh;
    if (g_told_count < kMostProcesses) g_told[g_told_count++] = process;
  }
  return fresh;
}

// Freezes a cgroup while in scope; one that is frozen already stays so.
class Frozen {
 public:
  explicit Frozen(int dir) : dir_(dir) {
    if (Freeze("cgroup.freeze", "0", "1")) return;
    (void)Freeze("freezer.state", "THAWED", "FROZEN");
  }
  ~Frozen() {
    if (thaw_ != nullptr) (void)WriteFileAt(dir_, file_, thaw_);
  }

 private:
  // Whether there is such a file.
  bool Freeze(const char* file, const char* thawed, const char* frozen) {
    const Fd state(openat(dir_, file, O_RDONLY | O_CLOEXEC));
    char first = 0;
    if (!state.valid() || read(state.get(), &first, 1) != 1) return false;
    if (first == thawed[0] && WriteFileAt(dir_, file, frozen)) {
      file_ = file;
      thaw_ = thawed;
    }
    return true;
  }

  const int dir_;
  const char *file_ = nullptr, *thaw_ = nullptr;
};

void Pause() {
  const timespec millisecond = {.tv_sec = 0, .tv_nsec = 1000000};
  nanosleep(&millisecond, nullptr);
}

int KillRound(const ExecTree& tree, int dir) {
  int left = kMostGroups;
  g_listed_count = 0;
  ListGroup(tree, dir, ".", 0, &left);
  AddDescendants();
  return SignalListed();
}

}  // namespace

uint64_t CgroupNamespaceOf(pid_t pid) {
  Text<40> path;
  path.Add("/proc/").AddNumber(pid).Add("/ns/cgroup");
  struct stat about;
  return stat(path.data, &about) == 0 ? about.st_ino : 0;
}

bool KillTree(const ExecTree& tree) {
  Fd dir;
  if (tree.cgroup[0] != '\0') {
    const HostScope host;
    if (!host.entered()) return false;
    dir.Reset(open(tree.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir.valid() && errno == ENOENT) return true;
    if (!dir.valid()) return Fail("open the cgroup", tree.cgroup);
  }
  if (!dir.valid()) {
    (void)kill(-tree.pid, SIGKILL);
    (void)kill(tree.pid, SIGKILL);
    return true;
  }
  g_told_count = 0;
  for (int round = 0; round < kRounds; ++round) {
    if (round < kPatientRounds) {
      if (KillRound(tree, dir.get()) == 0) return true;
      continue;
    }
    const Frozen frozen(dir.get());
    Pause();
    if (KillRound(tree, dir.get()) == 0) return true;
  }
  return Refuse(kDeadlineExceeded, "processes go on forking in the cgroup", tree.cgroup);
}

}  // namespace crisp::shim
