#include "cri/service/admin_service.h"

#include <errno.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/pipe.h"
#include "base/status.h"
#include "base/thread.h"
#include "cri/service/rpc_call.h"

namespace crisp::cri {
namespace {

constexpr size_t kChunk = 256 << 10;

// Moves the client's chunks into the pipe until either side ends. EPIPE is the store's reader that
// has seen enough; what it says counts.
void Feed(UploadCall<admin::ImportImageRequest>& upload,
          admin::ImportImageRequest request,
          UniqueFd out) {
  do {
    if (!WriteAll(out.get(), request.chunk(), "the import pipe").ok()) return;
  } while (upload.Read(&request));
}

// Moves the pipe's bytes to the client; false when the client went away.
bool Drain(UniqueFd in, StreamCall<admin::ExportImageResponse>& stream) {
  std::string buffer(kChunk, '\0');
  while (true) {
    const ssize_t got = read(in.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0;
    admin::ExportImageResponse chunk;
    chunk.set_chunk(buffer.data(), static_cast<size_t>(got));
    if (!stream.Write(chunk)) return false;
  }
}

}  // namespace

grpc::ServerReadReactor<admin::ImportImageRequest>* AdminService::ImportImage(
    grpc::CallbackServerContext* context, admin::ImportImageResponse* reply) {
  return ServeUpload<admin::ImportImageRequest>(
      threads_, context,
      [=, this](const Operation& operation, UploadCall<admin::ImportImageRequest>& upload) {
        return Import(upload, operation, reply);
      });
}

absl::Status AdminService::Import(UploadCall<admin::ImportImageRequest>& upload,
                                  const Operation& operation,
                                  admin::ImportImageResponse* reply) {
  CRISP_ASSIGN_OR_RETURN(Pipe pipe, MakePipe("a pipe"));
  admin::ImportImageRequest first;
  (void)upload.Read(&first);  // an archive of no bytes is none, as the store will say
  absl::StatusOr<std::vector<std::string>> imported;
  CRISP_ASSIGN_OR_RETURN(
      Thread store,
      Thread::Start("import", [&, name = first.name(), fd = std::move(pipe.read_end)]() mutable {
        imported = images_.Import(fd.get(), name, operation);
        fd.reset();  // a feeder that still writes must not wait for a reader that is gone
      }));
  Feed(upload, std::move(first), std::move(pipe.write_end));
  store.Join();
  // A client that hangs up looks like the end of its archive.
  if (operation.cancelled()) return absl::CancelledError("import: cancelled by the client");
  CRISP_RETURN_IF_ERROR(imported.status());
  for (std::string& reference : *imported) {
    LogInfo("image imported", {{"image", reference}});
    reply->add_references(std::move(reference));
  }
  return absl::OkStatus();
}

grpc::ServerWriteReactor<admin::ExportImageResponse>* AdminService::ExportImage(
    grpc::CallbackServerContext* context, const admin::ExportImageRequest* request) {
  return ServeStream<admin::ExportImageResponse>(
      threads_, context,
      [=, this](const Operation& operation, StreamCall<admin::ExportImageResponse>& stream) {
        return Export(*request, stream, operation);
      });
}

absl::Status AdminService::Export(const admin::ExportImageRequest& request,
                                  StreamCall<admin::ExportImageResponse>& stream,
                                  const Operation& operation) {
  if (request.references().empty()) {
    return absl::InvalidArgumentError("references must name an image");
  }
  CRISP_ASSIGN_OR_RETURN(Pipe pipe, MakePipe("a pipe"));
  const std::vector<std::string> references(request.references().begin(),
                                            request.references().end());
  absl::Status exported;
  CRISP_ASSIGN_OR_RETURN(Thread store,
                         Thread::Start("export", [&, fd = std::move(pipe.write_end)]() mutable {
                           exported = images_.Export(references, fd.get(), operation);
                           fd.reset();  // the end of the stream
                         }));
  const bool delivered = Drain(std::move(pipe.read_end), stream);
  store.Join();
  if (!delivered) return absl::CancelledError("client went away");
  return exported;
}

grpc::ServerUnaryReactor* AdminService::TagImage(grpc::CallbackServerContext* context,
                                                 const admin::TagImageRequest* request,
                                                 admin::TagImageResponse* reply) {
  return ServeUnary(threads_, context, [=, this](const Operation&) -> absl::Status {
    CRISP_ASSIGN_OR_RETURN(*reply->mutable_name(),
                           images_.Tag(request->reference(), request->name()));
    LogInfo("image tagged", {{"image", request->reference()}, {"tag", reply->name()}});
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::UntagImage(grpc::CallbackServerContext* context,
                                                   const admin::UntagImageRequest* request,
                                                   admin::UntagImageResponse*) {
  return ServeUnary(threads_, context, [=, this](const Operation&) -> absl::Status {
    CRISP_RETURN_IF_ERROR(images_.Untag(request->name()));
    LogInfo("image untagged", {{"tag", request->name()}});
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::ImageHistory(grpc::CallbackServerContext* context,
                                                     const admin::ImageHistoryRequest* request,
                                                     admin::ImageHistoryResponse* reply) {
  return ServeUnary(threads_, context,
                    [=, this](const Operation&) { return History(*request, reply); });
}

absl::Status AdminService::History(const admin::ImageHistoryRequest& request,
                                   admin::ImageHistoryResponse* reply) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<storage::HistoryEntry> history,
                         images_.History(request.reference()));
  for (const storage::HistoryEntry& entry : history) {
    admin::ImageHistoryEntry* out = reply->add_entries();
    out->set_created_by(entry.created_by);
    out->set_comment(entry.comment);
    out->set_created_at(absl::ToUnixNanos(entry.created));
    out->set_empty_layer(entry.empty_layer);
    out->set_diff_id(entry.diff_id);
    out->set_digest(entry.digest);
    out->set_size_bytes(entry.size_bytes);
    out->set_unpacked_bytes(entry.unpacked_bytes);
    for (const std::string& container : entry.containers) out->add_containers(container);
  }
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* AdminService::Explain(grpc::CallbackServerContext* context,
                                                const admin::ExplainRequest* request,
                                                admin::ExplainResponse* reply) {
  return ServeUnary(threads_, context, [=, this](const Operation&) -> absl::Status {
    if (request->id().empty()) return absl::InvalidArgumentError("id must name a container");
    CRISP_ASSIGN_OR_RETURN(const Json explained, pods_.Explain(request->id()));
    reply->set_json(DumpJson(explained));
    return absl::OkStatus();
  });
}

#define CRISP_POD_RPC(name)                                                                      \
  grpc::ServerUnaryReactor* AdminService::name(grpc::CallbackServerContext* context,             \
                                               const admin::name##Request* request,              \
                                               admin::name##Response* reply) {                   \
    return ServeUnary(threads_, context, [=, this](const Operation& operation) -> absl::Status { \
      if (request->container_id().empty())                                                       \
        return absl::InvalidArgumentError("container_id must name a container");                 \
      return pods_.name(*request, reply, operation);                                             \
    });                                                                                          \
  }
CRISP_POD_ADMIN_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

grpc::ServerUnaryReactor* AdminService::Info(grpc::CallbackServerContext* context,
                                             const admin::InfoRequest*,
                                             admin::InfoResponse* reply) {
  return ServeUnary(threads_, context, [=, this](const Operation&) {
    const storage::FsUsage usage = images_.ImageUsage();
    reply->set_json(DumpJson({{"name", kRuntimeName},
                              {"version", kVersion},
                              {"kernel", features_.release},
                              {"pid", getpid()},
                              {"root", config_.root},
                              {"state", config_.state},
                              {"socket", config_.SocketPath()},
                              {"operatorSocket", config_.OperatorSocketPath()},
                              {"metrics", config_.metrics.address},
                              {"cgroupDriver", config_.runtime.cgroup_driver},
                              {"recursiveReadOnlyMounts", features_.recursive_read_only},
                              {"userNamespaces", features_.user_namespaces},
                              {"pods", pods_.PodCount()},
                              {"images", images_.List().size()},
                              {"imageBytes", usage.used_bytes}}));
    return absl::OkStatus();
  });
}

}  // namespace crisp::cri
