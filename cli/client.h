#ifndef CRISP_CLI_CLIENT_H_
#define CRISP_CLI_CLIENT_H_

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/json.h"
#include "cri/api/api.grpc.pb.h"
#include "cri/api/crisp_admin.grpc.pb.h"

namespace crisp::cli {

// The daemon, seen from the `crisp` tool. Every call blocks; errors are the daemon's, with its
// code.
class Client {
 public:
  // `address` is unix:///PATH (or a bare path).
  explicit Client(const std::string& address);

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
  std::unique_ptr<::runtime::v1::RuntimeService::Stub> runtime_;
  std::unique_ptr<::runtime::v1::ImageService::Stub> images_;
  std::unique_ptr<::crisp::v1::Admin::Stub> admin_;
};

}  // namespace crisp::cli

#endif  // CRISP_CLI_CLIENT_H_
