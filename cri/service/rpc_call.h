#ifndef CRISP_CRI_SERVICE_RPC_CALL_H_
#define CRISP_CRI_SERVICE_RPC_CALL_H_

#include <grpcpp/server_context.h>

#include <memory>

#include "base/cancel.h"

namespace crisp::cri {

// Gives a Cancel for one synchronous RPC. It fires at the client's deadline and when the client
// hangs up. The Cancel may be copied to operations that outlive the RPC. Once this object is gone,
// it says "cancelled" without touching gRPC.
class RpcCall {
 public:
  explicit RpcCall(grpc::ServerContext* context);
  ~RpcCall();
  RpcCall(const RpcCall&) = delete;
  RpcCall& operator=(const RpcCall&) = delete;

  const Cancel& cancel() const { return cancel_; }

 private:
  struct State;
  std::shared_ptr<State> state_;
  Cancel cancel_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_RPC_CALL_H_
