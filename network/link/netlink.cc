#include "network/link/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::network {
namespace {

constexpr int kReplyTimeoutMs = 10'000;  // the kernel answers at once; this only ends a lost reply
constexpr size_t kReplyBytes = 65536;    // the kernel's largest dump part is half of it

// Unique in the process, so that a reply to an abandoned request is known as such.
uint32_t NextSequences(size_t count) {
  static std::atomic<uint32_t> next{1};
  return next.fetch_add(static_cast<uint32_t>(count));
}

// The text in an extended acknowledgement, if any.
absl::string_view ExtendedText(const nlmsghdr* message) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return "";
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  size_t offset = sizeof(nlmsgerr);
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) {
    if (error->msg.nlmsg_len < sizeof(nlmsghdr)) return "";
    offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
  }
  offset = MNL_ALIGN(offset);
  if (offset >= mnl_nlmsg_get_payload_len(message)) return "";
  absl::string_view found;
  ForEachAttribute(message, offset, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) != NLMSGERR_ATTR_MSG) return;
    const char* text = mnl_attr_get_str(attribute);
    found = absl::string_view(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
  });
  return found;
}

absl::Status Send(int fd, const char* data, size_t size) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  for (;;) {
    const ssize_t n =
        sendto(fd, data, size, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
    if (n >= 0) return absl::OkStatus();
    if (errno != EINTR) return ErrnoError(errno, "netlink send");
  }
}

absl::StatusOr<size_t> Receive(int fd, char* buffer, size_t size) {
  for (;;) {
    sockaddr_nl sender{};
    socklen_t length = sizeof(sender);
    const ssize_t n = recvfrom(fd, buffer, size, MSG_DONTWAIT | MSG_TRUNC,
                               reinterpret_cast<sockaddr*>(&sender), &length);
    if (n >= 0 && static_cast<size_t>(n) > size) {
      return absl::DataLossError("netlink receive: message truncated");
    }
    if (n >= 0 && sender.nl_pid != 0) continue;  // only the kernel is believed
    if (n >= 0) return static_cast<size_t>(n);
    if (errno == EAGAIN) {
      pollfd waiting{fd, POLLIN, 0};
      const int ready = poll(&waiting, 1, kReplyTimeoutMs);
      if (ready == 0) return absl::UnavailableError("netlink receive: the kernel does not answer");
      if (ready > 0 || errno == EINTR) continue;
    }
    if (errno != EINTR) return ErrnoError(errno, "netlink receive");
  }
}

}  // namespace

NetlinkBatch::NetlinkBatch() : buffer_(new char[kCapacity]) {}

nlmsghdr* NetlinkBatch::current() const {
  return reinterpret_cast<nlmsghdr*>(buffer_.get() + current_at_);
}

void NetlinkBatch::BeginRaw(
    std::string label, uint16_t type, uint16_t flags, const void* header, size_t size) {
  if (!labels_.empty()) current_at_ += MNL_ALIGN(current()->nlmsg_len);
  if (current_at_ + MNL_NLMSG_HDRLEN + MNL_ALIGN(size) > kCapacity) {
    overflow_ = true;
    current_at_ = 0;
  }
  nlmsghdr* message = mnl_nlmsg_put_header(buffer_.get() + current_at_);
  message->nlmsg_type = type;
  message->nlmsg_flags = NLM_F_REQUEST | flags;
  if ((flags & NLM_F_DUMP) != NLM_F_DUMP) message->nlmsg_flags |= NLM_F_ACK;
  std::memcpy(mnl_nlmsg_put_extra_header(message, size), header, size);
  labels_.push_back(std::move(label));
}

void NetlinkBatch::Put(uint16_t type, const void* data, size_t size) {
  if (!mnl_attr_put_check(current(), kCapacity - current_at_, type, size, data)) overflow_ = true;
}

nlattr* NetlinkBatch::BeginNest(uint16_t type) {
  nlattr* nest = mnl_attr_nest_start_check(current(), kCapacity - current_at_, type);
  if (nest == nullptr) overflow_ = true;
  return nest;
}

void NetlinkBatch::EndNest(nlattr* nest) {
  if (nest != nullptr) mnl_attr_nest_end(current(), nest);
}

void NetlinkBatch::PutBare(const void* data, size_t size) {
  nlmsghdr* message = current();
  if (message->nlmsg_len + MNL_ALIGN(size) > kCapacity - current_at_) {
    overflow_ = true;
    return;
  }
  std::memcpy(mnl_nlmsg_get_payload_tail(message), data, size);
  message->nlmsg_len += static_cast<uint32_t>(MNL_ALIGN(size));  // it fits: see above
}

absl::StatusOr<UniqueFd> OpenRtnl(uint32_t groups) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return ErrnoError(errno, "open a NETLINK_ROUTE socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoError(errno, "bind a NETLINK_ROUTE socket");
  }
  return fd;
}

void ForEachAttribute(const nlmsghdr* message,
                      size_t offset,
                      absl::FunctionRef<void(const nlattr*)> visit) {
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, offset));
  auto left = [&] { return static_cast<int>(end - reinterpret_cast<const char*>(attribute)); };
  for (; mnl_attr_ok(attribute, left()); attribute = mnl_attr_next(attribute)) visit(attribute);
}

void ForEachNested(const nlattr* nest, absl::FunctionRef<void(const nlattr*)> visit) {
  const auto* attribute = static_cast<const nlattr*>(mnl_attr_get_payload(nest));
  const char* end = reinterpret_cast<const char*>(attribute) + mnl_attr_get_payload_len(nest);
  auto left = [&] { return static_cast<int>(end - reinterpret_cast<const char*>(attribute)); };
  for (; mnl_attr_ok(attribute, left()); attribute = mnl_attr_next(attribute)) visit(attribute);
}

absl::Status ParseReplies(
    const char* data,
    size_t size,
    const std::function<void(const nlmsghdr*)>& on_message,
    const std::function<void(uint32_t sequence, int error, absl::string_view text)>& on_end) {
  // Not mnl_nlmsg_ok(): it takes a length of 2 GiB and more for a negative one.
  while (size >= sizeof(nlmsghdr)) {
    const auto* message = reinterpret_cast<const nlmsghdr*>(data);
    if (message->nlmsg_len < sizeof(nlmsghdr) || message->nlmsg_len > size) break;
    const size_t step = std::min<size_t>(size, MNL_ALIGN(message->nlmsg_len));
    data += step;
    size -= step;
    const size_t payload = mnl_nlmsg_get_payload_len(message);
    if (message->nlmsg_type == NLMSG_ERROR) {
      if (payload < sizeof(nlmsgerr)) return absl::DataLossError("netlink: short error message");
      const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
      const int number = error->error > 0 || error->error < -4095 ? EPROTO : -error->error;
      on_end(message->nlmsg_seq, number, ExtendedText(message));
    } else if (message->nlmsg_type == NLMSG_DONE) {
      int32_t code = 0;
      if (payload >= sizeof(code)) std::memcpy(&code, mnl_nlmsg_get_payload(message), sizeof(code));
      on_end(message->nlmsg_seq, code < 0 && code >= -4095 ? -code : 0, "");
    } else if (message->nlmsg_type >= NLMSG_MIN_TYPE && on_message) {
      on_message(message);
    }
  }
  if (size > 0) return absl::DataLossError("netlink: malformed message");
  return absl::OkStatus();
}

absl::Status Exchange(int fd,
                      NetlinkBatch& batch,
                      const std::function<void(const nlmsghdr*)>& on_message) {
  if (batch.overflow_) return absl::InternalError("netlink: the batch is too big");
  if (batch.labels_.empty()) return absl::OkStatus();
  const int on = 1;  // older kernels lack these; then errors are only less telling
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
  const size_t count = batch.labels_.size();
  const uint32_t first = NextSequences(count);
  const size_t length = batch.current_at_ + batch.current()->nlmsg_len;
  char* position = batch.buffer_.get();
  for (uint32_t i = 0; i < count; ++i) {
    auto* message = reinterpret_cast<nlmsghdr*>(position);
    message->nlmsg_seq = first + i;
    position += MNL_ALIGN(message->nlmsg_len);
  }
  CRISP_RETURN_IF_ERROR(Annotate(Send(fd, batch.buffer_.get(), length), batch.labels_[0]));

  size_t answered = 0;
  uint32_t failed_at = UINT32_MAX;
  absl::Status status;
  // Not thread_local: a thread's TLS is cut out of its stack, and some libraries' are small.
  const std::unique_ptr<char[]> reply(new char[kReplyBytes]);
  while (answered < count) {
    const absl::StatusOr<size_t> size = Receive(fd, reply.get(), kReplyBytes);
    if (!size.ok()) return Annotate(size.status(), batch.labels_[answered]);
    CRISP_RETURN_IF_ERROR(ParseReplies(
        reply.get(), *size,
        [&](const nlmsghdr* message) {
          if (on_message && message->nlmsg_seq - first < count) on_message(message);
        },
        [&](uint32_t sequence, int error, absl::string_view text) {
          const uint32_t index = sequence - first;
          if (index >= count) return;
          ++answered;
          if (error == 0 || index >= failed_at) return;
          failed_at = index;
          status =
              ErrnoError(error, text.empty() ? batch.labels_[index]
                                             : absl::StrCat(batch.labels_[index], " (", text, ")"));
        }));
  }
  return status;
}

}  // namespace crisp::network
