#ifndef CRISP_RUNTIME_SHIM_MESSAGE_H_
#define CRISP_RUNTIME_SHIM_MESSAGE_H_

#include "runtime/shim/sys.h"
#include "runtime/wire/wire.h"

namespace crisp::shim {

// One received message. Its descriptors are closed with it unless taken.
struct Message {
  MessageHeader header;
  const char* payload = nullptr;  // in a buffer that the next Receive overwrites
  int fds[kMaxMessageFds];
  int fd_count = 0;
  bool truncated = false;  // this process had no room for all of its descriptors
  Message() = default;
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message();
  MessageType type() const { return static_cast<MessageType>(header.type); }
  PlanReader reader() const { return PlanReader(payload, payload + header.size); }
};

// kNoRoom: the kernel has no memory for it, and it is still there.
enum class Received { kMessage, kNothing, kNoRoom, kMalformed, kClosed };
Received Receive(int socket, int flags, Message* message);

// The plan of a message, from its payload or its sealed memfd, malloc'ed. nullptr with g_error.
// Descriptors other than the memfd move to the front.
char* TakePlan(Message* message, size_t* size);

// A message being written.
class Writer {
 public:
  Writer(MessageType type, uint64_t request_id);
  Writer(const Writer&) = delete;
  void U16(uint16_t value) { Raw(&value, sizeof(value)); }
  void U32(uint32_t value) { Raw(&value, sizeof(value)); }
  void I32(int32_t value) { Raw(&value, sizeof(value)); }
  void U64(uint64_t value) { Raw(&value, sizeof(value)); }
  void Bool(bool value);
  void String(const char* value);
  size_t left() const;
  int fds_left() const { return kMaxMessageFds - fd_count_; }
  // Borrowed until sent.
  void AddFd(int fd) { fds_[fd_count_++] = fd; }
  // 0 or an errno.
  int Send(int socket, int flags);

 private:
  void Raw(const void* data, size_t size);
  size_t size_;
  int fds_[kMaxMessageFds];
  int fd_count_ = 0;
};

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_MESSAGE_H_
