#include "cri/service/rpc_call.h"

#include <chrono>

#include "absl/time/time.h"

namespace crisp::cri {
namespace {

absl::Time DeadlineOf(const grpc::ServerContextBase& context) {
  const auto deadline = context.deadline();
  // gRPC's "no deadline" is the clock's last moment, give or take its rounding.
  if (deadline > std::chrono::system_clock::now() + std::chrono::hours(24 * 365 * 10)) {
    return absl::InfiniteFuture();
  }
  return absl::FromChrono(deadline);
}

}  // namespace

std::optional<TraceContext> TraceOf(const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const auto header = metadata.find("traceparent");
  if (header == metadata.end()) return std::nullopt;
  return TraceContext::Parse({header->second.data(), header->second.size()});
}

Operation OperationOf(const grpc::ServerContextBase& context, const CancelSource& source) {
  const Operation operation = source.operation().Until(DeadlineOf(context));
  const std::optional<TraceContext> trace = TraceOf(context);
  return trace.has_value() ? operation.Traced(*trace) : operation;
}

}  // namespace crisp::cri
