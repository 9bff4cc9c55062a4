#ifndef CRISP_CLI_CLIENT_CLIENT_H_
#define CRISP_CLI_CLIENT_CLIENT_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/json.h"
#include "cli/client/endpoint.h"
#include "cri/api/api.grpc.pb.h"
#include "cri/api/crisp_admin.grpc.pb.h"

namespace crisp::cli {

// How long a call may take that the daemon answers from memory.
inline constexpr absl::Duration kQuick = absl::Seconds(10);
// For calls that wait for processes, disks or networks.
inline constexpr absl::Duration kSlow = absl::Minutes(5);

// The daemon, seen from the `crisp` tool. Every call blocks; errors are the daemon's, with its
// code. Unavailable says which socket does not answer, and what to do. Connects with the first
// call.
class Client {
 public:
  using Runtime = ::runtime::v1::RuntimeService::Stub;
  using Images = ::runtime::v1::ImageService::Stub;
  using Admin = ::crisp::v1::Admin::Stub;

  explicit Client(Endpoint endpoint);
  // Through a channel that is there, for tests.
  Client(const std::shared_ptr<grpc::Channel>& channel, Endpoint endpoint);

  const Endpoint& endpoint() const { return endpoint_; }

  // One call of any service: Call(&Client::Runtime::ListContainers, request).
  template <typename Stub, typename Request, typename Reply>
  absl::StatusOr<Reply> Call(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                          const Request&,
                                                          Reply*),
                             const Request& request,
                             absl::Duration within = kQuick) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(within));
    Reply reply;
    const grpc::Status status = (stub<Stub>().*method)(&context, request, &reply);
    if (!status.ok()) return ToStatus(status);
    return reply;
  }

  // For streams. What Finish() returns goes through ToStatus().
  template <typename Stub>
  Stub& stub();
  // The status with the daemon's code and message. Looks at the socket if the daemon is away.
  absl::Status ToStatus(const grpc::Status& status) const;

  absl::StatusOr<Json> Info();
  absl::StatusOr<Json> Explain(const std::string& id);
  absl::StatusOr<::runtime::v1::StatusResponse> Status();
  absl::StatusOr<::runtime::v1::ListImagesResponse> ListImages();
  absl::StatusOr<::crisp::v1::ImageHistoryResponse> History(const std::string& reference);
  // Sends everything that `fd` gives, and returns the images that the archive brought. Calls
  // `at_end` after the last byte; an error of its ends the import. `name`: see ImportImageRequest.
  absl::StatusOr<std::vector<std::string>> Import(int fd,
                                                  const std::string& name,
                                                  const std::function<absl::Status()>& at_end);
  absl::Status Export(const std::vector<std::string>& references, int fd);

 private:
  const Endpoint endpoint_;
  const std::unique_ptr<Runtime> runtime_;
  const std::unique_ptr<Images> images_;
  const std::unique_ptr<Admin> admin_;
};

template <>
inline Client::Runtime& Client::stub() {
  return *runtime_;
}
template <>
inline Client::Images& Client::stub() {
  return *images_;
}
template <>
inline Client::Admin& Client::stub() {
  return *admin_;
}

}  // namespace crisp::cli

#endif  // CRISP_CLI_CLIENT_CLIENT_H_
