#include "cli/client.h"

#include <errno.h>
#include <grpcpp/create_channel.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::cli {
namespace {

constexpr int kMaxMessage = 80 << 20;
constexpr size_t kChunk = 256 << 10;
// Of calls that the daemon answers from memory.
constexpr std::chrono::seconds kQuick(10);

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

template <typename Stub, typename Request, typename Reply>
absl::StatusOr<Reply> Call(Stub& stub,
                           grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                        const Request&,
                                                        Reply*),
                           const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kQuick);
  Reply reply;
  const grpc::Status status = (stub.*method)(&context, request, &reply);
  if (!status.ok()) return FromGrpc(status);
  return reply;
}

}  // namespace

Client::Client(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  const std::string target =
      absl::StartsWith(address, "/") ? absl::StrCat("unix://", address) : address;
  const auto channel =
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  runtime_ = ::runtime::v1::RuntimeService::NewStub(channel);
  images_ = ::runtime::v1::ImageService::NewStub(channel);
  admin_ = ::crisp::v1::Admin::NewStub(channel);
}

absl::StatusOr<Json> Client::Info() {
  CRISP_ASSIGN_OR_RETURN(
      const auto reply, Call(*admin_, &::crisp::v1::Admin::Stub::Info, ::crisp::v1::InfoRequest()));
  return ParseJson(reply.json());
}

absl::StatusOr<Json> Client::Explain(const std::string& id) {
  ::crisp::v1::ExplainRequest request;
  request.set_id(id);
  CRISP_ASSIGN_OR_RETURN(const auto reply,
                         Call(*admin_, &::crisp::v1::Admin::Stub::Explain, request));
  return ParseJson(reply.json(), {.max_bytes = kMaxMessage});
}

absl::StatusOr<::runtime::v1::StatusResponse> Client::Status() {
  return Call(*runtime_, &::runtime::v1::RuntimeService::Stub::Status,
              ::runtime::v1::StatusRequest());
}

absl::StatusOr<::runtime::v1::ListImagesResponse> Client::ListImages() {
  return Call(*images_, &::runtime::v1::ImageService::Stub::ListImages,
              ::runtime::v1::ListImagesRequest());
}

absl::StatusOr<::crisp::v1::ImageHistoryResponse> Client::History(const std::string& reference) {
  ::crisp::v1::ImageHistoryRequest request;
  request.set_reference(reference);
  return Call(*admin_, &::crisp::v1::Admin::Stub::ImageHistory, request);
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
  if (!status.ok()) return FromGrpc(status);
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
  return written.ok() ? FromGrpc(status) : written;
}

}  // namespace crisp::cli
