#ifndef CRISP_CRI_SERVICE_RPC_INTERCEPTOR_H_
#define CRISP_CRI_SERVICE_RPC_INTERCEPTOR_H_

#include <grpcpp/support/server_interceptor.h>

#include <atomic>
#include <memory>

#include "metrics/registry.h"

namespace crisp::cri {

// Counts and times every RPC (by method and code), and writes one log line for each that failed:
// method, code, message and duration. It never writes the request, which may hold credentials.
// `in_flight` is the number of RPCs that are running. Both must outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeRpcInterceptor(
    metrics::Registry& registry, std::atomic<int>& in_flight);

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_RPC_INTERCEPTOR_H_
