#ifndef CRISP_STREAMING_WIRE_SESSION_REQUEST_H_
#define CRISP_STREAMING_WIRE_SESSION_REQUEST_H_

#include <cstdint>
#include <string>
#include <vector>

namespace crisp::streaming {

// The checked request of an Exec, Attach or PortForward call, for which one token stands. A value.
struct SessionRequest {
  enum class Kind { kExec, kAttach, kPortForward };
  Kind kind = Kind::kExec;
  std::string id;                 // of the container; for kPortForward of the pod
  std::string pod_id;             // the pod in whose share the connection counts
  std::vector<std::string> argv;  // kExec only
  bool tty = false;
  bool stdin_open = false;  // `stdin` and its sisters are macros of <cstdio>
  bool stdout_open = false;
  bool stderr_open = false;
  // kPortForward: the ports of the call. May be empty: then the streams' headers say them. A
  // WebSocket client has no such headers, so its channels are made from this list.
  std::vector<uint16_t> ports;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WIRE_SESSION_REQUEST_H_
