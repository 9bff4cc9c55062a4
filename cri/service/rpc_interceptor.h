#ifndef CRISP_CRI_SERVICE_RPC_INTERCEPTOR_H_
#define CRISP_CRI_SERVICE_RPC_INTERCEPTOR_H_

#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "metrics/registry.h"

namespace crisp::cri {

// How many RPCs are running. Thread-safe.
class RpcCount {
 public:
  void Add(int more) {
    absl::MutexLock lock(&mutex_);
    count_ += more;
  }
  // Waits until there is none, or for as long.
  void AwaitNone(absl::Duration limit) {
    absl::MutexLock lock(&mutex_);
    const auto none = [this] {
      mutex_.AssertReaderHeld();
      return count_ == 0;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&none), limit);
  }

 private:
  absl::Mutex mutex_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Counts and times every RPC (by method and code), and writes one log line for each that failed:
// method, code, message, duration, and the trace that the client names. It never writes the
// request, which may hold credentials. Both arguments must outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeRpcInterceptor(
    metrics::Registry& registry, RpcCount& in_flight);

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_RPC_INTERCEPTOR_H_
