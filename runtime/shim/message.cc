#include "runtime/shim/message.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#define F_SEAL_SHRINK 2
#define F_SEAL_WRITE 8
#endif

namespace crisp::shim {
namespace {

alignas(8) char g_in[kMaxMessage];
alignas(8) char g_out[kMaxMessage];

void TakeFds(msghdr* message, Message* out) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
      if (out->fd_count < kMaxMessageFds) {
        out->fds[out->fd_count++] = fd;
      } else {
        close(fd);
      }
    }
  }
}

}  // namespace

Message::~Message() {
  for (int i = 0; i < fd_count; ++i) close(fds[i]);
}

Received Receive(int socket, int flags, Message* out) {
  iovec vector = {.iov_base = g_in, .iov_len = sizeof(g_in)};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxMessageFds * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t n;
  do {
    n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && IsShortage(errno)) return Received::kNoRoom;
  if (n < 0) return errno == EAGAIN ? Received::kNothing : Received::kClosed;
  TakeFds(&message, out);
  if (n == 0) return Received::kClosed;
  if (static_cast<size_t>(n) < sizeof(MessageHeader)) return Received::kMalformed;
  memcpy(&out->header, g_in, sizeof(MessageHeader));
  out->payload = g_in + sizeof(MessageHeader);
  out->truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  const bool good = out->header.magic == kWireMagic && out->header.version == kHeaderForm &&
                    out->header.size == static_cast<size_t>(n) - sizeof(MessageHeader) &&
                    (message.msg_flags & MSG_TRUNC) == 0;
  return good ? Received::kMessage : Received::kMalformed;
}

char* TakePlan(Message* message, size_t* size) {
  if ((message->header.flags & kPlanInMemfd) == 0) {
    *size = message->header.size;
    return Duplicate(message->payload, *size);
  }
  if (message->fd_count == 0) {
    Refuse(kInvalidArgument, "plan without its memfd");
    return nullptr;
  }
  const Fd memfd(message->fds[0]);
  --message->fd_count;
  memmove(message->fds, message->fds + 1, static_cast<size_t>(message->fd_count) * sizeof(int));
  struct stat status;
  const int seals = fcntl(memfd.get(), F_GET_SEALS);
  constexpr int kNeeded = F_SEAL_WRITE | F_SEAL_SHRINK;
  if (seals < 0 || (seals & kNeeded) != kNeeded || fstat(memfd.get(), &status) != 0 ||
      status.st_size <= 0 || status.st_size > static_cast<off_t>(kMaxPlan)) {
    Refuse(kInvalidArgument, "plan in an unsealed or oversized memfd");
    return nullptr;
  }
  *size = static_cast<size_t>(status.st_size);
  char* const plan = static_cast<char*>(Allocate(*size));
  if (plan == nullptr) return nullptr;
  if (pread(memfd.get(), plan, *size, 0) != static_cast<ssize_t>(*size)) {
    Fail("read the plan");
    free(plan);
    return nullptr;
  }
  return plan;
}

Writer::Writer(MessageType type, uint64_t request_id) : size_(sizeof(MessageHeader)) {
  const MessageHeader header = {.magic = kWireMagic,
                                .version = kHeaderForm,
                                .type = static_cast<uint16_t>(type),
                                .request_id = request_id,
                                .size = 0,
                                .flags = 0};
  memcpy(g_out, &header, sizeof(header));
}

size_t Writer::left() const { return sizeof(g_out) - size_; }

void Writer::Raw(const void* data, size_t size) {
  if (size > left()) abort();  // callers of unbounded lists ask left() first
  memcpy(g_out + size_, data, size);
  size_ += size;
}

void Writer::Bool(bool value) {
  const uint8_t byte = value ? 1 : 0;
  Raw(&byte, 1);
}

void Writer::String(const char* value) {
  const size_t size = strlen(value);
  U32(static_cast<uint32_t>(size));
  Raw(value, size + 1);
}

int Writer::Send(int socket, int flags) {
  MessageHeader header;
  memcpy(&header, g_out, sizeof(header));
  header.size = static_cast<uint32_t>(size_ - sizeof(header));
  memcpy(g_out, &header, sizeof(header));
  iovec vector = {.iov_base = g_out, .iov_len = size_};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxMessageFds * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (fd_count_ > 0) {
    // Lengths of few descriptors: a size_t with glibc, a socklen_t with musl.
    using Length = decltype(message.msg_controllen);
    const size_t bytes = static_cast<size_t>(fd_count_) * sizeof(int);
    message.msg_control = control;
    message.msg_controllen = static_cast<Length>(CMSG_SPACE(bytes));
    cmsghdr* cmsg = CMSG_FIRSTHDR(&message);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = static_cast<Length>(CMSG_LEN(bytes));
    memcpy(CMSG_DATA(cmsg), fds_, bytes);
  }
  ssize_t n;
  do {
    n = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  return n < 0 ? errno : 0;
}

}  // namespace crisp::shim
