#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "runtime/shim/birth.h"
#include "runtime/shim/connection.h"
#include "runtime/shim/exec_tree.h"
#include "runtime/shim/pod.h"

namespace crisp::shim {

Exec* g_execs = nullptr;

namespace {

// The place of an exec's child.
struct ExecEntry {
  CgroupEntry cgroups;
  // True if it gets a cgroup namespace of its own, so that its descendants are known.
  bool own_cgroup_ns = false;
};

// Its PID namespace is then that of this process' next child only, and nothing in there sees this
// one.
bool EnterContainer(int pidfd) {
  const int flags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS |
                    CLONE_NEWPID | (g_pod.has_userns() ? CLONE_NEWUSER : 0);
  if (SysSetns(pidfd, flags) != 0) return Fail("enter the container's namespaces");
  if (!g_pod.has_userns()) return true;
  return (syscall(SYS_setgroups, 0, nullptr) == 0 && syscall(SYS_setresgid, 0, 0, 0) == 0 &&
          syscall(SYS_setresuid, 0, 0, 0) == 0) ||
         Fail("become root of the user namespace");
}

// The helper, which becomes what the container may see and only then gives birth to the exec's
// process.
[[noreturn]] void RunExecHelper(
    const ExecView& plan, const ExecEntry& entry, int pidfd, const int stdio[3], int status) {
  const CgroupEntry& cgroups = entry.cgroups;
  if (g_pod.has_userns()) GiveStdio(plan.process, stdio);
  if (!SetLabels(plan.process) ||
      !EnterCgroupsAndLimits(plan.process, cgroups.tasks(), cgroups.task_count()) ||
      !EnterContainer(pidfd)) {
    ReportAndExit(status);
  }
  // It has the same root as the container's. Without it there is still the session to know them by.
  if (entry.own_cgroup_ns) (void)SysUnshare(CLONE_NEWCGROUP);
  constexpr RunOptions kOptions = {.joins = true, .gated = false};
  if (!plan.process.terminal) RunProcess(plan.process, plan.container_id, stdio, status, kOptions);
  const int devpts =
      SysOpenat2(AT_FDCWD, "/dev/pts", O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS);
  if (devpts < 0) {
    Fail("open /dev/pts");
    ReportAndExit(status);
  }
  const int slave = OpenTerminal(devpts, plan.process, status);
  if (slave < 0) ReportAndExit(status);
  const int terminal[3] = {slave, slave, slave};
  RunProcess(plan.process, plan.container_id, terminal, status, kOptions);
}

// The helper, in the container's cgroup: 0 in it; -1 with g_error.
pid_t CloneHelper(const ExecView& plan, ExecEntry* entry, pid_t init, Process* helper) {
  pid_t child = CloneSelf(0, helper, entry->cgroups.unified());
  if (child < 0 && (errno == EBUSY || errno == EOPNOTSUPP) && plan.cgroup_v2) {
    // The container's first process has handed controllers down and moved further down itself. A
    // namespace that begins there would show another root than the container's.
    entry->own_cgroup_ns = false;
    if (!entry->cgroups.OpenWhereInitIs(*plan.cgroup_dirs.begin(), init)) return -1;
    child = CloneSelf(0, helper, entry->cgroups.unified());
  }
  if (child < 0) Fail("create the exec's process");
  return child;
}

// The relay between the terminal's master and the daemon's descriptors, which it duplicates.
bool MakeRelay(const int stdio[3], Exec* exec) {
  Io* const io = exec->io = new Io;
  if (io == nullptr) return false;
  io->terminal = true;
  io->lossless = true;
  int* const copies[2] = {&io->relay_stdin, &io->relay_stdout};
  for (int i = 0; i < 2; ++i) {
    if (stdio[i] < 0) continue;
    *copies[i] = fcntl(stdio[i], F_DUPFD_CLOEXEC, 3);
    if (*copies[i] < 0) return Fail("duplicate the stdio of the exec");
  }
  return true;
}

// All that the shim will hold of it; nullptr and g_error.
Exec* MakeExec(const ExecView& plan, Container* container, const int stdio[3]) {
  Owner<Exec> exec(new Exec);
  if (exec.get() == nullptr) return nullptr;
  exec->container = container;
  exec->id = Duplicate(plan.exec_id.data, plan.exec_id.size);
  if (exec->id == nullptr) return nullptr;
  if (!plan.cgroup_dirs.empty()) {
    const Str cgroup = *plan.cgroup_dirs.begin();
    exec->cgroup = Duplicate(cgroup.data, cgroup.size);
    if (exec->cgroup == nullptr) return nullptr;
  }
  return !plan.process.terminal || MakeRelay(stdio, exec.get()) ? exec.Release() : nullptr;
}

}  // namespace

Exec::~Exec() {
  delete io;
  free(id);
  free(cgroup);
}

Exec* FindExec(const Str& id) {
  for (Exec* exec = g_execs; exec != nullptr; exec = exec->next) {
    if (strcmp(exec->id, id.c_str()) == 0) return exec;
  }
  return nullptr;
}

bool BeginExec(const char* bytes, size_t size, const int stdio[3], uint64_t request_id) {
  ExecView plan;
  if (!ReadPlan(bytes, size, PlanKind::kExec, &plan)) return false;
  Container* container = FindContainer(plan.container_id);
  if (container == nullptr) return Refuse(kNotFound, "no container", plan.container_id.c_str());
  if (container->state != State::kRunning) {
    return Refuse(kFailedPrecondition, "not running: container", plan.container_id.c_str());
  }
  if (FindExec(plan.exec_id) != nullptr) {
    return Refuse(kAlreadyExists, "the shim has exec", plan.exec_id.c_str());
  }
  Owner<Exec> owner(MakeExec(plan, container, stdio));
  if (owner.get() == nullptr) return false;
  Owner<Birth> birth(new Birth);
  if (birth.get() == nullptr) return false;
  ExecEntry entry;
  entry.own_cgroup_ns = container->own_cgroup_ns && !plan.cgroup_dirs.empty();
  if (!entry.cgroups.Open(plan.cgroup_dirs, plan.cgroup_v2)) return false;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail("make a socket pair");
  }
  Fd status(ends[0]);
  const Fd theirs(ends[1]);
  Process helper;
  const pid_t child = CloneHelper(plan, &entry, container->process.pid, &helper);
  if (child == 0) {
    status.Reset();
    RunExecHelper(plan, entry, container->process.pidfd.get(), stdio, theirs.get());
  }
  if (child < 0) return false;
  Exec* const exec = owner.Release();
  exec->own_cgroup_ns = entry.own_cgroup_ns;
  exec->next = g_execs;
  g_execs = exec;
  birth->helper.TakeFrom(&helper);
  birth.Release()->Begin(nullptr, exec, status.Release(), request_id);
  return true;
}

// A process that its helper has not told of does not go on without the shim's leave.
void KillExec(Exec* exec) {
  if (exec->ended || exec->dying) return;
  if (Birth* birth = FindBirth(exec)) {
    birth->killed = true;
    (void)birth->helper.Signal(SIGKILL);
  }
  exec->dying = exec->process.alive();
}

void KillExec(const Str& id, uint64_t request_id) {
  Exec* const exec = FindExec(id);
  if (exec != nullptr) KillExec(exec);
  if (exec == nullptr || !exec->dying) {
    ReplyPlain(request_id, true);
  } else if (exec->asker_count == Exec::kMostAskers) {
    ReplyPlain(request_id, Refuse(kUnavailable, "it is being killed already: exec", id.c_str()));
  } else {
    exec->askers[exec->asker_count++] = request_id;
  }
}

namespace {

Exec* g_killed = nullptr;  // whose tree is being killed; the others wait for their turn

// False: there is nothing to kill, or g_error. Once its process has been reaped its number tells
// nothing, and what it has left behind is the container's.
bool BeginKill(Exec* exec, bool* good) {
  struct stat mark = {};
  if (exec->cgroup_namespace.valid()) (void)fstat(exec->cgroup_namespace.get(), &mark);
  *good = true;
  if (!exec->process.alive() && mark.st_ino == 0) return false;
  return *good = BeginKillTree(
             {exec->cgroup == nullptr ? "" : exec->cgroup, exec->process.pid, mark.st_ino});
}

// Its process last: whose parent has died is nobody's descendant any more.
void EndKill(Exec* exec, bool good) {
  const Error error = g_error;
  (void)exec->process.Signal(SIGKILL);
  g_error = error;
  exec->dying = false;
  while (exec->asker_count > 0) ReplyPlain(exec->askers[--exec->asker_count], good);
}

}  // namespace

void ServeKills() {
  if (g_killed == nullptr) {
    Exec* next = g_execs;
    while (next != nullptr && !next->dying) next = next->next;
    if (next == nullptr) return;
    bool good;
    if (!BeginKill(next, &good)) return EndKill(next, good);
    g_killed = next;
  }
  const Killing killing = KillSome();
  if (killing == Killing::kGoesOn) return;
  Exec* const exec = g_killed;
  g_killed = nullptr;
  EndKill(exec, killing == Killing::kDone);
}

int KillTimeout() {
  if (g_killed != nullptr) return KillPause();
  for (const Exec* exec = g_execs; exec != nullptr; exec = exec->next) {
    if (exec->dying) return 0;
  }
  return -1;
}

void FinishKills(uint64_t nanoseconds) {
  const uint64_t until = Monotonic() + nanoseconds;
  for (int pause = KillTimeout(); pause >= 0 && Monotonic() < until; pause = KillTimeout()) {
    (void)poll(nullptr, 0, pause);
    ServeKills();
  }
}

void SweepExecs(bool connected) {
  Exec** link = &g_execs;
  while (*link != nullptr) {
    Exec* exec = *link;
    const bool told = exec->announced || !connected;
    if (exec->ended && !exec->dying && told && (exec->io == nullptr || exec->io->flushed())) {
      *link = exec->next;
      delete exec;
    } else {
      link = &exec->next;
    }
  }
}

}  // namespace crisp::shim
