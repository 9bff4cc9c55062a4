#ifndef CRISP_CRI_API_SESSION_API_H_
#define CRISP_CRI_API_SESSION_API_H_

#include "absl/status/status.h"
#include "cri/api/api.pb.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// The RPCs of the CRI that give the URL of a streaming session. This class answers Unavailable,
// because it has no streaming server. Thread-safe.
class SessionApi {
 public:
  virtual ~SessionApi() = default;
  virtual absl::Status Exec(const v1::ExecRequest&, v1::ExecResponse*) { return NoServer(); }
  virtual absl::Status Attach(const v1::AttachRequest&, v1::AttachResponse*) { return NoServer(); }
  virtual absl::Status PortForward(const v1::PortForwardRequest&, v1::PortForwardResponse*) {
    return NoServer();
  }

 private:
  static absl::Status NoServer() {
    return absl::UnavailableError("the streaming server does not run");
  }
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_API_SESSION_API_H_
