#include "runtime/shim/broker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "runtime/shim/connection.h"
#include "runtime/shim/log_stream.h"
#include "runtime/shim/message.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/pod_setup.h"
#include "runtime/shim/server.h"

namespace crisp::shim {
namespace {

constexpr int kBrokerSocket = 3;
constexpr int kShortagePause = 10;  // milliseconds
constexpr unsigned long kNoSuid = 2, kNoDev = 4, kNoExec = 8, kReadOnly = 1;
constexpr unsigned long kRecursivePrivate = (1 << 14) | (1 << 18);
constexpr int kMntDetach = 2;
constexpr char kLabelAttribute[] = "security.selinux";

// Where there is SELinux, confined containers may open what the host calls so.
void LabelAsNull(const char* device) {
  char label[512];
  const ssize_t size = getxattr("/dev/null", kLabelAttribute, label, sizeof(label));
  if (size > 0) (void)setxattr(device, kLabelAttribute, label, static_cast<size_t>(size), 0);
}

// What the broker's roots are made of: "own" is what the shims see below "/", "blank" is what
// containers are mounted over, "none" is there since an overlay wants two. The tmpfs is left
// behind.
bool MakeSeed() {
  // Any directory does: nobody sees this namespace.
  if (SysMount("crisp-shim", "/proc", "tmpfs", kNoSuid | kNoExec, "mode=755,size=64k") != 0 ||
      chdir("/proc") != 0) {
    return Fail("mount what the shim's root is made of");
  }
  const char* tops[] = {"own", "blank", "none"};
  for (const char* top : tops) {
    if (mkdir(top, 0755) != 0) return Fail("make", top);
  }
  const char* slots[] = {kSlotRoot,   kSlotScratch, kSlotShm,  kSlotFiles, kSlotMasks,
                         kMaskSource, kMaskEmpty,   kNoSource, "/proc",    "/sys"};
  for (const char* slot : slots) {
    Path path;
    path.Add("own").Add(slot);
    if (mkdir(path.data, 0755) != 0) return Fail("make", slot);
  }
  const char* nulls[] = {kSlotNull, kMaskNull};
  for (const char* null : nulls) {
    Path path;
    path.Add("own").Add(null);
    if (mknod(path.data, S_IFCHR | 0666, makedev(1, 3)) != 0) return Fail("make a null device");
    LabelAsNull(path.data);
  }
  return true;
}

// Without a writable layer an overlay is read-only for good: the kernel refuses to remount it
// otherwise, to whatever privilege, so that what all pods see is what was made here.
bool MountSealed(const char* target, const char* options) {
  return SysMount("crisp-shim", target, "overlay", kReadOnly | kNoSuid | kNoExec, options) == 0 ||
         Fail("mount a root that nobody can change on", target);
}

bool BecomeRoot() {
  return (SysPivotRoot(".", ".") == 0 && SysUmount(".", kMntDetach) == 0 && chdir("/") == 0) ||
         Fail("enter the shim's root");
}

// The namespace whose copies containers start from (see Pod::blank): made from where the seed is,
// by the directory of this process in a procfs.
bool MakeBlank(int proc) {
  const Fd home(openat(proc, "ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!home.valid()) return Fail("open the shim's mount namespace");
  if (SysUnshare(CLONE_NEWNS) != 0) return Fail("create a mount namespace");
  if (!MountSealed("blank", "lowerdir=blank:none")) return false;
  if (chdir("blank") != 0 || !BecomeRoot()) return false;
  g_pod.blank.Reset(openat(proc, "ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!g_pod.blank.valid()) return Fail("open the containers' mount namespace");
  return (SysSetns(home.get(), CLONE_NEWNS) == 0 && chdir("/proc") == 0) ||
         Fail("return to the shim's mount namespace");
}

// Replaces everything below "/" by the few things a container's set-up needs.
bool MakeMinimalRoot() {
  g_pod.host_mnt.Reset(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!g_pod.host_mnt.valid()) return Fail("open the host's mount namespace");
  if (SysUnshare(CLONE_NEWNS) != 0 ||
      SysMount(nullptr, "/", nullptr, kRecursivePrivate, nullptr) != 0) {
    return Fail("create a mount namespace");
  }
  const Fd proc(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!proc.valid()) return Fail("open /proc/self");
  if (!MakeSeed() || !MakeBlank(proc.get()) || !MountSealed("own", "lowerdir=own:none") ||
      chdir("own") != 0) {
    return false;
  }
  // A user namespace may mount its own proc and sysfs only where a whole one is visible.
  if (SysMount("proc", "proc", "proc", kNoSuid | kNoDev | kNoExec, nullptr) != 0 ||
      SysMount("sysfs", "sys", "sysfs", kNoSuid | kNoDev | kNoExec, nullptr) != 0) {
    return Fail("mount the shim's proc");
  }
  return BecomeRoot();
}

// The kernel finds a sysctl of a network namespace among those of that name that were ever looked
// up in the same procfs, of all namespaces, one after another. So a few shims at a time share a
// procfs of their own, which goes, with all that was looked up there, when the last of them has set
// its sysctls.
void RenewProc() {
  constexpr int kShims = 32;
  static int left = 0;
  if (--left >= 0) return;
  left = kShims - 1;
  const Fd fs(SysFsopen("proc"));
  Fd mount;
  if (fs.valid() && SysFsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) {
    mount.Reset(SysFsmount(fs.get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  }
  // The broker's serves as well, only slower.
  g_pod.proc.Reset(mount.valid() ? mount.Release()
                                 : open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

// Whoever started the daemon may have ignored any, the two that libc keeps for itself (and hides)
// among them, and programs inherit that.
void SetAllSignalsToDefault() {
  constexpr int kLast = 64;
  const unsigned long all_default[8] = {};
  for (int signal = 1; signal <= kLast; ++signal) {
    (void)syscall(SYS_rt_sigaction, signal, all_default, nullptr, kLast / 8);
  }
}

bool PrepareProcess() {
  SetAllSignalsToDefault();
  setsid();
  umask(0);
  prctl(PR_SET_NAME, "crisp-shim");
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const int signals[] = {SIGHUP, SIGINT, SIGPIPE};
  for (const int signal : signals) ::signal(signal, SIG_IGN);
  signal(SIGCHLD, SIG_IGN);  // the broker's shims are reaped by the kernel
  (void)WriteFileAt(AT_FDCWD, "/proc/self/oom_score_adj", "-998");  // best effort
  rlimit64 limit = {};
  (void)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
  g_pod.original_nofile[0] = limit.rlim_cur;
  g_pod.original_nofile[1] = limit.rlim_max;
  limit.rlim_cur = limit.rlim_max;
  (void)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, nullptr);
  return true;
}

bool OpenNull() {
  g_pod.null.Reset(open(kSlotNull, O_RDWR | O_CLOEXEC));
  if (!g_pod.null.valid()) return Fail("open the null device");
  for (int i = 0; i < 3; ++i) {
    if (dup2(g_pod.null.get(), i) < 0) return Fail("place the null device");
  }
  return true;
}

void LeaveBroker() {
  close(kBrokerSocket);
  signal(SIGCHLD, SIG_DFL);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  setsid();
}

// With the plan's memfd taken, only the control socket is left of a message to the broker.
int TakeControl(Message* message) {
  const int control = message->fd_count == 1 ? message->fds[0] : -1;
  if (control >= 0) message->fd_count = 0;
  return control;
}

[[noreturn]] void ServePod(int control, const MessageHeader& request, char* bytes, size_t size) {
  if (bytes == nullptr || !SetUpAsPod(bytes, size)) {
    SendError(control, request.request_id);
    _exit(1);
  }
  free(bytes);
  Serve(control, request);
}

[[noreturn]] void BecomeShim(Message* message) {
  LeaveBroker();
  size_t size = 0;
  char* bytes = TakePlan(message, &size);
  const int control = TakeControl(message);
  if (control < 0) _exit(1);
  ServePod(control, message->header, bytes, size);
}

// Nobody waits for a spare: one that fails just ends, and whoever wanted it starts a shim instead.
[[noreturn]] void BecomeSpare(Message* message) {
  LeaveBroker();
  size_t usual_size = 0;
  char* usual_bytes = TakePlan(message, &usual_size);  // for this process' life
  const int control = TakeControl(message);
  if (control < 0 || usual_bytes == nullptr || !SetUpAsSpare(usual_bytes, usual_size) ||
      !AnnounceSpare(control)) {
    _exit(1);
  }
  Message claim;
  if (Receive(control, 0, &claim) != Received::kMessage || claim.type() != MessageType::kStartPod) {
    _exit(0);  // the daemon has gone
  }
  size_t size = 0;
  char* bytes = TakePlan(&claim, &size);
  ServePod(control, claim.header, bytes, size);
}

}  // namespace

bool SetUpAsPod(const char* plan, size_t size) {
  PodView view;
  return ReadPlan(plan, size, PlanKind::kPod, &view) && SetUpPod(view);
}

bool SetUpAsSpare(const char* usual, size_t size) {
  PodView view;
  return ReadPlan(usual, size, PlanKind::kPod, &view) && MakeSpare(view);
}

void RunBroker(const char* storage_root, const char* log_rate) {
  g_pod.storage_root = storage_root;
  SetLogRate(strtoull(log_rate, nullptr, 10));
  if (!PrepareProcess() || !MakeMinimalRoot() || !OpenNull()) {
    SendError(kBrokerSocket, 0);
    _exit(1);
  }
  while (true) {
    Message message;
    const Received received = Receive(kBrokerSocket, 0, &message);
    if (received == Received::kClosed) _exit(0);  // the daemon has gone; the shims stay
    if (received == Received::kNoRoom) (void)poll(nullptr, 0, kShortagePause);
    if (received != Received::kMessage || message.truncated) continue;
    const bool spare = message.type() == MessageType::kStartSpare;
    if (!spare && message.type() != MessageType::kStartPod) continue;
    RenewProc();
    const pid_t child = CloneSelf(0, nullptr, -1);
    if (child == 0 && spare) BecomeSpare(&message);
    if (child == 0) BecomeShim(&message);
    if (child < 0 && !spare && message.fd_count > 0) {
      Fail("start the shim");
      SendError(message.fds[message.fd_count - 1], message.header.request_id);
    }
  }
}

}  // namespace crisp::shim
