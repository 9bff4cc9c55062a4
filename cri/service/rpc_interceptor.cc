#include "cri/service/rpc_interceptor.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/log.h"

namespace crisp::cri {
namespace {

using grpc::experimental::InterceptionHookPoints;

// "/runtime.v1.RuntimeService/Version" → "Version".
absl::string_view ShortName(absl::string_view method) {
  const size_t slash = method.rfind('/');
  return slash == absl::string_view::npos ? method : method.substr(slash + 1);
}

void LogFailure(absl::string_view method, const grpc::Status& status, absl::Duration took) {
  // Clients provoke some errors by design, by asking for what is gone or by hanging up. These are
  // no reason to worry.
  const bool usual = status.error_code() == grpc::StatusCode::NOT_FOUND ||
                     status.error_code() == grpc::StatusCode::CANCELLED ||
                     status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
  Log(usual ? LogLevel::kInfo : LogLevel::kWarning, "rpc failed",
      {{"method", method},
       {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()))},
       {"message", status.error_message()},
       {"ms", absl::ToInt64Milliseconds(took)}});
}

class RpcInterceptor : public grpc::experimental::Interceptor {
 public:
  RpcInterceptor(metrics::Registry& registry, std::atomic<int>& in_flight, const char* method)
      : registry_(registry),
        in_flight_(in_flight),
        method_(ShortName(method)),
        begin_(absl::Now()) {
    in_flight_.fetch_add(1);
    registry_.Add(metrics::kRpcsInFlight, 1);
  }
  ~RpcInterceptor() override {
    registry_.Add(metrics::kRpcsInFlight, -1);
    in_flight_.fetch_sub(1);
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      const absl::Duration took = absl::Now() - begin_;
      const std::string code =
          absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
      registry_.Increment(metrics::kRpcsFinished, {method_, code});
      registry_.Observe(metrics::kRpcSeconds, absl::ToDoubleSeconds(took), {method_});
      if (!status.ok()) LogFailure(method_, status, took);
    }
    methods->Proceed();
  }

 private:
  metrics::Registry& registry_;
  std::atomic<int>& in_flight_;
  const absl::string_view method_;  // of the registered service, which outlives every call
  const absl::Time begin_;
};

class Factory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  Factory(metrics::Registry& registry, std::atomic<int>& in_flight)
      : registry_(registry), in_flight_(in_flight) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new RpcInterceptor(registry_, in_flight_, info->method());  // gRPC owns and deletes it
  }

 private:
  metrics::Registry& registry_;
  std::atomic<int>& in_flight_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeRpcInterceptor(
    metrics::Registry& registry, std::atomic<int>& in_flight) {
  return std::make_unique<Factory>(registry, in_flight);
}

}  // namespace crisp::cri
