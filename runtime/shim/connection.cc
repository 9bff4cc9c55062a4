#include "runtime/shim/connection.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "runtime/shim/birth.h"
#include "runtime/shim/message.h"
#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

class Connection : public Watch {
 public:
  void Ready(uint32_t events) override;
  void (*dispatch)(Message* message) = nullptr;
  // A daemon that cannot be heard connects again when it is told so by the end of this one.
  void Read(uint32_t events) {
    if (!Want(events)) DropConnection();
  }
};

Connection g_connection;
bool g_report_asked =
    false;  // and put off until what a former daemon has begun to start is settled
uint64_t g_report_request = 0;

// Answers must reach the daemon. One that does not read for a second is as good as gone.
void SendReply(Writer* writer) {
  if (g_connection.fd() < 0) return;
  int error = writer->Send(g_connection.fd(), MSG_DONTWAIT);
  if (error == EAGAIN) {
    pollfd wait = {.fd = g_connection.fd(), .events = POLLOUT, .revents = 0};
    (void)poll(&wait, 1, 1000);
    error = writer->Send(g_connection.fd(), MSG_DONTWAIT);
  }
  constexpr int kTries = 100;  // the kernel has no memory for a moment
  for (int i = 0; i < kTries && IsShortage(error); ++i) {
    (void)poll(nullptr, 0, 1);
    error = writer->Send(g_connection.fd(), MSG_DONTWAIT);
  }
  if (error != 0) DropConnection();
}

int OpenRtnl() { return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); }

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

// False when the daemon cannot take more now.
bool SendEvent(MessageType type, const char* id, const Ending& ending) {
  Writer writer(type, 0);
  writer.String(id);
  WriteEnding(&writer, ending);
  const int error = writer.Send(g_connection.fd(), MSG_DONTWAIT);
  if (error == EAGAIN || IsShortage(error)) {
    if (!g_connection.Want(g_connection.wanted() | EPOLLOUT)) DropConnection();
    // It takes more, and the kernel has no memory to send it from.
    if (error != EAGAIN) g_connection.Rest();
    return false;
  }
  if (error != 0) DropConnection();
  return error == 0;
}

void Connection::Ready(uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    Read(EPOLLIN);
    AnnounceExits();
  }
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) == 0) return;
  Message message;
  switch (Receive(fd(), MSG_DONTWAIT, &message)) {
    case Received::kMessage:
      dispatch(&message);
      break;
    case Received::kNothing:
      break;
    case Received::kNoRoom:
      Rest();
      break;
    case Received::kMalformed:
    case Received::kClosed:
      DropConnection();
      break;
  }
}

}  // namespace

bool Connected() { return g_connection.fd() >= 0; }

// Nobody is left who could end an exec or wants to know how it ended, so none outlives its daemon.
void DropConnection() {
  g_connection.Close();
  g_report_asked = false;
  for (Birth* birth = g_births; birth != nullptr; birth = birth->next) birth->asked = false;
  for (Exec* exec = g_execs; exec != nullptr; exec = exec->next) {
    exec->asker_count = 0;
    KillExec(exec);
  }
}

void UseConnection(int socket, void (*dispatch)(Message* message)) {
  DropConnection();
  g_connection.dispatch = dispatch;
  g_connection.Adopt(socket);
  g_connection.Read(EPOLLIN);
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

bool AnnounceSpare(int control) {
  const Fd rtnl(OpenRtnl());
  if (!rtnl.valid()) return Fail("open a NETLINK_ROUTE socket");
  Writer writer(MessageType::kSpareReady, 0);
  writer.AddFd(g_pod.pod_net.get());
  writer.AddFd(rtnl.get());
  return writer.Send(control, 0) == 0;
}

void ReplyHello(const MessageHeader& request) {
  const Fd rtnl(g_pod.pod_net.valid() ? OpenRtnl() : -1);
  const Fd self(SysPidfdOpen(getpid()));
  const Fd files(open(kSlotFiles, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const int fds[] = {g_pod.pod_net.get(), rtnl.get(), g_pod.userns.get(), self.get(), files.get()};
  Writer writer(MessageType::kReply, request.request_id);
  WriteOk(&writer);
  writer.String(g_pod.id);
  writer.I32(getpid());
  uint32_t mask = 0;
  for (int i = 0; i < 5; ++i) {
    if (fds[i] < 0) continue;
    mask |= 1u << i;
    writer.AddFd(fds[i]);
  }
  writer.U32(mask);
  // Daemons of the first release refuse a greeting with more in it.
  if (Speaks(request) >= 2) {
    writer.U16(kWireVersion);
    writer.U16(kPlanVersion);
  }
  SendReply(&writer);
}

void ReplyReport(uint64_t request_id) {
  // A daemon that has not begun a start does not hear how it ends.
  if (AnyOrphanStart()) {
    g_report_asked = true;
    g_report_request = request_id;
    return;
  }
  BookTheDead();
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
    writer.I32(c->state == State::kRunning ? c->process.pid : 0);
    writer.U64(c->started_at);
    WriteEnding(&writer, c->ending);
    if (c->state == State::kRunning && writer.fds_left() > 0) writer.AddFd(c->process.pidfd.get());
  }
  SendReply(&writer);
}

void AnswerReport() {
  if (!g_report_asked || AnyOrphanStart()) return;
  g_report_asked = false;
  ReplyReport(g_report_request);
}

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
    if (c->state != State::kExited || c->announced || c->settling) continue;
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

void AnswerStart(const Birth& birth) {
  if (!birth.asked || g_connection.fd() < 0) return;
  if (birth.failed) {
    g_error = birth.error;
    SendError(g_connection.fd(), birth.request_id);
    return;
  }
  Writer writer(MessageType::kReply, birth.request_id);
  WriteOk(&writer);
  const Process& process = birth.process();
  writer.I32(process.pid);
  writer.U64(birth.container != nullptr ? birth.container->started_at : birth.exec->started_at);
  writer.AddFd(process.pidfd.get());
  SendReply(&writer);
}

}  // namespace crisp::shim
