#include "cri/service/rpc_interceptor.h"

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/log.h"
#include "base/trace_context.h"
#include "cri/service/rpc_call.h"

namespace crisp::cri {
namespace {

using grpc::experimental::InterceptionHookPoints;

// "/runtime.v1.RuntimeService/Version" → "Version".
absl::string_view ShortName(absl::string_view method) {
  const size_t slash = method.rfind('/');
  return slash == absl::string_view::npos ? method : method.substr(slash + 1);
}

void LogFailure(absl::string_view method,
                const grpc::Status& status,
                absl::Duration took,
                const std::optional<TraceContext>& trace) {
  // Clients provoke some errors by design, by asking for what is gone or by hanging up. These are
  // no reason to worry.
  const bool usual = status.error_code() == grpc::StatusCode::NOT_FOUND ||
                     status.error_code() == grpc::StatusCode::CANCELLED ||
                     status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
  const LogLevel level = usual ? LogLevel::kInfo : LogLevel::kWarning;
  const std::string code =
      absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
  const std::string message = status.error_message();
  const int64_t ms = absl::ToInt64Milliseconds(took);
  if (trace.has_value()) {
    const std::string id = trace->TraceId();
    Log(level, "rpc failed",
        {{"method", method}, {"code", code}, {"message", message}, {"ms", ms}, {"trace", id}});
  } else {
    Log(level, "rpc failed",
        {{"method", method}, {"code", code}, {"message", message}, {"ms", ms}});
  }
}

class RpcInterceptor : public grpc::experimental::Interceptor {
 public:
  RpcInterceptor(metrics::Registry& registry,
                 RpcCount& in_flight,
                 grpc::experimental::ServerRpcInfo& info)
      : registry_(registry),
        in_flight_(in_flight),
        method_(ShortName(info.method())),
        context_(*info.server_context()),
        begin_(absl::Now()) {
    in_flight_.Add(1);
    registry_.Add(metrics::kRpcsInFlight, 1);
  }
  ~RpcInterceptor() override {
    registry_.Add(metrics::kRpcsInFlight, -1);
    in_flight_.Add(-1);
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      const absl::Duration took = absl::Now() - begin_;
      const std::string code =
          absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
      registry_.Increment(metrics::kRpcsFinished, {method_, code});
      registry_.Observe(metrics::kRpcSeconds, absl::ToDoubleSeconds(took), {method_});
      if (!status.ok()) LogFailure(method_, status, took, TraceOf(context_));
    }
    methods->Proceed();
  }

 private:
  metrics::Registry& registry_;
  RpcCount& in_flight_;
  const absl::string_view method_;  // of the registered service, which outlives every call
  const grpc::ServerContextBase& context_;
  const absl::Time begin_;
};

class Factory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  Factory(metrics::Registry& registry, RpcCount& in_flight)
      : registry_(registry), in_flight_(in_flight) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new RpcInterceptor(registry_, in_flight_, *info);  // gRPC owns and deletes it
  }

 private:
  metrics::Registry& registry_;
  RpcCount& in_flight_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeRpcInterceptor(
    metrics::Registry& registry, RpcCount& in_flight) {
  return std::make_unique<Factory>(registry, in_flight);
}

}  // namespace crisp::cri
