#ifndef CRISP_NETWORK_LINK_NETLINK_H_
#define CRISP_NETWORK_LINK_NETLINK_H_

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace crisp::network {

// Several netlink requests that go to the kernel in one send. The kernel runs them in order; one
// that fails does not stop those behind it. Not thread-safe.
class NetlinkBatch {
 public:
  NetlinkBatch();

  // Starts the next request. `label` says in an error what it was meant to do. NLM_F_REQUEST is
  // added, and NLM_F_ACK except for dumps.
  template <typename Header>
  void Begin(std::string label, uint16_t type, uint16_t flags, const Header& header) {
    BeginRaw(std::move(label), type, flags, &header, sizeof(header));
  }
  void Put(uint16_t type, const void* data, size_t size);
  void PutU32(uint16_t type, uint32_t value) { Put(type, &value, sizeof(value)); }
  void PutU8(uint16_t type, uint8_t value) { Put(type, &value, sizeof(value)); }
  void PutString(uint16_t type, const std::string& text) {
    Put(type, text.c_str(), text.size() + 1);
  }
  // Attributes put until the matching EndNest() are inside this one.
  nlattr* BeginNest(uint16_t type);
  void EndNest(nlattr* nest);
  // A struct inside an open nest, without an attribute header (veth's peer wants that).
  void PutBare(const void* data, size_t size);

  int size() const { return static_cast<int>(labels_.size()); }

 private:
  friend absl::Status Exchange(int, NetlinkBatch&, const std::function<void(const nlmsghdr*)>&);
  void BeginRaw(std::string label, uint16_t type, uint16_t flags, const void* header, size_t size);
  nlmsghdr* current() const;

  static constexpr size_t kCapacity = 32768;  // a pod takes less than 1 KiB
  std::unique_ptr<char[]> buffer_;
  size_t current_at_ = 0;
  bool overflow_ = false;
  std::vector<std::string> labels_;
};

// A NETLINK_ROUTE socket in the calling thread's network namespace, with extended error messages;
// `groups` are RTMGRP_* bits to listen to.
absl::StatusOr<UniqueFd> OpenRtnl(uint32_t groups = 0);

// Sends the batch and reads until every request is answered, handing data messages to `on_message`.
// Returns the first request's failure ("<label>: <strerror>: <kernel's message>") after all are
// answered. One exchange at a time per socket. Replies to earlier, abandoned requests are skipped.
absl::Status Exchange(int fd,
                      NetlinkBatch& batch,
                      const std::function<void(const nlmsghdr*)>& on_message = nullptr);

// The answers within one datagram. Bytes that are no well-formed message end the walk (DataLoss).
// `on_end(sequence, error, text)` is called for acknowledgements (error 0), errors (positive errno)
// and the end of a dump.
absl::Status ParseReplies(
    const char* data,
    size_t size,
    const std::function<void(const nlmsghdr*)>& on_message,
    const std::function<void(uint32_t sequence, int error, absl::string_view text)>& on_end);

// The attributes behind a message's family header of `offset` bytes, and those inside one of them.
// Malformed ones end the walk.
void ForEachAttribute(const nlmsghdr* message,
                      size_t offset,
                      absl::FunctionRef<void(const nlattr*)> visit);
void ForEachNested(const nlattr* nest, absl::FunctionRef<void(const nlattr*)> visit);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_LINK_NETLINK_H_
