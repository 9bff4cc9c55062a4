#ifndef CRISP_RUNTIME_CLIENT_SHIM_LINK_H_
#define CRISP_RUNTIME_CLIENT_SHIM_LINK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "runtime/client/shim_client.h"
#include "runtime/wire/wire.h"

namespace crisp::runtime {

// The daemon's end of the shim protocol: messages in and out of one SOCK_SEQPACKET socket. Free
// functions without state; internal to the pool (and its fuzzer).

struct WireMessage {
  MessageType type = MessageType::kReply;
  uint64_t request_id = 0;
  uint32_t flags = 0;
  std::string payload;
  std::vector<UniqueFd> fds;
};

// Builds payloads.
class PayloadWriter {
 public:
  template <class T>
  PayloadWriter& Number(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  PayloadWriter& String(absl::string_view value);
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

// Sends a message with borrowed descriptors. A payload that is too long for one goes in a sealed
// memfd. Waits for room until `operation` ends. Unavailable if the other side has gone.
absl::Status SendMessage(int socket,
                         const WireMessage& message,
                         const std::vector<int>& fds,
                         const Operation& operation);

// Receives one message without waiting. NotFound if there is none, Unavailable if the other side
// has gone, InvalidArgument if it is malformed (its descriptors are closed).
absl::StatusOr<WireMessage> ReceiveMessage(int socket);

// The contents of a kReply, with the rest of the payload in *rest.
struct ReplyStatus {
  absl::Status status;
  absl::string_view rest;
};
absl::StatusOr<ReplyStatus> ParseReply(absl::string_view payload);

struct HelloReply {
  std::string pod_id;
  pid_t pid = 0;
  uint32_t fds = 0;
  ShimVersions versions;
};
// Parses a greeting, with or without versions.
absl::StatusOr<HelloReply> ParseHello(absl::string_view rest);
struct StartReply {
  pid_t pid = 0;
  absl::Time started_at;
};
absl::StatusOr<StartReply> ParseStart(absl::string_view rest);
absl::StatusOr<std::vector<ContainerReport>> ParseReport(absl::string_view rest);
struct ExitEvent {
  std::string id;
  ExitRecord record;
};
absl::StatusOr<ExitEvent> ParseExitEvent(absl::string_view payload);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CLIENT_SHIM_LINK_H_
