#ifndef CRISP_STREAMING_WIRE_PROTOCOL_TRAITS_H_
#define CRISP_STREAMING_WIRE_PROTOCOL_TRAITS_H_

#include <string>

namespace crisp::streaming {

// What the negotiated sub-protocol lets a session do.
struct ProtocolTraits {
  std::string name;          // "v4.channel.k8s.io", "portforward.k8s.io" …, for the log
  bool status_json = false;  // v4 and later: the error stream ends with a metav1.Status as JSON;
                             // before, with the text of the error, or with nothing on success
  bool resize = false;       // v3 and later: with a tty there is a resize stream
  bool stdin_half_close = true;  // false: the client has no way to say that stdin ended, so the end
                                 // of stdin is the end of the connection
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WIRE_PROTOCOL_TRAITS_H_
