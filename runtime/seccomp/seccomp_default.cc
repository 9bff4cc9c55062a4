#include <linux/capability.h>
#include <linux/sched.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "runtime/seccomp/seccomp_profile.h"

namespace crisp::runtime {
namespace {

// The syscalls that every container may make. "name|suffix" stands for name and namesuffix.
constexpr char kAlways[] =
    // File descriptors and their data.
    "_llseek _newselect close close_range copy_file_range creat dup dup2 dup3 epoll_create "
    "epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old "
    "eventfd eventfd2 fadvise64|_64 fallocate fanotify_mark fcntl|64 fdatasync flock fsync "
    "ftruncate|64 inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel "
    "io_destroy io_getevents io_pgetevents|_time64 io_setup io_submit ioctl lseek "
    "memfd_create memfd_secret name_to_handle_at open openat openat2 pipe pipe2 poll "
    "ppoll|_time64 pread64 preadv preadv2 pselect6|_time64 pwrite64 pwritev pwritev2 read "
    "readahead readlink readlinkat readv select sendfile|64 splice sync sync_file_range "
    "syncfs tee truncate|64 vmsplice write writev "
    // Names, attributes and directories.
    "access cachestat chdir chmod chown|32 faccessat faccessat2 fchdir fchmod fchmodat "
    "fchmodat2 fchownat fchown|32 fgetxattr flistxattr fremovexattr fsetxattr fstatat64 "
    "fstatfs|64 fstat|64 futimesat getcwd getdents|64 getxattr getxattrat landlock_add_rule "
    "landlock_create_ruleset landlock_restrict_self lchown|32 lgetxattr link linkat listmount "
    "listxattr listxattrat llistxattr lremovexattr lsetxattr lstat|64 mkdir mkdirat mknod "
    "mknodat mq_unlink newfstatat removexattr removexattrat rename renameat renameat2 rmdir "
    "setxattr setxattrat statfs|64 statmount statx stat|64 symlink symlinkat umask unlink "
    "unlinkat utime utimensat|_time64 utimes "
    // Memory.
    "brk madvise map_shadow_stack membarrier mincore mlock mlock2 mlockall mmap mmap2 "
    "mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect "
    "remap_file_pages "
    // Processes, threads and signals.
    "alarm execve execveat exit exit_group fork futex_requeue futex_wait futex_waitv "
    "futex_wake futex|_time64 get_robust_list get_thread_area getrlimit getrusage gettid kill "
    "pause pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall rseq "
    "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait|_time64 rt_tgsigqueueinfo set_robust_list set_thread_area "
    "set_tid_address setrlimit sigaltstack signalfd signalfd4 sigprocmask sigreturn tgkill "
    "tkill ugetrlimit uretprobe vfork wait4 waitid waitpid "
    // The ids of the process itself.
    "capget capset getegid|32 geteuid|32 getgid|32 getgroups|32 getpgid getpgrp getpid "
    "getppid getresgid|32 getresuid|32 getsid getuid|32 lsm_get_self_attr lsm_list_modules "
    "lsm_set_self_attr seccomp setfsgid|32 setfsuid|32 setgid|32 setgroups|32 setpgid "
    "setregid|32 setresgid|32 setresuid|32 setreuid|32 setsid setuid|32 "
    // Scheduling.
    "getcpu getpriority ioprio_get ioprio_set sched_get_priority_max sched_get_priority_min "
    "sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_rr_get_interval|_time64 sched_setaffinity sched_setattr sched_setparam "
    "sched_setscheduler sched_yield setpriority "
    // Time.
    "adjtimex clock_adjtime|64 clock_getres|_time64 clock_gettime|64 clock_nanosleep|_time64 "
    "getitimer gettimeofday mq_timedreceive|_time64 mq_timedsend|_time64 nanosleep "
    "recvmmsg|_time64 semtimedop|_time64 setitimer time timer_create timer_delete "
    "timer_getoverrun timer_gettime|64 timer_settime|64 timerfd_create timerfd_gettime|64 "
    "timerfd_settime|64 times "
    // Sockets and System V and POSIX queues.
    "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr "
    "mq_notify mq_open msgctl msgget msgrcv msgsnd recv recvfrom recvmsg semctl semget semop "
    "send sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall "
    "socketpair "
    // The rest.
    "getrandom sysinfo uname ";

// The syscalls that a capability adds. Later kernels than 4.8 check for ptrace's dangers
// themselves.
struct Grant {
  int capability;
  const char* names;
};
constexpr Grant kGrants[] = {
    {CAP_DAC_READ_SEARCH, "open_by_handle_at"},
    {CAP_SYS_ADMIN,
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount "
     "mount_setattr move_mount open_tree perf_event_open quotactl|_fd setdomainname sethostname "
     "setns syslog umount|2 unshare"},
    {CAP_SYS_BOOT, "reboot"},
    {CAP_SYS_CHROOT, "chroot"},
    {CAP_SYS_MODULE, "delete_module init_module finit_module"},
    {CAP_SYS_PACCT, "acct"},
    {CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
    {CAP_SYS_RAWIO, "iopl ioperm"},
    {CAP_SYS_TIME, "settimeofday stime clock_settime|64"},
    {CAP_SYS_TTY_CONFIG, "vhangup"},
    {CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy|_home_node"},
    {CAP_SYSLOG, "syslog"},
    {CAP_BPF, "bpf"},
    {CAP_PERFMON, "perf_event_open"},
};

// The syscalls that only one architecture has, and the ABIs that its kernels serve.
struct Architecture {
  const char* name;
  const char* abis;
  const char* names;
};
constexpr Architecture kArchitectures[] = {
    {"amd64", "SCMP_ARCH_X86_64 SCMP_ARCH_X86 SCMP_ARCH_X32", "arch_prctl modify_ldt"},
    {"386", "SCMP_ARCH_X86", "modify_ldt"},
    {"arm64", "SCMP_ARCH_ARM SCMP_ARCH_AARCH64",
     "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"},
    {"arm", "SCMP_ARCH_ARM",
     "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"},
    {"ppc64le", "", "sync_file_range2 swapcontext"},
    {"s390x", "SCMP_ARCH_S390 SCMP_ARCH_S390X",
     "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"},
    {"riscv64", "SCMP_ARCH_RISCV64", "riscv_flush_icache riscv_hwprobe"},
};

constexpr uint64_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                    CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

std::vector<std::string> Expand(const char* words) {
  std::vector<std::string> names;
  for (absl::string_view word : absl::StrSplit(words, ' ', absl::SkipEmpty())) {
    std::vector<absl::string_view> parts = absl::StrSplit(word, '|');
    names.emplace_back(parts[0]);
    for (size_t i = 1; i < parts.size(); ++i) names.push_back(absl::StrCat(parts[0], parts[i]));
  }
  return names;
}

OciSeccompRule Allow(std::vector<std::string> names, std::vector<OciSeccompArg> args = {}) {
  return {.names = std::move(names), .action = "SCMP_ACT_ALLOW", .args = std::move(args)};
}

// Every address family below 64 but AF_ALG (38) and AF_VSOCK (40), as the blocks that differ from a
// number in the bits outside a mask. The upper half of the register is masked off, since the kernel
// takes an int.
void AllowSocketFamilies(std::vector<OciSeccompRule>& rules) {
  constexpr struct {
    uint64_t first, size;
  } kBlocks[] = {{0, 32}, {32, 4}, {36, 2}, {39, 1}, {41, 1}, {42, 2}, {44, 4}, {48, 16}};
  for (const auto& block : kBlocks) {
    rules.push_back(Allow({"socket"}, {{.index = 0,
                                        .value = 0xffffffff & ~(block.size - 1),
                                        .value_two = block.first,
                                        .op = "SCMP_CMP_MASKED_EQ"}}));
  }
}

void AllowPersonalities(std::vector<OciSeccompRule>& rules) {
  // PER_LINUX, PER_LINUX32, both with UNAME26, and the query.
  for (uint64_t value :
       {uint64_t{0}, uint64_t{0x8}, uint64_t{0x20000}, uint64_t{0x20008}, uint64_t{0xffffffff}}) {
    rules.push_back(Allow({"personality"}, {{.index = 0, .value = value, .op = "SCMP_CMP_EQ"}}));
  }
}

// Threads and processes, but no namespaces. clone3's flags are in memory, where a filter cannot
// look: ENOSYS makes a libc fall back to clone.
void AllowCloning(const std::string& architecture, std::vector<OciSeccompRule>& rules) {
  const uint32_t flags = architecture == "s390x" ? 1 : 0;
  rules.push_back(Allow(
      {"clone"},
      {{.index = flags, .value = kNewNamespaces, .value_two = 0, .op = "SCMP_CMP_MASKED_EQ"}}));
  rules.push_back({.names = {"clone3"}, .action = "SCMP_ACT_ERRNO", .errno_ret = ENOSYS});
}

}  // namespace

SeccompTarget SeccompTarget::Host(uint64_t capabilities) {
  SeccompTarget target{.capabilities = capabilities};
#if defined(__x86_64__)
  target.architecture = "amd64";
#elif defined(__aarch64__)
  target.architecture = "arm64";
#elif defined(__riscv)
  target.architecture = "riscv64";
#elif defined(__powerpc64__)
  target.architecture = "ppc64le";
#elif defined(__s390x__)
  target.architecture = "s390x";
#endif
  struct utsname name;
  if (uname(&name) == 0) {
    (void)std::sscanf(name.release, "%d.%d", &target.kernel.first, &target.kernel.second);
  }
  return target;
}

OciSeccomp DefaultSeccompProfile(const SeccompTarget& target) {
  OciSeccomp profile{.default_action = "SCMP_ACT_ERRNO"};
  profile.syscalls.push_back(Allow(Expand(kAlways)));
  AllowSocketFamilies(profile.syscalls);
  AllowPersonalities(profile.syscalls);
  if (target.kernel >= std::pair<int, int>{4, 8}) {
    profile.syscalls.push_back(Allow(Expand("process_vm_readv process_vm_writev ptrace")));
  }
  for (const Architecture& own : kArchitectures) {
    if (target.architecture != own.name) continue;
    profile.architectures = absl::StrSplit(own.abis, ' ', absl::SkipEmpty());
    profile.syscalls.push_back(Allow(Expand(own.names)));
  }
  for (const Grant& grant : kGrants) {
    if ((target.capabilities >> grant.capability & 1) == 0) continue;
    profile.syscalls.push_back(Allow(Expand(grant.names)));
  }
  if ((target.capabilities >> CAP_SYS_ADMIN & 1) == 0) {
    AllowCloning(target.architecture, profile.syscalls);
  }
  return profile;
}

Shared<OciSeccomp> HostDefaultSeccomp(uint64_t capabilities) {
  // Clients choose the sets, so there is a limit; a node's pods have a handful.
  constexpr size_t kMost = 64;
  static absl::Mutex mutex(absl::kConstInit);
  static auto& made = *new std::map<uint64_t, Shared<OciSeccomp>>;
  absl::MutexLock lock(&mutex);
  auto it = made.find(capabilities);
  if (it != made.end()) return it->second;
  if (made.size() == kMost) made.clear();
  return made[capabilities] = DefaultSeccompProfile(SeccompTarget::Host(capabilities));
}

}  // namespace crisp::runtime
