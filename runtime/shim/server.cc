#include "runtime/shim/server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "runtime/shim/birth.h"
#include "runtime/shim/connection.h"
#include "runtime/shim/message.h"
#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

constexpr uint64_t kInitWait = 8ull * 1000000000u, kKillWait = 1000000000u;

class Listener : public Watch {
 public:
  void Ready(uint32_t events) override;
};

class ChildSignal : public Watch {
 public:
  void Ready(uint32_t) override {
    Take();
    ReapChildren();
  }
  void Take() {
    signalfd_siginfo info;
    (void)!read(fd(), &info, sizeof(info));
  }
};

Listener g_listener;
ChildSignal g_child_signal;

// It ends when nothing is left in its PID namespace, also no child of the shim's that is not
// reaped.
void EndPodInit() {
  (void)g_pod.pod_init.Signal(SIGKILL);
  const uint64_t until = Monotonic() + kInitWait;
  while (g_pod.pod_init.alive() && Monotonic() < until) {
    ReapChildren();
    pollfd ends[] = {{.fd = g_pod.pod_init.pidfd.get(), .events = POLLIN, .revents = 0},
                     {.fd = g_child_signal.fd(), .events = POLLIN, .revents = 0}};
    (void)poll(ends, 2, 100);
    g_child_signal.Take();
  }
}

void Shutdown(uint64_t request_id) {
  BookTheDead();
  for (const Container* c = g_containers; c != nullptr; c = c->next) {
    if (c->state == State::kRunning || c->state == State::kStarting) {
      Refuse(kFailedPrecondition, "still running: container", c->id);
      ReplyPlain(request_id, false);
      return;
    }
  }
  for (Container* c = g_containers; c != nullptr; c = c->next) EndWaiting(c);
  for (Exec* exec = g_execs; exec != nullptr; exec = exec->next) KillExec(exec);
  FinishKills(kKillWait);
  while (g_births != nullptr) GiveUp(g_births, kUnavailable, "the pod ends");
  (void)unlinkat(g_pod.state_dir.get(), kShimSocketName, 0);
  EndPodInit();
  ReplyPlain(request_id, true);
  EndShim();
}

// The descriptors for stdin, stdout, stderr that the flags announce; false when they do not match.
bool TakeStdio(const Message& message, int stdio[3]) {
  const uint32_t bits[3] = {kStdinFd, kStdoutFd, kStderrFd};
  int used = 0;
  for (int i = 0; i < 3; ++i) {
    stdio[i] = -1;
    if ((message.header.flags & bits[i]) == 0) continue;
    if (used == message.fd_count) return Refuse(kInvalidArgument, "stdio descriptors missing");
    stdio[i] = message.fds[used++];
  }
  return true;
}

bool Create(Message* message) {
  size_t size = 0;
  char* plan = TakePlan(message, &size);
  if (plan == nullptr) return false;
  Fd root;
  if ((message->header.flags & kRootFd) != 0 && message->fd_count > 0) {
    root.Reset(message->fds[0]);
    --message->fd_count;
    memmove(message->fds, message->fds + 1, static_cast<size_t>(message->fd_count) * sizeof(int));
  }
  LayerFds layers;
  if ((message->header.flags & kLayerFds) != 0) layers = {message->fds, message->fd_count};
  if (CreateContainer(plan, size, &root, layers)) return true;
  free(plan);
  return false;
}

// Begins a start or an exec; its answer comes when the program runs.
bool BeginProcess(Message* message, const Str& id) {
  if (message->type() == MessageType::kStart) {
    Container* container = FindContainer(id);
    if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
    return BeginStart(container, message->header.request_id);
  }
  size_t size = 0;
  int stdio[3];
  char* plan = TakePlan(message, &size);
  const bool good = plan != nullptr && TakeStdio(*message, stdio) &&
                    BeginExec(plan, size, stdio, message->header.request_id);
  free(plan);
  return good;
}

bool Attach(Message* message, const Str& id) {
  int stdio[3];
  if (!TakeStdio(*message, stdio) || !AttachContainer(id, stdio)) return false;
  // The attachment owns exactly those now.
  int used = 0;
  for (const int fd : stdio) used += fd >= 0 ? 1 : 0;
  for (int i = used; i < message->fd_count; ++i) close(message->fds[i]);
  message->fd_count = 0;
  return true;
}

struct Arguments {
  Str id, exec_id;
  int32_t signal = 0;
  uint16_t rows = 0, columns = 0;
};

bool ReadArguments(const Message& message, Arguments* arguments) {
  PlanReader reader = message.reader();
  switch (message.type()) {
    case MessageType::kHello:
    case MessageType::kReport:
    case MessageType::kKeep:
    case MessageType::kShutdown:
      break;
    case MessageType::kCreate:
    case MessageType::kExec:
      return true;  // a plan
    case MessageType::kSignal:
      reader(arguments->id);
      reader(arguments->signal);
      break;
    case MessageType::kResize:
      reader(arguments->id);
      reader(arguments->exec_id);
      reader(arguments->rows);
      reader(arguments->columns);
      break;
    default:
      reader(arguments->id);
      break;
  }
  return (reader.ok() && reader.at_end()) || Refuse(kInvalidArgument, "malformed request");
}

void Listener::Ready(uint32_t) {
  const int socket = accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC);
  if (socket < 0) {
    if (errno == EMFILE || errno == ENFILE || IsShortage(errno)) Rest();
    return;
  }
  struct ucred {  // musl and glibc hide it behind different macros
    pid_t pid;
    uid_t uid;
    gid_t gid;
  } peer;
  socklen_t size = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != geteuid()) {
    close(socket);
    return;
  }
  UseConnection(socket, Dispatch);
}

// The directory may have a longer name than a socket address holds, so the name is relative.
bool Listen() {
  const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return Fail("make the pod's socket");
  g_listener.Adopt(socket);
  const HostScope host;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, kShimSocketName, sizeof(kShimSocketName));
  if (!host.entered() || fchdir(g_pod.state_dir.get()) != 0)
    return Fail("enter the state directory");
  (void)unlink(kShimSocketName);
  const mode_t before = umask(0177);
  const bool bound = bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  umask(before);
  if (!bound || listen(socket, 4) != 0) return Fail("listen on", kShimSocketName);
  return g_listener.Want(EPOLLIN) || Fail("wait for connections");
}

bool WatchChildren() {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  const int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return Fail("watch for children");
  g_child_signal.Adopt(fd);
  return g_child_signal.Want(EPOLLIN) || Fail("watch for children");
}

// Of two times to wait, of which -1 is for ever.
int Sooner(int a, int b) { return a < 0 || (b >= 0 && b < a) ? b : a; }

// True for a request that makes a process or looks at the shim's own mounts.
bool IsWhereItNeeds(MessageType type) {
  const bool needs = type == MessageType::kCreate || type == MessageType::kAssemble ||
                     type == MessageType::kStart || type == MessageType::kExec;
  return !needs || HostScope::ReturnHome() || Fail("return to the shim's mount namespace");
}

}  // namespace

void Dispatch(Message* message) {
  const uint64_t id = message->header.request_id;
  Arguments arguments;
  if (message->truncated) {
    ReplyPlain(id, Refuse(kResourceExhausted, "the shim may have no more open files"));
    return;
  }
  if (!ReadArguments(*message, &arguments) || !IsWhereItNeeds(message->type())) {
    ReplyPlain(id, false);
    return;
  }
  switch (message->type()) {
    case MessageType::kHello:
      ReplyHello(message->header);
      break;
    case MessageType::kCreate:
      ReplyPlain(id, Create(message));
      break;
    case MessageType::kAssemble:
      AssembleAhead(FindContainer(arguments.id));
      break;
    case MessageType::kStart:
    case MessageType::kExec:
      if (!BeginProcess(message, arguments.id)) ReplyPlain(id, false);
      break;
    case MessageType::kSignal:
      ReplyPlain(id, SignalContainer(arguments.id, arguments.signal));
      break;
    case MessageType::kRemove:
      ReplyPlain(id, RemoveContainer(arguments.id));
      break;
    case MessageType::kReopenLog:
      ReplyPlain(id, ReopenLog(arguments.id));
      break;
    case MessageType::kKillExec:
      KillExec(arguments.id, id);
      break;
    case MessageType::kAttach:
      ReplyPlain(id, Attach(message, arguments.id));
      break;
    case MessageType::kResize:
      ReplyPlain(
          id, ResizeTerminal(arguments.id, arguments.exec_id, arguments.rows, arguments.columns));
      break;
    case MessageType::kReport:
      ReplyReport(id);
      break;
    case MessageType::kKeep:
      message->fd_count = 0;  // not closed with the message, and with nothing else
      ReplyPlain(id, true);
      break;
    case MessageType::kShutdown:
      Shutdown(id);
      break;
    default:
      ReplyPlain(id, Refuse(kInvalidArgument, "unknown request"));
      break;
  }
}

void Serve(int control, const MessageHeader& request) {
  // A spare has its loop and its log writer already.
  if (!StartLoop() || !StartLogWriter() || !WatchChildren() || !Listen()) {
    SendError(control, request.request_id);
    _exit(1);
  }
  UseConnection(control, Dispatch);
  ReplyHello(request);
  // Nobody knows of a shim that could not greet.
  if (!Connected()) _exit(1);
  while (true) {
    RunOnce(Sooner(SettleOverdue(), Sooner(LogTimeout(), KillTimeout())));
    ServeLogs();
    ServeKills();
    if (g_execs != nullptr) {
      AnnounceExits();
      SweepExecs(Connected());
    }
  }
}

}  // namespace crisp::shim
