#include "cli/client/client.h"

#include <errno.h>
#include <grpcpp/create_channel.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::cli {
namespace {

constexpr int kMaxMessage = 80 << 20;
constexpr size_t kChunk = 256 << 10;

std::shared_ptr<grpc::Channel> Connect(const Endpoint& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  return grpc::CreateCustomChannel(endpoint.address(), grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace

Client::Client(Endpoint endpoint) : Client(Connect(endpoint), endpoint) {}

Client::Client(const std::shared_ptr<grpc::Channel>& channel, Endpoint endpoint)
    : endpoint_(std::move(endpoint)),
      runtime_(::runtime::v1::RuntimeService::NewStub(channel)),
      images_(::runtime::v1::ImageService::NewStub(channel)),
      admin_(::crisp::v1::Admin::NewStub(channel)) {}

absl::Status Client::ToStatus(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  // gRPC's own messages name addresses and attempts. The daemon's name what is not available.
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    const int error = TryConnect(endpoint_.path);
    const bool grpcs_own = absl::StrContains(status.error_message(), "onnect") ||
                           absl::StrContains(status.error_message(), "Socket closed");
    if (error != 0 || grpcs_own) return DaemonIsAway(endpoint_.path, error);
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::StatusOr<Json> Client::Info() {
  CRISP_ASSIGN_OR_RETURN(const auto reply, Call(&Admin::Info, ::crisp::v1::InfoRequest()));
  return ParseJson(reply.json());
}

absl::StatusOr<Json> Client::Explain(const std::string& id) {
  ::crisp::v1::ExplainRequest request;
  request.set_id(id);
  CRISP_ASSIGN_OR_RETURN(const auto reply, Call(&Admin::Explain, request));
  return ParseJson(reply.json(), {.max_bytes = kMaxMessage});
}

absl::StatusOr<::runtime::v1::StatusResponse> Client::Status() {
  return Call(&Runtime::Status, ::runtime::v1::StatusRequest());
}

absl::StatusOr<::runtime::v1::ListImagesResponse> Client::ListImages() {
  return Call(&Images::ListImages, ::runtime::v1::ListImagesRequest());
}

absl::StatusOr<::crisp::v1::ImageHistoryResponse> Client::History(const std::string& reference) {
  ::crisp::v1::ImageHistoryRequest request;
  request.set_reference(reference);
  return Call(&Admin::ImageHistory, request);
}

absl::StatusOr<std::vector<std::string>> Client::Import(
    int fd, const std::string& name, const std::function<absl::Status()>& at_end) {
  grpc::ClientContext context;
  ::crisp::v1::ImportImageResponse reply;
  auto writer = admin_->ImportImage(&context, &reply);
  std::string buffer(kChunk, '\0');
  // Half an archive must not look like a whole one.
  const auto give_up = [&](const absl::Status& error) {
    context.TryCancel();
    writer->Finish();
    return error;
  };
  bool first = true;
  while (true) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return give_up(ErrnoError(errno, "read the archive"));
    if (got == 0) {
      if (absl::Status ended = at_end(); !ended.ok()) return give_up(ended);
      break;
    }
    ::crisp::v1::ImportImageRequest request;
    request.set_chunk(buffer.data(), static_cast<size_t>(got));
    if (std::exchange(first, false)) request.set_name(name);
    if (!writer->Write(request)) break;  // the daemon has answered already; Finish() says what
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return ToStatus(status);
  return std::vector<std::string>(reply.references().begin(), reply.references().end());
}

absl::Status Client::Export(const std::vector<std::string>& references, int fd) {
  grpc::ClientContext context;
  ::crisp::v1::ExportImageRequest request;
  for (const std::string& reference : references) request.add_references(reference);
  auto reader = admin_->ExportImage(&context, request);
  ::crisp::v1::ExportImageResponse chunk;
  absl::Status written;
  while (written.ok() && reader->Read(&chunk)) {
    written = WriteAll(fd, chunk.chunk(), "the archive");
  }
  if (!written.ok()) context.TryCancel();
  const grpc::Status status = reader->Finish();
  return written.ok() ? ToStatus(status) : written;
}

}  // namespace crisp::cli
