#include "cri/service/admin_service.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"
#include "cri/service/rpc_call.h"
#include "cri/service/status_to_grpc.h"

namespace crisp::cri {
namespace {

constexpr size_t kChunk = 256 << 10;

struct Pipe {
  UniqueFd read_end, write_end;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoError(errno, "make a pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Moves the client's chunks into the pipe until either side ends. EPIPE is the store's reader that
// has seen enough; what it says counts.
void Feed(grpc::ServerReader<admin::ImportImageRequest>* reader,
          admin::ImportImageRequest request,
          UniqueFd out) {
  do {
    if (!WriteAll(out.get(), request.chunk(), "the import pipe").ok()) return;
  } while (reader->Read(&request));
}

// Moves the pipe's bytes to the client; false when the client went away.
bool Drain(UniqueFd in, grpc::ServerWriter<admin::ExportImageResponse>* writer) {
  std::string buffer(kChunk, '\0');
  while (true) {
    const ssize_t got = read(in.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0;
    admin::ExportImageResponse chunk;
    chunk.set_chunk(buffer.data(), static_cast<size_t>(got));
    if (!writer->Write(chunk)) return false;
  }
}

}  // namespace

grpc::Status AdminService::ImportImage(grpc::ServerContext* context,
                                       grpc::ServerReader<admin::ImportImageRequest>* reader,
                                       admin::ImportImageResponse* reply) {
  const RpcCall call(context);
  auto pipe = MakePipe();
  if (!pipe.ok()) return ToGrpc(pipe.status());
  admin::ImportImageRequest first;
  (void)reader->Read(&first);  // an archive of no bytes is none, as the store will say
  absl::StatusOr<std::vector<std::string>> imported;
  auto store =
      Thread::Start("import", [&, name = first.name(), fd = std::move(pipe->read_end)]() mutable {
        imported = images_.Import(fd.get(), name, call.operation());
        fd.reset();  // a feeder that still writes must not wait for a reader that is gone
      });
  if (!store.ok()) return ToGrpc(store.status());
  Feed(reader, std::move(first), std::move(pipe->write_end));
  store->Join();
  // A client that hangs up looks like the end of its archive.
  if (context->IsCancelled()) {
    return grpc::Status(grpc::StatusCode::CANCELLED, "import: cancelled by the client");
  }
  if (!imported.ok()) return ToGrpc(imported.status());
  for (std::string& reference : *imported) {
    LogInfo("image imported", {{"image", reference}});
    reply->add_references(std::move(reference));
  }
  return grpc::Status::OK;
}

grpc::Status AdminService::ExportImage(grpc::ServerContext* context,
                                       const admin::ExportImageRequest* request,
                                       grpc::ServerWriter<admin::ExportImageResponse>* writer) {
  const RpcCall call(context);
  if (request->references().empty()) {
    return ToGrpc(absl::InvalidArgumentError("references must name an image"));
  }
  auto pipe = MakePipe();
  if (!pipe.ok()) return ToGrpc(pipe.status());
  const std::vector<std::string> references(request->references().begin(),
                                            request->references().end());
  absl::Status exported;
  auto store = Thread::Start("export", [&, fd = std::move(pipe->write_end)]() mutable {
    exported = images_.Export(references, fd.get(), call.operation());
    fd.reset();  // the end of the stream
  });
  if (!store.ok()) return ToGrpc(store.status());
  const bool delivered = Drain(std::move(pipe->read_end), writer);
  store->Join();
  if (!delivered) return grpc::Status(grpc::StatusCode::CANCELLED, "client went away");
  return ToGrpc(exported);
}

grpc::Status AdminService::ImageHistory(grpc::ServerContext*,
                                        const admin::ImageHistoryRequest* request,
                                        admin::ImageHistoryResponse* reply) {
  const auto history = images_.History(request->reference());
  if (!history.ok()) return ToGrpc(history.status());
  for (const storage::HistoryEntry& entry : *history) {
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
  return grpc::Status::OK;
}

grpc::Status AdminService::Explain(grpc::ServerContext*,
                                   const admin::ExplainRequest* request,
                                   admin::ExplainResponse* reply) {
  if (request->id().empty()) return ToGrpc(absl::InvalidArgumentError("id must name a container"));
  const auto explained = pods_.Explain(request->id());
  if (!explained.ok()) return ToGrpc(explained.status());
  reply->set_json(DumpJson(*explained));
  return grpc::Status::OK;
}

grpc::Status AdminService::Info(grpc::ServerContext*,
                                const admin::InfoRequest*,
                                admin::InfoResponse* reply) {
  const storage::FsUsage usage = images_.ImageUsage();
  reply->set_json(DumpJson({{"name", kRuntimeName},
                            {"version", kVersion},
                            {"kernel", features_.release},
                            {"pid", getpid()},
                            {"root", config_.root},
                            {"state", config_.state},
                            {"socket", config_.SocketPath()},
                            {"metrics", config_.metrics.address},
                            {"cgroupDriver", config_.runtime.cgroup_driver},
                            {"recursiveReadOnlyMounts", features_.recursive_read_only},
                            {"userNamespaces", features_.user_namespaces},
                            {"pods", pods_.PodCount()},
                            {"images", images_.List().size()},
                            {"imageBytes", usage.used_bytes}}));
  return grpc::Status::OK;
}

}  // namespace crisp::cri
