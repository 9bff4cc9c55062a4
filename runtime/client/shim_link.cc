#include "runtime/client/shim_link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/socket_fds.h"
#include "base/status.h"
#include "runtime/wire/plan_view.h"

namespace crisp::runtime {
namespace {

absl::StatusOr<UniqueFd> SealedMemfd(const std::string& bytes) {
  UniqueFd fd(memfd_create("crisp-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return ErrnoError(errno, "create memfd for a plan");
  CRISP_RETURN_IF_ERROR(WriteAll(fd.get(), bytes, "plan memfd"));
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoError(errno, "seal the plan memfd");
  }
  return fd;
}

absl::Status SendWhole(int socket,
                       std::initializer_list<absl::string_view> parts,
                       const std::vector<int>& fds,
                       const Operation& operation) {
  std::optional<CancelEvent> cancelled;  // only who has to wait needs it
  for (;;) {
    const absl::Status sent = SendWithFds(socket, parts, fds, MSG_DONTWAIT);
    if (sent.ok()) return sent;
    const int error = ErrnoOf(sent);
    if (error == EPIPE || error == ECONNRESET || error == ECONNREFUSED || error == ENOTCONN) {
      return absl::UnavailableError("the shim has gone");
    }
    if (error != EAGAIN) return ErrnoError(error, "send to the shim");
    CRISP_RETURN_IF_ERROR(operation.Check("send to the shim"));
    if (!cancelled.has_value()) {
      cancelled.emplace(operation);
      CRISP_RETURN_IF_ERROR(cancelled->status());
    }
    pollfd room = {.fd = socket, .events = POLLOUT, .revents = 0};
    (void)cancelled->Poll(absl::MakeSpan(&room, 1));
  }
}

PlanReader ReaderOf(absl::string_view bytes) {
  return PlanReader(bytes.data(), bytes.data() + bytes.size());
}

absl::Status Malformed(absl::string_view what) {
  return absl::InternalError(absl::StrCat("malformed ", what, " from the shim"));
}

absl::Status MalformedMessage() {
  return absl::InvalidArgumentError("malformed message from the shim");
}

void ReadRecord(PlanReader& reader, ExitRecord* record) {
  uint64_t at = 0;
  reader(record->exit_code);
  reader(record->signal);
  reader(at);
  reader(record->log_truncated);
  record->exited_at = absl::FromUnixNanos(static_cast<int64_t>(at));
}

}  // namespace

PayloadWriter& PayloadWriter::String(absl::string_view value) {
  Number(static_cast<uint32_t>(value.size()));
  out_.append(value.data(), value.size());
  out_.push_back('\0');
  return *this;
}

absl::Status SendMessage(int socket,
                         const WireMessage& message,
                         const std::vector<int>& fds,
                         const Operation& operation) {
  MessageHeader header = {.magic = kWireMagic,
                          .version = kHeaderForm,
                          .type = static_cast<uint16_t>(message.type),
                          .request_id = message.request_id,
                          .size = static_cast<uint32_t>(message.payload.size()),
                          .flags = message.flags | static_cast<uint32_t>(kWireVersion)
                                                       << kSpeaksShift};
  std::vector<int> all;
  UniqueFd memfd;
  absl::string_view payload = message.payload;
  if (payload.size() > kMaxMessage - sizeof(header)) {
    if (payload.size() > kMaxPlan) {
      return absl::ResourceExhaustedError(
          absl::StrCat("launch plan of ", payload.size(), " bytes is too long for the shim"));
    }
    CRISP_ASSIGN_OR_RETURN(memfd, SealedMemfd(message.payload));
    all.push_back(memfd.get());
    payload = "";
    header.size = 0;
    header.flags |= kPlanInMemfd;
  }
  all.insert(all.end(), fds.begin(), fds.end());
  const absl::string_view head(reinterpret_cast<const char*>(&header), sizeof(header));
  return SendWhole(socket, {head, payload}, all, operation);
}

absl::StatusOr<WireMessage> ReceiveMessage(int socket) {
  char buffer[kMaxMessage];
  absl::StatusOr<Received> received =
      ReceiveWithFds(socket, buffer, sizeof(buffer), kMaxMessageFds, MSG_DONTWAIT);
  if (!received.ok()) {
    const int error = ErrnoOf(received.status());
    if (error == EAGAIN) return absl::NotFoundError("no message from the shim");
    return error == 0 ? MalformedMessage() : absl::UnavailableError("the shim has gone");
  }
  const size_t n = received->size;
  if (n == 0) return absl::UnavailableError("the shim has gone");
  MessageHeader header;
  if (n < sizeof(header)) return absl::InvalidArgumentError("short message");
  std::memcpy(&header, buffer, sizeof(header));
  if (header.magic != kWireMagic || header.version != kHeaderForm ||
      header.size != n - sizeof(header)) {
    return MalformedMessage();
  }
  WireMessage message;
  message.fds = std::move(received->fds);
  message.type = static_cast<MessageType>(header.type);
  message.request_id = header.request_id;
  message.flags = header.flags;
  message.payload.assign(buffer + sizeof(header), header.size);
  return message;
}

absl::StatusOr<ReplyStatus> ParseReply(absl::string_view payload) {
  PlanReader reader = ReaderOf(payload);
  uint32_t code = 0;
  int32_t error_number = 0;
  Str text;
  reader(code);
  reader(error_number);
  reader(text);
  if (!reader.ok() || code > 16) return Malformed("reply");
  ReplyStatus reply;
  reply.rest = payload.substr(static_cast<size_t>(reader.position() - payload.data()));
  const absl::string_view message(text.data, text.size);
  if (error_number != 0) {
    reply.status = ErrnoError(error_number, message);
  } else if (code != 0) {
    reply.status = absl::Status(static_cast<absl::StatusCode>(code), message);
  }
  return reply;
}

absl::StatusOr<HelloReply> ParseHello(absl::string_view rest) {
  PlanReader reader = ReaderOf(rest);
  Str pod_id;
  int32_t pid = 0;
  HelloReply hello;
  reader(pod_id);
  reader(pid);
  reader(hello.fds);
  if (!reader.at_end()) {
    reader(hello.versions.wire);
    reader(hello.versions.plan);
  }
  if (!reader.ok() || !reader.at_end() || hello.versions.wire < kFirstWireVersion ||
      hello.versions.plan < kFirstPlanVersion) {
    return Malformed("greeting");
  }
  hello.pod_id.assign(pod_id.data, pod_id.size);
  hello.pid = pid;
  return hello;
}

absl::StatusOr<StartReply> ParseStart(absl::string_view rest) {
  PlanReader reader = ReaderOf(rest);
  int32_t pid = 0;
  uint64_t at = 0;
  reader(pid);
  reader(at);
  if (!reader.ok() || !reader.at_end()) return Malformed("answer to a start");
  return StartReply{.pid = pid, .started_at = absl::FromUnixNanos(static_cast<int64_t>(at))};
}

absl::StatusOr<std::vector<ContainerReport>> ParseReport(absl::string_view rest) {
  PlanReader reader = ReaderOf(rest);
  uint32_t count = 0;
  reader(count);
  std::vector<ContainerReport> reports;
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    ContainerReport report;
    Str id;
    uint16_t state = 0;
    int32_t pid = 0;
    uint64_t started = 0;
    reader(id);
    reader(state);
    reader(pid);
    reader(started);
    ReadRecord(reader, &report.exit);
    if (!reader.ok() || state > 2) return Malformed("report");
    report.container_id.assign(id.data, id.size);
    report.state = static_cast<ContainerReport::State>(state);
    report.pid = pid;
    report.started_at = absl::FromUnixNanos(static_cast<int64_t>(started));
    reports.push_back(std::move(report));
  }
  if (!reader.ok() || !reader.at_end()) return Malformed("report");
  return reports;
}

absl::StatusOr<ExitEvent> ParseExitEvent(absl::string_view payload) {
  PlanReader reader = ReaderOf(payload);
  Str id;
  ExitEvent event;
  reader(id);
  ReadRecord(reader, &event.record);
  if (!reader.ok() || !reader.at_end()) return Malformed("exit event");
  event.id.assign(id.data, id.size);
  return event;
}

}  // namespace crisp::runtime
