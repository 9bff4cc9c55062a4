#ifndef CRISP_CRI_SERVICE_RPC_CALL_H_
#define CRISP_CRI_SERVICE_RPC_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/operation.h"
#include "base/workers.h"
#include "cri/service/status_to_grpc.h"

namespace crisp::cri {

// How the services answer. gRPC's callback server tells of a cancellation; its synchronous server
// has to be asked. But a callback handler may not block, and ours do. So a handler here is a
// function that runs on one of the server's threads and returns the status:
//
//   grpc::ServerUnaryReactor* Service::PullImage(grpc::CallbackServerContext* context,
//                                                const PullImageRequest* request,
//                                                PullImageResponse* reply) {
//     return ServeUnary(threads_, context, [=, this](const Operation& operation) { … });
//   }
//
// Its operation has the client's deadline and trace. It is cancelled when the client hangs up, when
// the server stops, and at the latest when the RPC has ended. The operation may be copied to work
// that outlives the RPC. Where no thread can be had the RPC ends with RESOURCE_EXHAUSTED.

// The trace that the client says the call belongs to, in the metadatum `traceparent`.
std::optional<TraceContext> TraceOf(const grpc::ServerContextBase& context);
// With the context's deadline and trace.
Operation OperationOf(const grpc::ServerContextBase& context, const CancelSource& source);

// What the RPCs of all shapes have. Deletes itself when gRPC is done with it.
template <typename Reactor>
class RpcCall : public Reactor {
 public:
  explicit RpcCall(const grpc::ServerContextBase& context)
      : operation_(OperationOf(context, source_)) {}

  // Answers with what `handler` returns.
  void Run(Workers& threads, std::function<absl::Status()> handler) {
    const absl::Status posted = threads.PostNow([this, handler = std::move(handler)] {
      const grpc::Status status = ToGrpc(handler());
      source_.Cancel();
      this->Finish(status);  // after which this object may be gone
    });
    if (!posted.ok()) this->Finish(ToGrpc(posted));
  }

  const Operation& operation() const { return operation_; }

 private:
  void OnCancel() override { source_.Cancel(); }
  void OnDone() override { delete this; }

  CancelSource source_;
  const Operation operation_;
};

// Waits for gRPC to be done with one message after the other.
class MessageGate {
 public:
  // False when the client has gone.
  bool Await() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&done_));
    done_ = false;
    return ok_;
  }
  void Done(bool ok) {
    absl::MutexLock lock(&mutex_);
    done_ = true;
    ok_ = ok;
  }

 private:
  absl::Mutex mutex_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  bool ok_ ABSL_GUARDED_BY(mutex_) = false;
};

// An RPC that answers with many messages.
template <typename Reply>
class StreamCall final : public RpcCall<grpc::ServerWriteReactor<Reply>> {
 public:
  using RpcCall<grpc::ServerWriteReactor<Reply>>::RpcCall;
  // Waits until gRPC has taken it. False when the client has gone.
  bool Write(const Reply& reply) {
    this->StartWrite(&reply);
    return gate_.Await();
  }

 private:
  void OnWriteDone(bool ok) override { gate_.Done(ok); }
  MessageGate gate_;
};

// An RPC that is asked with many messages.
template <typename Request>
class UploadCall final : public RpcCall<grpc::ServerReadReactor<Request>> {
 public:
  using RpcCall<grpc::ServerReadReactor<Request>>::RpcCall;
  // Waits for the next one. False at their end, and when the client has gone.
  bool Read(Request* request) {
    this->StartRead(request);
    return gate_.Await();
  }

 private:
  void OnReadDone(bool ok) override { gate_.Done(ok); }
  MessageGate gate_;
};

inline grpc::ServerUnaryReactor* ServeUnary(Workers& threads,
                                            grpc::CallbackServerContext* context,
                                            std::function<absl::Status(const Operation&)> handler) {
  auto* const call = new RpcCall<grpc::ServerUnaryReactor>(*context);
  call->Run(threads, [call, handler = std::move(handler)] { return handler(call->operation()); });
  return call;
}

template <typename Reply>
grpc::ServerWriteReactor<Reply>* ServeStream(
    Workers& threads,
    grpc::CallbackServerContext* context,
    std::function<absl::Status(const Operation&, StreamCall<Reply>&)> handler) {
  auto* const call = new StreamCall<Reply>(*context);
  call->Run(threads,
            [call, handler = std::move(handler)] { return handler(call->operation(), *call); });
  return call;
}

template <typename Request>
grpc::ServerReadReactor<Request>* ServeUpload(
    Workers& threads,
    grpc::CallbackServerContext* context,
    std::function<absl::Status(const Operation&, UploadCall<Request>&)> handler) {
  auto* const call = new UploadCall<Request>(*context);
  call->Run(threads,
            [call, handler = std::move(handler)] { return handler(call->operation(), *call); });
  return call;
}

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_RPC_CALL_H_
