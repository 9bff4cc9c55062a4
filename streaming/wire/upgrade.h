#ifndef CRISP_STREAMING_WIRE_UPGRADE_H_
#define CRISP_STREAMING_WIRE_UPGRADE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "streaming/wire/protocol_traits.h"
#include "streaming/wire/session_request.h"

namespace crisp::streaming {

// The decisions on a client's HTTP request: its URL and its sub-protocol. Pure functions.

struct Target {
  SessionRequest::Kind kind = SessionRequest::Kind::kExec;
  std::string token;
};

// "exec", "attach" or "portforward": the first part of a URL's path.
absl::string_view PathOf(SessionRequest::Kind kind);

// Takes "/exec/TOKEN", with or without a query, apart; nullopt for any other path.
std::optional<Target> ParseTarget(absl::string_view target);

// The elements of a header's values, each of which is a list separated by commas.
std::vector<std::string> SplitList(const std::vector<std::string>& values);

// The first protocol that the client offers and we know. InvalidArgument when it offers none,
// PermissionDenied when we know none of them.
absl::StatusOr<ProtocolTraits> NegotiateSpdy(SessionRequest::Kind kind,
                                             const std::vector<std::string>& offered);
// The protocols that NegotiateSpdy() knows, for the answer that refuses a client.
std::vector<std::string> SpdyProtocols(SessionRequest::Kind kind);

struct WebSocketProtocol {
  std::string name;  // as the client wrote it; empty when it offered none
  ProtocolTraits traits;
  bool base64 = false;      // messages are text: the channel's digit, then base64
  bool half_close = false;  // [255, channel] closes a channel (v5)
  bool tunnel = false;      // the messages carry a SPDY connection
};

// The same for a WebSocket; a client that offers nothing speaks the first version.
absl::StatusOr<WebSocketProtocol> NegotiateWebSocket(SessionRequest::Kind kind,
                                                     const std::vector<std::string>& offered);

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WIRE_UPGRADE_H_
