#ifndef CRISP_STREAMING_WIRE_PROTOCOL_TRAITS_H_
#define CRISP_STREAMING_WIRE_PROTOCOL_TRAITS_H_

#include <string>

namespace crisp::streaming {

// The properties of the negotiated sub-protocol.
struct ProtocolTraits {
  std::string name;  // "v4.channel.k8s.io", "portforward.k8s.io" …, for the log
  // v4 and later: the error stream ends with a metav1.Status as JSON. Before v4 it ends with the
  // text of the error, or with nothing on success.
  bool status_json = false;
  bool resize = false;  // v3 and later: with a tty there is a resize stream
  // False if the client has no way to say that stdin ended. The end of stdin then is the end of the
  // connection.
  bool stdin_half_close = true;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WIRE_PROTOCOL_TRAITS_H_
