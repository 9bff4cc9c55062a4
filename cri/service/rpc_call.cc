#include "cri/service/rpc_call.h"

#include <chrono>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace crisp::cri {

struct RpcCall::State {
  absl::Mutex mutex;
  grpc::ServerContext* context ABSL_GUARDED_BY(mutex);
};

namespace {

absl::Time DeadlineOf(const grpc::ServerContext& context) {
  const auto deadline = context.deadline();
  // gRPC's "no deadline" is the clock's last moment, give or take its rounding.
  if (deadline > std::chrono::system_clock::now() + std::chrono::hours(24 * 365 * 10)) {
    return absl::InfiniteFuture();
  }
  return absl::FromChrono(deadline);
}

}  // namespace

RpcCall::RpcCall(grpc::ServerContext* context) : state_(std::make_shared<State>()) {
  {
    absl::MutexLock lock(&state_->mutex);
    state_->context = context;
  }
  operation_ = Operation(DeadlineOf(*context), [state = state_] {
    absl::MutexLock lock(&state->mutex);
    return state->context == nullptr || state->context->IsCancelled();
  });
}

RpcCall::~RpcCall() {
  absl::MutexLock lock(&state_->mutex);
  state_->context = nullptr;
}

}  // namespace crisp::cri
