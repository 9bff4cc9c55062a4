#include "runtime/shim/container.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "runtime/shim/mounts.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/server.h"

namespace crisp::shim {

Container* g_containers = nullptr;
StartWatch g_start;

namespace {

constexpr uint64_t kStartLimit = 120ull * 1000000000u;

bool StrEquals(const char* a, const Str& b) { return strcmp(a, b.c_str()) == 0; }

// Whether the instance must see the container's own namespaces (or its user namespace), and so can
// only be made by the container's first process.
bool MadeByChild(const MountView& mount) {
  if (mount.kind != MountKind::kFs && mount.kind != MountKind::kDev) return false;
  if (g_pod.has_userns()) return true;
  if (mount.kind == MountKind::kDev) return false;
  const char* types[] = {"proc", "sysfs", "mqueue", "cgroup", "cgroup2"};
  for (const char* type : types) {
    if (mount.type == type) return true;
  }
  return false;
}

int BuildMount(const ContainerView& plan, const MountView& mount) {
  const char* label = plan.mount_label.c_str();
  switch (mount.kind) {
    case MountKind::kBind:
      return MountBind(mount);
    case MountKind::kFs:
      return MountFs(mount, label);
    case MountKind::kOverlay:
      return MountOverlay(mount.lowers, "", "", label);
    case MountKind::kDev:
      return MountDev(mount, plan.devices, label);
  }
  return -1;
}

bool BuildMounts(Prepared* prepared) {
  const ContainerView& plan = prepared->view;
  const size_t count = plan.mounts.size();
  prepared->mounts = static_cast<int*>(Allocate(count * sizeof(int)));
  prepared->skipped = static_cast<bool*>(Allocate(count * sizeof(bool)));
  for (size_t i = 0; i < count; ++i) prepared->mounts[i] = -1;
  int index = -1;
  for (const MountView& mount : plan.mounts) {
    ++index;
    if (mount.destination.size < 2 || mount.destination.data[0] != '/') {
      return Refuse(kInvalidArgument, "mount destination", mount.destination.c_str());
    }
    if (MadeByChild(mount)) continue;
    const int fd = BuildMount(plan, mount);
    if (fd < 0 && errno == ENOENT && mount.optional && mount.kind == MountKind::kBind) {
      prepared->skipped[index] = true;
      continue;
    }
    if (fd < 0) return false;
    prepared->mounts[index] = fd;
    if (!ApplyAttributes(fd, mount)) return false;
  }
  return true;
}

// The host's node, checked to be the device that the plan means.
int BindDevice(const DeviceView& device) {
  const char* path = device.host_path.empty() ? device.path.c_str() : device.host_path.c_str();
  int fd;
  {
    const HostScope host;
    if (!host.entered()) return -1;
    fd = SysOpenTree(AT_FDCWD, path, OPEN_TREE_CLONE);
  }
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) {
    Fail("bind device", path);
    if (fd >= 0) close(fd);
    return -1;
  }
  const mode_t type = device.type == 'b' ? S_IFBLK : (device.type == 'p' ? S_IFIFO : S_IFCHR);
  if ((status.st_mode & S_IFMT) != type ||
      (type != S_IFIFO && status.st_rdev != makedev(device.major, device.minor))) {
    close(fd);
    Refuse(kInvalidArgument, "not the device that was meant:", path);
    return -1;
  }
  return fd;
}

bool BuildDevices(Prepared* prepared) {
  const size_t count = prepared->view.devices.size();
  prepared->device_binds = static_cast<int*>(Allocate(count * sizeof(int)));
  for (size_t i = 0; i < count; ++i) prepared->device_binds[i] = -1;
  if (!g_pod.has_userns()) return true;
  int index = -1;
  for (const DeviceView& device : prepared->view.devices) {
    prepared->device_binds[++index] = BindDevice(device);
    if (prepared->device_binds[index] < 0) return false;
  }
  return true;
}

bool OpenStdio(Container* container) {
  const ContainerView& plan = container->prepared->view;
  Io& io = container->io;
  io.terminal = plan.process.terminal;
  io.stdin_once = plan.stdin_once;
  Output* outputs[] = {&io.out, &io.err};
  for (Output* output : outputs) output->lines.SetLimit(plan.max_log_line);
  if (!plan.log_path.empty()) {
    const HostScope host;
    if (!host.entered() || !io.log.Open(plan.log_path.c_str())) return false;
  }
  if (io.terminal) return true;  // the child makes it
  for (int i = 0; i < 3; ++i) {
    if (i == 0 && !plan.stdin_open) continue;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return Fail("make a pipe");
    container->prepared->stdio[i].Reset(ends[i == 0 ? 0 : 1]);
    if (i == 0) {
      io.in.Adopt(ends[1]);
    } else {
      outputs[i - 1]->Adopt(ends[0]);
    }
  }
  return true;
}

bool Prepare(Container* container) {
  Prepared* prepared = container->prepared;
  const ContainerView& plan = prepared->view;
  prepared->root.Reset(MountOverlay(plan.lower_dirs, plan.upper_dir.c_str(), plan.work_dir.c_str(),
                                    plan.mount_label.c_str()));
  return prepared->root.valid() && BuildMounts(prepared) && BuildDevices(prepared) &&
         OpenStdio(container);
}

// What to setns(CLONE_NEWPID) to before the clone; -1 in *fd: nothing. `hold` keeps it open.
bool FindPidNamespace(const ContainerView& plan, Fd* hold, int* fd) {
  *fd = -1;
  if (plan.pid == NamespaceMode::kPod) {
    *fd = g_pod.pod_pid.get();
    return *fd >= 0 || Refuse(kFailedPrecondition, "the pod shares no PID namespace");
  }
  if (plan.pid != NamespaceMode::kTarget) return true;
  // Only a child that this process has not reaped yet: its pid means nobody else.
  for (const Container* other = g_containers; other != nullptr; other = other->next) {
    if (other->state != State::kRunning || other->pid != plan.target_pid) continue;
    hold->Reset(SysPidfdOpen(other->pid));
    *fd = hold->get();
    return *fd >= 0 || Fail("open the target container's process");
  }
  return Refuse(kFailedPrecondition, "the target container does not run in this pod");
}

void WriteExitRecord(const Container& container) {
  if (container.exit_record[0] == '\0') return;
  Text<160> text;
  const Ending& ending = container.ending;
  text.Add("crisp-exit 1 ").AddNumber(ending.exit_code).Add(" ").AddNumber(ending.signal).Add(" ");
  text.AddNumber(static_cast<int64_t>(ending.at)).Add(" ").AddNumber(ending.log_truncated ? 1 : 0);
  text.Add("\n");
  Path temporary;
  temporary.Add(container.exit_record).Add(".new");
  const HostScope host;
  if (!host.entered()) return;
  {
    const Fd fd(open(temporary.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid() || write(fd.get(), text.data, text.size) != static_cast<ssize_t>(text.size)) {
      return;  // the daemon still learns of it from Report or the event
    }
  }
  (void)rename(temporary.data, container.exit_record);
}

void FailStart(Container* container) {
  container->state = State::kExited;
  container->announced = true;  // by the answer to the request
  container->ending = {.exit_code = 128, .signal = 0, .at = Now(), .log_truncated = false};
  container->pid = 0;
  delete container->prepared;
  container->prepared = nullptr;
  container->io.Drain();
  WriteExitRecord(*container);
}

Ending EndingOf(int wait_status) {
  Ending ending;
  ending.signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  ending.exit_code = ending.signal != 0 ? 128 + ending.signal : WEXITSTATUS(wait_status);
  ending.at = Now();
  return ending;
}

void BookExit(Container* container, int wait_status) {
  container->ending = EndingOf(wait_status);
  container->state = State::kExited;
  container->pid = 0;
  container->io.Drain();
  container->ending.log_truncated = container->io.log.dropping();
  WriteExitRecord(*container);
  AnnounceExits();
}

void BookExecExit(Exec* exec, int wait_status) {
  exec->ending = EndingOf(wait_status);
  exec->ended = true;
  if (exec->io != nullptr) exec->io->Drain();
  AnnounceExits();
}

// Whether the process being started is this one, dead before its start was settled.
bool BookStarting(pid_t pid, int wait_status) {
  if (g_start.fd() < 0) return false;
  if (g_start.pid == 0) {
    if (g_start.early < StartWatch::kMostEarly) {
      g_start.early_pids[g_start.early] = pid;
      g_start.early_statuses[g_start.early++] = wait_status;
    }
    return true;
  }
  if (g_start.pid != pid) return false;
  if (g_start.container != nullptr) {
    g_start.container->reaped = true;
    g_start.container->wait_status = wait_status;
  } else {
    g_start.exec->reaped = true;
    g_start.exec->wait_status = wait_status;
  }
  return true;
}

void SettleContainer(Container* container) {
  container->pid = g_start.pid;
  if (!g_start.failed && g_start.pid == 0) {
    g_start.failed = true;
    Refuse(kInternal, "the container's process died before its program");
    g_start.error = g_error;
  }
  if (g_start.failed) {
    if (g_start.pid > 0 && !container->reaped) {
      (void)kill(g_start.pid, SIGKILL);
      (void)WaitFor(g_start.pid);
    }
    FailStart(container);
    return;
  }
  container->state = State::kRunning;
  container->started_at = Now();
  delete container->prepared;
  container->prepared = nullptr;
  container->io.Start();
}

void SettleExec(Exec* exec) {
  if (g_start.failed) {
    if (!exec->reaped) {
      (void)kill(exec->pid, SIGKILL);
      (void)WaitFor(exec->pid);
    }
    exec->ended = exec->announced = true;
    return;
  }
  exec->running = true;
  exec->started_at = Now();
  if (exec->io != nullptr) exec->io->Start();
}

}  // namespace

Prepared::~Prepared() {
  for (uint32_t i = 0; mounts != nullptr && i < view.mounts.size(); ++i) {
    if (mounts[i] >= 0) close(mounts[i]);
  }
  for (uint32_t i = 0; device_binds != nullptr && i < view.devices.size(); ++i) {
    if (device_binds[i] >= 0) close(device_binds[i]);
  }
  free(mounts);
  free(skipped);
  free(device_binds);
  free(plan);
}

Container::~Container() {
  delete prepared;
  free(id);
  free(exit_record);
}

Container* FindContainer(const Str& id) {
  for (Container* container = g_containers; container != nullptr; container = container->next) {
    if (StrEquals(container->id, id)) return container;
  }
  return nullptr;
}

bool CreateContainer(char* bytes, size_t size) {
  ContainerView view;
  if (!ParsePlan(bytes, size, PlanKind::kContainer, &view)) {
    return Refuse(kInvalidArgument, "malformed container plan");
  }
  if (FindContainer(view.container_id) != nullptr) {
    return Refuse(kAlreadyExists, "the shim has container", view.container_id.c_str());
  }
  Container* container = new Container;
  container->id = Duplicate(view.container_id.data, view.container_id.size);
  container->exit_record = Duplicate(view.exit_record.data, view.exit_record.size);
  container->own_pid_ns = view.pid == NamespaceMode::kPrivate;
  container->prepared = new Prepared;
  container->prepared->view = view;
  if (!Prepare(container)) {
    delete container;
    return false;
  }
  container->prepared->plan = bytes;
  container->next = g_containers;
  g_containers = container;
  return true;
}

bool BeginStart(Container* container) {
  if (container->state != State::kCreated) {
    return Refuse(kFailedPrecondition, "not in state created: container", container->id);
  }
  const ContainerView& plan = container->prepared->view;
  CgroupEntry cgroups;
  Fd hold;
  int join_pid = -1, ends[2];
  if (!cgroups.Open(plan.cgroup_dirs, plan.cgroup_v2) ||
      !FindPidNamespace(plan, &hold, &join_pid) ||
      (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0 &&
       !Fail("make a socket pair"))) {
    FailStart(container);
    return false;
  }
  const bool direct = !g_pod.has_userns();
  Fd theirs(ends[1]);
  const StartPlan start = {container->prepared, &cgroups, ends[1], join_pid};
  if (direct && join_pid >= 0 && SysSetns(join_pid, CLONE_NEWPID) != 0) {
    Fail("enter the PID namespace");
    close(ends[0]);
    FailStart(container);
    return false;
  }
  const pid_t child = CloneSelf(direct ? InitCloneFlags(plan) : 0, nullptr, cgroups.unified());
  if (child == 0) {
    close(ends[0]);
    RunContainerChild(start);
  }
  if (child < 0) Fail("create the container's process");
  if (direct && join_pid >= 0) (void)SysSetns(g_pod.own_pid.get(), CLONE_NEWPID);
  if (child < 0) {
    close(ends[0]);
    FailStart(container);
    return false;
  }
  container->state = State::kStarting;
  g_start.Begin(ends[0]);
  g_start.container = container;
  if (direct) g_start.LearnPid(child);
  return true;
}

void StartWatch::Begin(int socket) {
  Adopt(socket);
  Want(EPOLLIN);
  container = nullptr;
  exec = nullptr;
  pid = 0;
  pidfd.Reset();
  failed = false;
  early = 0;
  deadline = Now() + kStartLimit;
}

void StartWatch::LearnPid(pid_t child) {
  pid = child;
  pidfd.Reset(SysPidfdOpen(child));
  for (int i = 0; i < early; ++i) {
    if (early_pids[i] == child) (void)BookStarting(child, early_statuses[i]);
  }
}

void StartWatch::TakeTerminal(int master) {
  Io* io = container != nullptr ? &container->io : exec->io;
  if (io == nullptr || !io->terminal) {
    close(master);
    return;
  }
  io->in.Adopt(fcntl(master, F_DUPFD_CLOEXEC, 3));
  io->out.Adopt(master);
}

void StartWatch::Ready(uint32_t) {
  ChildReport report;
  int passed = -1;
  const ssize_t n = ReceiveFd(fd(), &report, sizeof(report), &passed);
  if (n != sizeof(report)) {
    Close();
    SettleStart();
    return;
  }
  switch (report.type) {
    case ChildMessage::kError:
      failed = true;
      error = report.error;
      break;
    case ChildMessage::kTerminal:
      if (passed >= 0) TakeTerminal(passed);
      passed = -1;
      break;
    case ChildMessage::kPid:
      LearnPid(report.pid);
      break;
  }
  if (passed >= 0) close(passed);
}

void SettleStart() {
  Container* container = g_start.container;
  Exec* exec = g_start.exec;
  if (container != nullptr) {
    SettleContainer(container);
  } else {
    SettleExec(exec);
  }
  AnswerStart();
  // Only now, so that the daemon hears of the start before the exit.
  if (container != nullptr && container->state == State::kRunning && container->reaped) {
    BookExit(container, container->wait_status);
  }
  if (exec != nullptr && exec->running && exec->reaped) BookExecExit(exec, exec->wait_status);
  g_start.container = nullptr;
  g_start.exec = nullptr;
}

void ReapChildren() {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
    if (BookStarting(pid, status)) continue;
    for (Container* container = g_containers; container != nullptr; container = container->next) {
      if (container->state == State::kRunning && container->pid == pid) {
        BookExit(container, status);
      }
    }
    for (Exec* exec = g_execs; exec != nullptr; exec = exec->next) {
      if (exec->running && !exec->ended && exec->pid == pid) BookExecExit(exec, status);
    }
  }
}

bool RemoveContainer(const Str& id) {
  for (Container** link = &g_containers; *link != nullptr; link = &(*link)->next) {
    Container* container = *link;
    if (!StrEquals(container->id, id)) continue;
    if (container->state == State::kRunning || container->state == State::kStarting) {
      return Refuse(kFailedPrecondition, "still running: container", id.c_str());
    }
    // In a shared PID namespace its execs may live on; they have no container to belong to then.
    for (Exec* exec = g_execs; exec != nullptr; exec = exec->next) {
      if (exec->container != container) continue;
      if (!exec->ended || exec->leaf != nullptr) (void)KillExec(Str{exec->id, 0});
      exec->container = nullptr;
    }
    *link = container->next;
    delete container;
    return true;
  }
  return true;
}

bool ReopenLog(const Str& id) {
  Container* container = FindContainer(id);
  if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
  if (container->state != State::kRunning) {
    return Refuse(kFailedPrecondition, "not running: container", id.c_str());
  }
  if (!container->io.log.configured()) return true;
  const HostScope host;
  return host.entered() && container->io.log.Open(container->io.log.path());
}

bool SignalContainer(const Str& id, int signal) {
  Container* container = FindContainer(id);
  if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
  if (container->state == State::kExited) return true;
  if (container->state != State::kRunning) {
    return Refuse(kFailedPrecondition, "not running: container", id.c_str());
  }
  // Not reaped yet, so the pid is nobody else's.
  return kill(container->pid, signal) == 0 || errno == ESRCH ||
         Fail("signal container", id.c_str());
}

bool AttachContainer(const Str& id, int stdio[3]) {
  Container* container = FindContainer(id);
  if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
  if (container->state != State::kRunning) {
    return Refuse(kFailedPrecondition, "not running: container", id.c_str());
  }
  container->io.Attach(stdio[0], stdio[1], stdio[2]);
  return true;
}

bool ResizeTerminal(const Str& id, const Str& exec_id, uint16_t rows, uint16_t columns) {
  const Io* io = nullptr;
  if (exec_id.empty()) {
    const Container* container = FindContainer(id);
    if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
    io = &container->io;
  } else {
    const Exec* exec = FindExec(exec_id);
    if (exec == nullptr) return Refuse(kNotFound, "no exec", exec_id.c_str());
    io = exec->io;
  }
  if (io == nullptr || !io->terminal || io->out.fd() < 0) {
    return Refuse(kFailedPrecondition, "no terminal to resize:", id.c_str());
  }
  winsize size = {.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  return ioctl(io->out.fd(), TIOCSWINSZ, &size) == 0 || Fail("resize the terminal of", id.c_str());
}

}  // namespace crisp::shim
