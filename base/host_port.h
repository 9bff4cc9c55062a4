#ifndef CRISP_BASE_HOST_PORT_H_
#define CRISP_BASE_HOST_PORT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp {

// An address to listen on, as configurations and flags name it. A value.
struct HostPort {
  std::string host;  // as given, with the brackets around an IPv6 address
  int port = 0;      // 0 to 65535; 0 lets the kernel choose

  // Parses "127.0.0.1:9110", "[::1]:0", "node:80". InvalidArgument for another form. Resolves
  // nothing.
  static absl::StatusOr<HostPort> Parse(absl::string_view text);
  // The host without brackets, as getaddrinfo(3) and inet_pton(3) take it.
  std::string BareHost() const;
};

}  // namespace crisp

#endif  // CRISP_BASE_HOST_PORT_H_
