#include "runtime/shim/process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "runtime/shim/call_filter.h"
#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

constexpr long kProcSuperMagic = 0x9fa0, kDevptsSuperMagic = 0x1cd1;
constexpr int kStatusFd = 3;
constexpr uint64_t kCapSysAdmin = 1u << 21;
constexpr int kIoprioWhoProcess = 1;

struct SockFprog {  // struct sock_fprog of linux/filter.h, without its const trouble
  unsigned short len;
  const void* filter;
};

bool SetSignalsToDefault() {
  // Only these differ from the default in the shim; the broker has seen to the others.
  const int signals[] = {SIGHUP, SIGINT, SIGPIPE};
  for (const int signal : signals) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  return sigprocmask(SIG_SETMASK, &none, nullptr) == 0 || Fail("reset the signal mask");
}

bool IsNullDevice(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

// 0, 1, 2 and the status socket at 3; nothing else stays open.
bool ArrangeDescriptors(const ProcessView& process, const int stdio[3], int status) {
  int sources[4];
  // The container's own null looks better in its /proc, if it is one.
  Fd null(open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!null.valid() || !IsNullDevice(null.get())) null.Reset(dup(g_pod.null.get()));
  for (int i = 0; i < 4; ++i) {
    const int from = i == 3 ? status : (stdio[i] >= 0 ? stdio[i] : null.get());
    // Above the targets first, so that no target is overwritten before it has been copied.
    sources[i] = fcntl(from, F_DUPFD_CLOEXEC, 16);
    if (sources[i] < 0) return Fail("duplicate stdio");
  }
  for (int i = 0; i < 4; ++i) {
    if (dup2(sources[i], i) < 0) return Fail("place stdio");
    struct stat info;
    // The program may open /dev/stdout again by name: that takes ownership of the pipe (GiveStdio()
    // has given it away where there is a user namespace).
    if (i < 3 && stdio[i] >= 0 && fstat(i, &info) == 0 &&
        (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode) || S_ISCHR(info.st_mode)) &&
        !IsNullDevice(i)) {
      (void)fchown(i, process.uid, static_cast<gid_t>(-1));
    }
  }
  null.Release();
  if (SysCloseRange(kStatusFd + 1, ~0u, 0) != 0) return Fail("close descriptors");
  return fcntl(kStatusFd, F_SETFD, FD_CLOEXEC) == 0 || Fail("mark the status socket");
}

// Labels go through a procfs of our own making: the container's /proc may be anything by now.
bool WriteLabel(const char* attribute, const char* label) {
  const Fd fs(SysFsopen("proc"));
  if (!fs.valid() || SysFsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Fail("open a procfs for the label", label);
  }
  const Fd proc(SysFsmount(fs.get(), 0));
  struct statfs info;
  if (!proc.valid() || fstatfs(proc.get(), &info) != 0) return Fail("mount a procfs for", label);
  if (info.f_type != kProcSuperMagic) return Refuse(kInternal, "not a procfs: label", label);
  const Fd file(SysOpenat2(proc.get(), attribute, O_WRONLY, 0,
                           RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV));
  if (!file.valid()) return Fail("open the attribute for label", label);
  const ssize_t size = static_cast<ssize_t>(strlen(label));
  return write(file.get(), label, static_cast<size_t>(size)) == size || Fail("set label", label);
}

// The daemon's session keyring is not the container's: its processes share one of their own, by
// name.
bool JoinKeyring(const Str& container_id) {
  constexpr int kJoinSessionKeyring = 1, kSetPermissions = 5;
  constexpr unsigned kKeyringPermissions = 0x3f1b0000;
  Text<160> name;
  name.Add("_ses.").Add(container_id);
  if (name.overflow) return Refuse(kInvalidArgument, "too long: the container's id");
  // A kernel without keyrings, or a filter around crisp itself, which then holds for the container,
  // too.
  const long keyring = syscall(SYS_keyctl, kJoinSessionKeyring, name.data);
  if (keyring < 0) return errno == ENOSYS || errno == EPERM || Fail("join a session keyring");
  // The kernel's default permissions, and leave for its owner to find it by name, as execs do.
  return syscall(SYS_keyctl, kSetPermissions, keyring, kKeyringPermissions) == 0 ||
         errno == EACCES || Fail("open the session keyring to execs");
}

// A directory that /proc/self/fd or a lazy unmount let escape the root has no path inside it.
bool VerifyInside(const char* cwd) {
  char path[4096];
  if (syscall(SYS_getcwd, path, sizeof(path)) < 0) return Fail("find the working directory", cwd);
  return path[0] == '/' || Refuse(kInvalidArgument, "working directory outside the root:", cwd);
}

bool EnterDirectory(const ProcessView& process) {
  const char* cwd = process.cwd.empty() ? "/" : process.cwd.c_str();
  if (chdir(cwd) != 0) return Fail("change to working directory", cwd);
  return VerifyInside(cwd);
}

// Enters the directory as root. If root is nobody there (an export that squashes it, a FUSE file
// system, an ACL seen through a user namespace), the user may be somebody: *later is true then, and
// the directory is to be entered with the user's ids.
bool EnterDirectoryEarly(const ProcessView& process, bool* later) {
  if (EnterDirectory(process)) return true;
  *later = g_error.error_number == EACCES || g_error.error_number == EPERM;
  return *later;
}

bool SetIds(const ProcessView& process) {
  uint32_t* groups = static_cast<uint32_t*>(Allocate(process.groups.size() * sizeof(uint32_t)));
  if (groups == nullptr) return false;
  size_t count = 0;
  for (const uint32_t group : process.groups) groups[count++] = group;
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return Fail("keep capabilities");
  if (syscall(SYS_setgroups, count, groups) != 0) return Fail("set supplementary groups");
  if (syscall(SYS_setresgid, process.gid, process.gid, process.gid) != 0) return Fail("set gid");
  if (syscall(SYS_setresuid, process.uid, process.uid, process.uid) != 0) return Fail("set uid");
  free(groups);
  return prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == 0 || Fail("reset keepcaps");
}

bool SetCaps(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2];
  for (int i = 0; i < 2; ++i) {
    data[i].effective = static_cast<uint32_t>(effective >> (32 * i));
    data[i].permitted = static_cast<uint32_t>(permitted >> (32 * i));
    data[i].inheritable = static_cast<uint32_t>(inheritable >> (32 * i));
  }
  return syscall(SYS_capset, &header, data) == 0 || Fail("set capabilities");
}

bool RaiseAmbient(uint64_t ambient) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return Fail("clear ambient capabilities");
  }
  for (int cap = 0; cap < 64; ++cap) {
    if ((ambient >> cap & 1) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) {
      return Fail("raise an ambient capability");
    }
  }
  return true;
}

bool InstallFilter(const ProcessView& process) {
  if (process.seccomp_bpf.size == 0) return true;
  const SockFprog program = {.len = static_cast<unsigned short>(process.seccomp_bpf.size / 8),
                             .filter = process.seccomp_bpf.data};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, process.seccomp_flags, &program) == 0 ||
         Fail("install the seccomp filter");
}

// The pod's processes do not outlive the shim. Asked for after the ids have changed, which clears
// it.
bool DieWithShim() {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return Fail("ask to die with the shim");
  pollfd status = {.fd = kStatusFd, .events = 0, .revents = 0};
  if (poll(&status, 1, 0) > 0 && (status.revents & POLLHUP) != 0) _exit(1);  // it has died already
  return true;
}

// Without no_new_privs a filter needs CAP_SYS_ADMIN, so that one is kept (when it is there) until
// the filter stands and is dropped with the last capset, which the filter must then allow.
bool FilterNeedsAdmin(const ProcessView& process) {
  return process.seccomp_bpf.size > 0 && !process.no_new_privileges;
}

// Down to the program's ids and what its capabilities are until the filter stands.
bool DropPrivileges(const ProcessView& process, bool enter_directory) {
  if (process.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Fail("set no_new_privs");
  }
  if (!DropBounding(process.cap_bounding) || !SetIds(process)) return false;
  if (enter_directory && !EnterDirectory(process)) return false;
  const uint64_t extra = FilterNeedsAdmin(process) ? kCapSysAdmin : 0;
  return SetCaps(process.cap_permitted | extra, process.cap_permitted | extra,
                 process.cap_inheritable);
}

// The calls from a joining process' birth to its program, if its filter stands by then. The birth
// itself is clone(2): a filter cannot look into clone3(2), so most forbid that.
constexpr uint64_t kBirthFlags = CLONE_PARENT | CLONE_PIDFD;
bool FilterLetsThroughABirth(const ProcessView& process) {
  constexpr KernelCall kCalls[] = {
      {SYS_capset},
      {SYS_clone, kBirthFlags},
      {SYS_sendmsg, kStatusFd},
      {SYS_read, kStatusFd},
      {SYS_setsid},
      {SYS_ioctl},
      {SYS_prctl, PR_SET_PDEATHSIG},
#ifdef SYS_poll
      {SYS_poll},
#else
      {SYS_ppoll},
#endif
      {SYS_execve},
      {SYS_write, kStatusFd},
      {SYS_exit_group},
  };
  return FilterAllows(process.seccomp_bpf.data, process.seccomp_bpf.size, kCalls,
                      sizeof(kCalls) / sizeof(kCalls[0]));
}

bool SetPrivileges(const ProcessView& process) {
  if (!RaiseAmbient(process.cap_ambient) || !DieWithShim()) return false;
  umask(process.umask);
  const bool filter_needs_admin = FilterNeedsAdmin(process);
  if (filter_needs_admin && !InstallFilter(process)) return false;
  if (!SetCaps(process.cap_effective, process.cap_permitted, process.cap_inheritable)) return false;
  return filter_needs_admin || InstallFilter(process);
}

// A helper's, whose child is to have no more than its program from its birth on: all of
// SetPrivileges() but that it dies with the shim, which is nobody's heritage.
bool SetPrivilegesAhead(const ProcessView& process) {
  if (!RaiseAmbient(process.cap_ambient)) return false;
  umask(process.umask);
  return InstallFilter(process) &&
         SetCaps(process.cap_effective, process.cap_permitted, process.cap_inheritable);
}

bool BeginSession(const ProcessView& process) {
  setsid();
  return !process.terminal || ioctl(0, TIOCSCTTY, 0) == 0 || Fail("take the terminal");
}

// nullptr and g_error.
char** MakeVector(const List<Str>& list) {
  char** vector = static_cast<char**>(Allocate((list.size() + 1) * sizeof(char*)));
  if (vector == nullptr) return nullptr;
  size_t count = 0;
  for (const Str& item : list) vector[count++] = const_cast<char*>(item.c_str());
  return vector;
}

const char* FindPath(const List<Str>& env) {
  const char* path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const Str& item : env) {
    if (strncmp(item.c_str(), "PATH=", 5) == 0) path = item.c_str() + 5;
  }
  return path;
}

void FailExec(int error, const char* program) {
  Text<512> object;
  object.Add("\"").Add(program, strnlen(program, 300)).Add("\"");
  if (error == ENOENT && access(program, F_OK) == 0) {
    object.Add(" (the interpreter or loader that it names is missing)");
  }
  FailWith(error, "execute", object.data);
}

// Every candidate directory of PATH in turn, as execvp does.
void SearchAndExec(const char* name, const char* path, char** argv, char** env) {
  int error = ENOENT;
  while (true) {
    const char* end = strchr(path, ':');
    const size_t size = end != nullptr ? static_cast<size_t>(end - path) : strlen(path);
    Path candidate;
    candidate.Add(size == 0 ? "." : path, size == 0 ? 1 : size).Add("/").Add(name);
    if (!candidate.overflow) {
      execve(candidate.data, argv, env);
      if (errno != ENOENT && errno != ENOTDIR) {
        error = errno;
        if (errno != EACCES) {
          FailExec(errno, candidate.data);
          return;
        }
      }
    }
    if (end == nullptr) break;
    path = end + 1;
  }
  Text<512> object;
  object.Add("\"").Add(name, strnlen(name, 300)).Add("\" (not found in $PATH)");
  FailWith(error, "execute", object.data);
}

// The shim's end is in no other process, so that its death is seen.
void AwaitGo(int status) {
  char go;
  ssize_t n;
  do {
    n = read(status, &go, sizeof(go));
  } while (n < 0 && errno == EINTR);
  if (n != sizeof(go) || go != kGo) _exit(1);
}

}  // namespace

bool DropBounding(uint64_t keep) {
  for (int cap = 0; cap < 64; ++cap) {
    if ((keep >> cap & 1) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
      if (errno == EINVAL) break;  // past the kernel's last one
      // Without CAP_SETPCAP nothing can be dropped; nothing is lost when it is not there anyway.
      if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) return Fail("drop a capability");
    }
  }
  return true;
}

bool DropAllCapabilities() { return DropBounding(0) && SetCaps(0, 0, 0); }

bool DropToCapability(int capability) {
  const uint64_t one = uint64_t{1} << capability;
  return DropBounding(one) && SetCaps(one, one, 0);
}

void ReportAndExit(int status) {
  ChildReport report = {.type = ChildMessage::kError, .pid = 0, .error = g_error};
  // write(2), not sendmsg(2): more likely to be allowed by a filter that stands already. Unheard,
  // this would look like a program that has ended.
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries && write(status, &report, sizeof(report)) < 0 && IsShortage(errno);
       ++i) {
  }
  _exit(127);
}

bool EnterCgroupsAndLimits(const ProcessView& process, const int* tasks, int task_count) {
  for (int i = 0; i < task_count; ++i) {
    if (write(tasks[i], "0", 1) != 1) return Fail("join the cgroup");
  }
  Text<24> score;
  score.AddNumber(process.oom_score_adj);
  if (!WriteFileAt(AT_FDCWD, "/proc/self/oom_score_adj", score.data) &&
      g_error.error_number != EACCES) {
    return false;
  }
  if (process.io_priority != 0 &&
      syscall(SYS_ioprio_set, kIoprioWhoProcess, 0, static_cast<int>(process.io_priority)) != 0) {
    return Fail("set the I/O priority");
  }
  rlimit64 nofile = {.rlim_cur = g_pod.original_nofile[0], .rlim_max = g_pod.original_nofile[1]};
  (void)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &nofile, nullptr);
  for (const RlimitView& limit : process.rlimits) {
    const uint64_t values[2] = {limit.soft, limit.hard};
    if (syscall(SYS_prlimit64, 0, limit.resource, values, nullptr) != 0) {
      Text<24> name;
      name.AddNumber(limit.resource);
      return Fail("set resource limit", name.data);
    }
  }
  return true;
}

void GiveStdio(const ProcessView& process, const int stdio[3]) {
  if (process.uid >= g_pod.uid_count || process.gid >= g_pod.gid_count) return;
  for (int i = 0; i < 3; ++i) {
    struct stat info;
    if (stdio[i] < 0 || fstat(stdio[i], &info) != 0 || !S_ISFIFO(info.st_mode)) continue;
    // The group as well: root in there may open what is another's only where both ids are known.
    (void)fchown(stdio[i], g_pod.root_uid + process.uid, g_pod.root_gid + process.gid);
  }
}

int OpenTerminal(int devpts, const ProcessView& process, int status) {
  struct statfs info;
  if (fstatfs(devpts, &info) != 0 || info.f_type != kDevptsSuperMagic) {
    Refuse(kInvalidArgument, "open a terminal: /dev/pts is no devpts");
    return -1;
  }
  const Fd master(SysOpenat2(devpts, "ptmx", O_RDWR | O_NOCTTY, 0,
                             RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS));
  int unlock = 0;
  if (!master.valid() || ioctl(master.get(), TIOCSPTLCK, &unlock) != 0) {
    Fail("open a terminal");
    return -1;
  }
  const int slave = ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) {
    Fail("open the terminal's other end");
    return -1;
  }
  if (process.terminal_rows != 0 || process.terminal_columns != 0) {
    winsize size = {.ws_row = process.terminal_rows,
                    .ws_col = process.terminal_columns,
                    .ws_xpixel = 0,
                    .ws_ypixel = 0};
    (void)ioctl(master.get(), TIOCSWINSZ, &size);
  }
  ChildReport report = {.type = ChildMessage::kTerminal, .pid = 0, .error = {}};
  if (!SendFd(status, &report, sizeof(report), master.get())) {
    close(slave);
    return -1;
  }
  return slave;
}

void GiveBirth(uint64_t flags, int status) {
  int pidfd = -1;
  // A sibling's end is told by the signal that this process' own end is.
  const int pid =
      static_cast<int>(syscall(SYS_clone, flags | kBirthFlags, nullptr, &pidfd, nullptr, nullptr));
  // One that the shim does not know of must not go on.
  if (pid == 0) return AwaitGo(status);
  if (pid < 0) {
    Fail("create the process in its namespaces");
    ReportAndExit(status);
  }
  ChildReport report = {.type = ChildMessage::kPid, .pid = pid, .error = {}};
  if (!SendFd(status, &report, sizeof(report), pidfd)) (void)SysPidfdSignal(pidfd, SIGKILL);
  _exit(0);
}

bool SetLabels(const ProcessView& process) {
  if (!process.apparmor_profile.empty()) {
    Text<512> command;
    command.Add("exec ").Add(process.apparmor_profile);
    const char* attribute = "self/attr/apparmor/exec";
    if (!WriteLabel(attribute, command.data) &&
        !(g_error.error_number == ENOENT && WriteLabel("self/attr/exec", command.data))) {
      return false;
    }
  }
  const char* selinux = process.selinux_label.c_str();
  return process.selinux_label.empty() ||
         (WriteLabel("self/attr/keycreate", selinux) && WriteLabel("self/attr/exec", selinux));
}

void RunProcess(const ProcessView& process,
                const Str& container_id,
                const int stdio[3],
                int status,
                RunOptions options) {
  char** argv = MakeVector(process.argv);
  char** env = MakeVector(process.env);
  if (argv == nullptr || env == nullptr) ReportAndExit(status);
  if (argv[0] == nullptr) {
    Refuse(kInvalidArgument, "execute: no command");
    ReportAndExit(status);
  }
  if (!ArrangeDescriptors(process, stdio, status)) ReportAndExit(status);
  bool enter_later = false;
  if ((!options.joins && (!BeginSession(process) || !SetLabels(process))) ||
      !JoinKeyring(container_id) || !EnterDirectoryEarly(process, &enter_later) ||
      !SetSignalsToDefault()) {
    ReportAndExit(kStatusFd);
  }
  if (options.gated) AwaitGo(kStatusFd);
  if (!DropPrivileges(process, enter_later)) ReportAndExit(kStatusFd);
  bool ready = false;
  if (options.joins) {
    // The change of ids may have made it what fs.suid_dumpable says.
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    // A tracer inside would be free of its filter, and have the capability that setting one takes.
    ready = FilterLetsThroughABirth(process);
    if (ready && !SetPrivilegesAhead(process)) ReportAndExit(kStatusFd);
    GiveBirth(0, kStatusFd);
    if (!BeginSession(process)) ReportAndExit(kStatusFd);
  }
  if (!(ready ? DieWithShim() : SetPrivileges(process))) ReportAndExit(kStatusFd);
  if (strchr(argv[0], '/') != nullptr) {
    execve(argv[0], argv, env);
    FailExec(errno, argv[0]);
  } else {
    SearchAndExec(argv[0], FindPath(process.env), argv, env);
  }
  ReportAndExit(kStatusFd);
}

}  // namespace crisp::shim
