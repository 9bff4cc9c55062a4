#ifndef CRISP_CRI_SERVICE_RPC_CALL_H_
#define CRISP_CRI_SERVICE_RPC_CALL_H_

#include <grpcpp/server_context.h>

#include <memory>

#include "base/operation.h"

namespace crisp::cri {

// Gives an Operation for one synchronous RPC. It fires at the client's deadline and when the client
// hangs up. The Operation may be copied to operations that outlive the RPC. Once this object is
// gone, it says "cancelled" without touching gRPC.
class RpcCall {
 public:
  explicit RpcCall(grpc::ServerContext* context);
  ~RpcCall();
  RpcCall(const RpcCall&) = delete;
  RpcCall& operator=(const RpcCall&) = delete;

  const Operation& operation() const { return operation_; }

 private:
  struct State;
  std::shared_ptr<State> state_;
  Operation operation_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_RPC_CALL_H_
