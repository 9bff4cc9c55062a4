#include "runtime/shim/server.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "runtime/shim/container.h"
#include "runtime/shim/message.h"
#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

class Connection : public Watch {
 public:
  void Ready(uint32_t events) override;
};

class Listener : public Watch {
 public:
  void Ready(uint32_t events) override;
};

class ChildSignal : public Watch {
 public:
  void Ready(uint32_t) override {
    signalfd_siginfo info;
    (void)!read(fd(), &info, sizeof(info));
    ReapChildren();
  }
};

Connection g_connection;
Listener g_listener;
ChildSignal g_child_signal;
uint64_t g_pending_request = 0;    // of the start under way
bool g_pending_connected = false;  // whoever asked is still connected

void DropConnection() {
  g_connection.Close();
  g_pending_connected = false;
}

// What the daemon asked for must reach it; one that does not read for a second is as good as gone.
void SendReply(Writer* writer) {
  if (g_connection.fd() < 0) return;
  int error = writer->Send(g_connection.fd(), MSG_DONTWAIT);
  if (error == EAGAIN) {
    pollfd wait = {.fd = g_connection.fd(), .events = POLLOUT, .revents = 0};
    (void)poll(&wait, 1, 1000);
    error = writer->Send(g_connection.fd(), MSG_DONTWAIT);
  }
  if (error != 0) DropConnection();
}

void WriteOk(Writer* writer) {
  writer->U32(kOk);
  writer->I32(0);
  writer->String("");
}

void WriteEnding(Writer* writer, const Ending& ending) {
  writer->I32(ending.exit_code);
  writer->I32(ending.signal);
  writer->U64(ending.at);
  writer->Bool(ending.log_truncated);
}

void ReplyPlain(uint64_t request_id, bool good) {
  if (!good) {
    if (g_connection.fd() >= 0) SendError(g_connection.fd(), request_id);
    return;
  }
  Writer writer(MessageType::kReply, request_id);
  WriteOk(&writer);
  SendReply(&writer);
}

void ReplyHello(uint64_t request_id) {
  const Fd rtnl(g_pod.pod_net.valid() ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
                                      : -1);
  const Fd self(SysPidfdOpen(getpid()));
  const int fds[] = {g_pod.pod_net.get(), rtnl.get(), g_pod.userns.get(), self.get()};
  Writer writer(MessageType::kReply, request_id);
  WriteOk(&writer);
  writer.String(g_pod.id);
  writer.I32(getpid());
  uint32_t mask = 0;
  for (int i = 0; i < 4; ++i) {
    if (fds[i] < 0) continue;
    mask |= 1u << i;
    writer.AddFd(fds[i]);
  }
  writer.U32(mask);
  SendReply(&writer);
}

void ReplyReport(uint64_t request_id) {
  Writer writer(MessageType::kReply, request_id);
  WriteOk(&writer);
  uint32_t count = 0;
  for (const Container* c = g_containers; c != nullptr; c = c->next) ++count;
  writer.U32(count);
  for (const Container* c = g_containers; c != nullptr; c = c->next) {
    if (writer.left() < strlen(c->id) + 64) {
      Refuse(kInternal, "too many containers for one report");
      SendError(g_connection.fd(), request_id);
      return;
    }
    writer.String(c->id);
    writer.U16(static_cast<uint16_t>(c->state == State::kStarting ? State::kCreated : c->state));
    writer.I32(c->state == State::kRunning ? c->pid : 0);
    writer.U64(c->started_at);
    WriteEnding(&writer, c->ending);
  }
  SendReply(&writer);
}

void Shutdown(uint64_t request_id) {
  for (const Container* c = g_containers; c != nullptr; c = c->next) {
    if (c->state == State::kRunning || c->state == State::kStarting) {
      Refuse(kFailedPrecondition, "still running: container", c->id);
      ReplyPlain(request_id, false);
      return;
    }
  }
  for (Exec* exec = g_execs; exec != nullptr; exec = exec->next) (void)KillExec(Str{exec->id, 0});
  (void)unlinkat(g_pod.state_dir.get(), kShimSocketName, 0);
  if (g_pod.pod_init > 0) {
    (void)kill(g_pod.pod_init, SIGKILL);
    (void)WaitFor(g_pod.pod_init);
  }
  ReplyPlain(request_id, true);
  _exit(0);
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
  if (CreateContainer(plan, size)) return true;
  free(plan);
  return false;
}

// Begins a start or an exec; its answer comes from AnswerStart() when it has begun.
bool BeginProcess(Message* message, const Str& id) {
  if (message->type() == MessageType::kStart) {
    Container* container = FindContainer(id);
    if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
    return BeginStart(container);
  }
  size_t size = 0;
  int stdio[3];
  char* plan = TakePlan(message, &size);
  const bool good = plan != nullptr && TakeStdio(*message, stdio) && BeginExec(plan, size, stdio);
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

void Dispatch(Message* message) {
  const uint64_t id = message->header.request_id;
  Arguments arguments;
  if (!ReadArguments(*message, &arguments)) {
    ReplyPlain(id, false);
    return;
  }
  switch (message->type()) {
    case MessageType::kHello:
      ReplyHello(id);
      break;
    case MessageType::kCreate:
      ReplyPlain(id, Create(message));
      break;
    case MessageType::kStart:
    case MessageType::kExec:
      if (!BeginProcess(message, arguments.id)) {
        ReplyPlain(id, false);
      } else {
        g_pending_request = id;
        g_pending_connected = true;
        g_connection.Want(0);
      }
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
      ReplyPlain(id, KillExec(arguments.id));
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
    case MessageType::kShutdown:
      Shutdown(id);
      break;
    default:
      ReplyPlain(id, Refuse(kInvalidArgument, "unknown request"));
      break;
  }
}

void Connection::Ready(uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    Want(EPOLLIN);
    AnnounceExits();
  }
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) == 0) return;
  Message message;
  switch (Receive(fd(), MSG_DONTWAIT, &message)) {
    case Received::kMessage:
      Dispatch(&message);
      break;
    case Received::kNothing:
      break;
    case Received::kMalformed:
    case Received::kClosed:
      DropConnection();
      break;
  }
}

void UseConnection(int socket) {
  DropConnection();
  g_connection.Adopt(socket);
  g_connection.Want(g_start.fd() < 0 ? uint32_t{EPOLLIN} : 0u);
}

void Listener::Ready(uint32_t) {
  const int socket = accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC);
  if (socket < 0) return;
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
  UseConnection(socket);
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

// False when the daemon cannot take more now.
bool SendEvent(MessageType type, const char* id, const Ending& ending) {
  Writer writer(type, 0);
  writer.String(id);
  WriteEnding(&writer, ending);
  const int error = writer.Send(g_connection.fd(), MSG_DONTWAIT);
  if (error == EAGAIN) {
    g_connection.Want(g_connection.wanted() | EPOLLOUT);
    return false;
  }
  if (error != 0) DropConnection();
  return error == 0;
}

}  // namespace

void SendError(int socket, uint64_t request_id) {
  Writer writer(MessageType::kReply, request_id);
  writer.U32(g_error.error_number != 0 ? static_cast<uint32_t>(kInternal) : g_error.code);
  writer.I32(g_error.error_number);
  writer.String(g_error.text);
  if (socket == g_connection.fd()) {
    SendReply(&writer);
  } else {
    (void)writer.Send(socket, 0);
  }
}

void AnnounceExits() {
  for (Container* c = g_containers; c != nullptr && g_connection.fd() >= 0; c = c->next) {
    if (c->state != State::kExited || c->announced) continue;
    if (!SendEvent(MessageType::kContainerExit, c->id, c->ending)) return;
    c->announced = true;
  }
  for (Exec* e = g_execs; e != nullptr && g_connection.fd() >= 0; e = e->next) {
    // Its terminal's last output goes first.
    if (!e->ended || e->announced || (e->io != nullptr && !e->io->flushed())) continue;
    if (!SendEvent(MessageType::kExecExit, e->id, e->ending)) return;
    e->announced = true;
  }
}

void AnswerStart() {
  if (g_connection.fd() >= 0) g_connection.Want(EPOLLIN);
  if (!g_pending_connected) return;
  g_pending_connected = false;
  if (g_start.failed) {
    g_error = g_start.error;
    SendError(g_connection.fd(), g_pending_request);
    return;
  }
  Writer writer(MessageType::kReply, g_pending_request);
  WriteOk(&writer);
  writer.I32(g_start.pid);
  writer.U64(g_start.container != nullptr ? g_start.container->started_at
                                          : g_start.exec->started_at);
  if (g_start.pidfd.valid()) writer.AddFd(g_start.pidfd.get());
  SendReply(&writer);
  g_start.pidfd.Reset();
}

void Serve(int control, uint64_t request_id) {
  if (!StartLoop() || !WatchChildren() || !Listen()) {
    SendError(control, request_id);
    _exit(1);
  }
  UseConnection(control);
  ReplyHello(request_id);
  while (true) {
    int timeout = -1;
    if (g_start.fd() >= 0) {
      const uint64_t now = Now();
      if (now >= g_start.deadline) {
        g_start.failed = true;
        Refuse(kDeadlineExceeded, "start: the new process did not reach its program");
        g_start.error = g_error;
        if (g_start.pid > 0) (void)kill(g_start.pid, SIGKILL);
        g_start.Close();
        SettleStart();
        continue;
      }
      timeout = static_cast<int>((g_start.deadline - now) / 1000000) + 1;
    }
    RunOnce(timeout);
    if (g_execs != nullptr) {
      AnnounceExits();
      SweepExecs(g_connection.fd() >= 0);
    }
  }
}

}  // namespace crisp::shim
