// Requests to a shim, one after another, as bytes: whatever they say, the shim answers or hangs up,
// and holds nothing afterwards that it did not hold before.
//
// Each begins with six bytes: its type (an index of kTypes), which descriptors come with it (enum
// Comes), the flags and the size of what follows, its payload; both little-endian. The kernel's
// part is testing/fake_kernel.h's, and what is left of it a filter refuses that changes anything.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iterator>
#include <vector>

#include "runtime/shim/broker.h"
#include "runtime/shim/connection.h"
#include "runtime/shim/log_stream.h"
#include "runtime/shim/loop.h"
#include "runtime/shim/message.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/server.h"
#include "runtime/shim/testing/fake_kernel.h"

namespace crisp::shim {
namespace {

constexpr MessageType kTypes[] = {
    MessageType::kStartPod,  MessageType::kHello,      MessageType::kCreate,
    MessageType::kStart,     MessageType::kSignal,     MessageType::kRemove,
    MessageType::kReopenLog, MessageType::kExec,       MessageType::kKillExec,
    MessageType::kAttach,    MessageType::kResize,     MessageType::kReport,
    MessageType::kShutdown,  MessageType::kStartSpare, MessageType::kAssemble,
    MessageType::kKeep,      MessageType::kReply,      static_cast<MessageType>(999)};

enum Comes : uint8_t {
  kPlanAside = 1,   // the payload, in a sealed memfd; first of all
  kRoot = 2,        // something that may be a root
  kPipes = 4,       // three pipes' ends
  kBadHeader = 8,   // the payload is the whole message
  kTimePasses = 16  // first, more than anything is waited for
};

struct Request {
  uint8_t type, comes;
  uint16_t flags, size;
};

// Refuses what would change something, as far as no fake does it already: libFuzzer itself makes
// files by their paths only.
void Fence() {
  constexpr uint32_t kRefused[] = {
      SYS_mount,      SYS_umount2,
      SYS_pivot_root, SYS_chroot,
      SYS_chdir,      SYS_fchdir,
      SYS_unshare,    SYS_setns,
      SYS_clone3,     SYS_kill,
      SYS_mkdirat,    SYS_mknodat,
      SYS_unlinkat,   SYS_renameat,
      SYS_renameat2,  SYS_linkat,
      SYS_symlinkat,  SYS_fchmod,
      SYS_fchmodat,   SYS_fchown,
      SYS_fchownat,   SYS_fsetxattr,
      SYS_setxattr,   SYS_sethostname,
      SYS_open_tree,  SYS_move_mount,
      SYS_fsopen,     SYS_fsmount,
      SYS_setgroups,  SYS_setresuid,
      SYS_setresgid,  SYS_capset,
      SYS_bpf,        SYS_pidfd_send_signal,
#ifdef SYS_mkdir
      SYS_mkdir,      SYS_mknod,
      SYS_unlink,     SYS_rmdir,
      SYS_rename,     SYS_link,
      SYS_symlink,    SYS_chmod,
      SYS_chown,
#endif
  };
  std::vector<sock_filter> code = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  const sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  for (const uint32_t call : kRefused) {
    // glibc asks for threads in another way where there is no clone3.
    const uint32_t error = call == SYS_clone3 ? ENOSYS : EPERM;
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
  }
  const sock_filter creates[] = {
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(AT_FDCWD), 3, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 0, 1),
      refuse,
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  code.insert(code.end(), std::begin(creates), std::end(creates));
  const sock_fprog program = {.len = static_cast<unsigned short>(code.size()),
                              .filter = code.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
    abort();
  }
}

int CountDescriptors() {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) abort();
  int count = 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

// The daemon's side.
class Daemon {
 public:
  Daemon() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) abort();
    ours_.Reset(ends[0]);
    theirs_ = ends[1];
  }
  int theirs() const { return theirs_; }
  void Send(const Request& request, const uint8_t* payload);
  // What it is told is not its matter.
  void Listen() {
    char buffer[kMaxMessage];
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxMessageFds * sizeof(int))];
    while (true) {
      iovec vector = {.iov_base = buffer, .iov_len = sizeof(buffer)};
      msghdr message = {};
      message.msg_iov = &vector;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      if (recvmsg(ours_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0) return;
      for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
           header = CMSG_NXTHDR(&message, header)) {
        const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
          int fd;
          memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
          close(fd);
        }
      }
    }
  }

 private:
  Fd ours_;
  int theirs_;
};

Fd SealedMemfd(const uint8_t* bytes, size_t size) {
  Fd fd(memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid() || write(fd.get(), bytes, size) != static_cast<ssize_t>(size) ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK) != 0) {
    abort();
  }
  return fd;
}

void Daemon::Send(const Request& request, const uint8_t* payload) {
  const MessageType type = kTypes[request.type % std::size(kTypes)];
  MessageHeader header = {.magic = kWireMagic,
                          .version = kHeaderForm,
                          .type = static_cast<uint16_t>(type),
                          .request_id = 1,
                          .size = request.size,
                          .flags = request.flags};
  // What these hold they hold until the shim ends, which this one does not.
  const bool keeps = type == MessageType::kKeep || type == MessageType::kShutdown;
  std::vector<Fd> fds;
  if (!keeps && (request.comes & kPlanAside) != 0) {
    fds.push_back(SealedMemfd(payload, request.size));
    header.flags |= kPlanInMemfd;
    header.size = 0;
  }
  if (!keeps && (request.comes & kRoot) != 0)
    fds.emplace_back(open("/dev/null", O_PATH | O_CLOEXEC));
  for (int i = 0; !keeps && (request.comes & kPipes) != 0 && i < 3; ++i) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) abort();
    fds.emplace_back(ends[i == 0 ? 0 : 1]);
    close(ends[i == 0 ? 1 : 0]);
  }
  iovec vectors[2] = {{.iov_base = &header, .iov_len = sizeof(header)},
                      {.iov_base = const_cast<uint8_t*>(payload), .iov_len = header.size}};
  const bool bare = (request.comes & kBadHeader) != 0;
  msghdr message = {};
  message.msg_iov = bare ? vectors + 1 : vectors;
  message.msg_iovlen = bare ? 1 : 2;
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* const header_of = CMSG_FIRSTHDR(&message);
    header_of->cmsg_level = SOL_SOCKET;
    header_of->cmsg_type = SCM_RIGHTS;
    header_of->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    for (size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      memcpy(CMSG_DATA(header_of) + i * sizeof(int), &fd, sizeof(fd));
    }
  }
  (void)sendmsg(ours_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// As the broker and the processes that it makes take what is theirs.
void SetUp(int socket) {
  Message message;
  if (Receive(socket, MSG_DONTWAIT, &message) != Received::kMessage || message.truncated) return;
  size_t size = 0;
  char* const bytes = TakePlan(&message, &size);
  if (bytes == nullptr) return;
  if (message.type() == MessageType::kStartSpare) {
    (void)SetUpAsSpare(bytes, size);
  } else {
    (void)SetUpAsPod(bytes, size);
  }
  // Both are of a process' life.
  if (g_pod.id[0] != '\0') free(const_cast<char*>(g_pod.id));
  g_pod = Pod();
  free(bytes);
}

void Run(const uint8_t* data, size_t size, Daemon& daemon, Daemon& brokers) {
  Request request;
  for (int count = 0; size >= sizeof(request) && count < 64 && Connected(); ++count) {
    memcpy(&request, data, sizeof(request));
    data += sizeof(request);
    size -= sizeof(request);
    if (request.size > size) request.size = static_cast<uint16_t>(size);
    if ((request.comes & kTimePasses) != 0) g_kernel.now += 1000ull * 1000000000u;
    const MessageType type = kTypes[request.type % std::size(kTypes)];
    if (type == MessageType::kStartPod || type == MessageType::kStartSpare) {
      brokers.Send(request, data);
      SetUp(brokers.theirs());
    } else {
      daemon.Send(request, data);
      for (int turn = 0; turn < 4; ++turn) TakeTurn();
    }
    daemon.Listen();
    data += request.size;
    size -= request.size;
  }
}

}  // namespace
}  // namespace crisp::shim

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  using namespace crisp::shim;
  signal(SIGPIPE, SIG_IGN);
  // There is a ring, and nobody who takes from it.
  g_kernel.log_writers = false;
  if (!StartLoop() || StartLogWriter()) abort();
  Fence();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::shim;
  const int before = CountDescriptors();
  g_kernel = FakeKernel();
  g_kernel.log_writers = false;
  g_kernel.step = 1000;
  {
    Daemon daemon, brokers;
    const Fd broker(brokers.theirs());
    UseConnection(daemon.theirs(), Dispatch);
    jmp_buf end;
    g_kernel.end = &end;
    if (setjmp(end) == 0) Run(data, size, daemon, brokers);
    ForgetEverything();
  }
  if (CountDescriptors() != before) abort();
  return 0;
}
