#ifndef CRISP_STREAMING_CONNECTION_UPGRADED_H_
#define CRISP_STREAMING_CONNECTION_UPGRADED_H_

#include "absl/status/status.h"
#include "streaming/connection/client.h"

namespace crisp::streaming {

// A connection as the server sees it. Sessions see a ClientConnection only.
class UpgradedConnection : public ClientConnection {
 public:
  // Starts the connection's reading and writing. Once.
  virtual void Start() = 0;
  // As Abort(), with the reason that pending calls report.
  virtual void Fail(absl::Status why) = 0;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_CONNECTION_UPGRADED_H_
