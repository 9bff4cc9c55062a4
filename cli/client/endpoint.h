#ifndef CRISP_CLI_CLIENT_ENDPOINT_H_
#define CRISP_CLI_CLIENT_ENDPOINT_H_

#include <string>

#include "absl/status/status.h"

namespace crisp::cli {

// The socket that sees every pod, also those that the kubelet does not.
inline constexpr char kOperatorSocket[] = "/run/crisp/operator.sock";
// The kubelet's.
inline constexpr char kKubeletSocket[] = "/run/crisp/crisp.sock";

// The socket that a command talks to.
struct Endpoint {
  std::string path;     // of the socket, without a scheme
  bool chosen = false;  // True if --address or CRISP_ADDRESS names it.
  std::string address() const { return "unix://" + path; }
};

// `given` is unix:///PATH or a bare path. If it is empty, the endpoint is the operator's socket if
// it exists, else the kubelet's. `prefix` stands before the default paths, for tests.
Endpoint ChooseEndpoint(const std::string& given, const std::string& prefix = "");

// What to tell an operator if nobody answers: an error of connect(2), 0 if the daemon took the
// connection and broke it. The code is Unavailable. Pure.
absl::Status DaemonIsAway(const std::string& path, int error_number);

// Connects to the socket and lets go of it. Returns the error of connect(2), or 0.
int TryConnect(const std::string& path);

}  // namespace crisp::cli

#endif  // CRISP_CLI_CLIENT_ENDPOINT_H_
