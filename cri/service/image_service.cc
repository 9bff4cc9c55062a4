#include "cri/service/image_service.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "base/utf8.h"
#include "cri/service/rpc_call.h"
#include "cri/service/status_to_grpc.h"

namespace crisp::cri {
namespace {

// Images of one streamed message; a thousand of them is well below any client's 16 MiB.
constexpr size_t kStreamBatch = 1000;

storage::RegistryAuth AuthOf(const v1::AuthConfig& auth) {
  return {.username = auth.username(),
          .password = auth.password(),
          .auth = auth.auth(),
          .server_address = auth.server_address(),
          .identity_token = auth.identity_token(),
          .registry_token = auth.registry_token()};
}

// The document that clients find under "info": crictl prints it, debuggers read imageSpec.
std::string VerboseInfo(const storage::Image& image) {
  Json info = {
      {"chainIDs", image.chain_ids},
      {"pulledAt", absl::FormatTime(absl::RFC3339_full, image.pulled_at, absl::UTCTimeZone())},
      {"imageSpec", Json::object()}};
  auto config = ParseJson(ReplaceInvalidUtf8(image.config_json), {.max_depth = 100});
  if (config.ok()) info["imageSpec"] = *std::move(config);
  return DumpJson(info);
}

void FillUsage(const storage::FsUsage& usage, v1::FilesystemUsage* out) {
  out->set_timestamp(absl::ToUnixNanos(usage.timestamp));
  out->mutable_fs_id()->set_mountpoint(usage.mountpoint);
  out->mutable_used_bytes()->set_value(usage.used_bytes);
  out->mutable_inodes_used()->set_value(usage.inodes_used);
}

absl::Status RequireImage(const v1::ImageSpec& spec) {
  if (!spec.image().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("image.image must name an image");
}

}  // namespace

void FillImage(const storage::Image& image, v1::Image* out) {
  out->set_id(image.id);
  for (const std::string& tag : image.repo_tags) out->add_repo_tags(tag);
  for (const std::string& digest : image.repo_digests) out->add_repo_digests(digest);
  out->set_size(image.size_bytes);
  out->set_pinned(image.pinned);
  out->mutable_spec()->set_image(image.id);
  const std::string user = image.user.substr(0, image.user.find(':'));
  uint32_t uid = 0;
  if (user.empty() || absl::SimpleAtoi(user, &uid)) {
    out->mutable_uid()->set_value(uid);
  } else {
    out->set_username(user);
  }
}

absl::StatusOr<std::vector<storage::Image>> ImageService::Select(
    const v1::ImageFilter& filter) const {
  const std::string& wanted = filter.image().image();
  if (wanted.empty()) return images_.List();
  auto image = images_.Find(wanted);
  if (absl::IsNotFound(image.status())) return std::vector<storage::Image>();
  if (!image.ok()) return image.status();
  return std::vector<storage::Image>{*std::move(image)};
}

grpc::Status ImageService::ListImages(grpc::ServerContext*,
                                      const v1::ListImagesRequest* request,
                                      v1::ListImagesResponse* reply) {
  const auto images = Select(request->filter());
  if (!images.ok()) return ToGrpc(images.status());
  for (const storage::Image& image : *images) FillImage(image, reply->add_images());
  return grpc::Status::OK;
}

grpc::Status ImageService::StreamImages(grpc::ServerContext*,
                                        const v1::StreamImagesRequest* request,
                                        grpc::ServerWriter<v1::StreamImagesResponse>* writer) {
  const auto images = Select(request->filter());
  if (!images.ok()) return ToGrpc(images.status());
  for (size_t begin = 0; begin < images->size(); begin += kStreamBatch) {
    v1::StreamImagesResponse batch;
    const size_t end = std::min(begin + kStreamBatch, images->size());
    for (size_t i = begin; i < end; ++i) FillImage((*images)[i], batch.add_images());
    if (!writer->Write(batch)) return grpc::Status(grpc::StatusCode::CANCELLED, "client went away");
  }
  return grpc::Status::OK;
}

grpc::Status ImageService::ImageStatus(grpc::ServerContext*,
                                       const v1::ImageStatusRequest* request,
                                       v1::ImageStatusResponse* reply) {
  if (auto status = RequireImage(request->image()); !status.ok()) return ToGrpc(status);
  const auto image = images_.Find(request->image().image());
  if (absl::IsNotFound(image.status())) return grpc::Status::OK;
  if (!image.ok()) return ToGrpc(image.status());
  FillImage(*image, reply->mutable_image());
  if (request->verbose()) (*reply->mutable_info())["info"] = VerboseInfo(*image);
  return grpc::Status::OK;
}

absl::StatusOr<std::string> ImageService::Pull(const v1::PullImageRequest& request,
                                               const Operation& operation) {
  CRISP_RETURN_IF_ERROR(RequireImage(request.image()));
  CRISP_RETURN_IF_ERROR(operation.Check(absl::StrCat("pull ", request.image().image())));
  metrics_.Add(metrics::kImagePullsInFlight, 1);
  absl::Cleanup leave = [this] { metrics_.Add(metrics::kImagePullsInFlight, -1); };
  return images_.Pull(request.image().image(), AuthOf(request.auth()), operation);
}

grpc::Status ImageService::PullImage(grpc::ServerContext* context,
                                     const v1::PullImageRequest* request,
                                     v1::PullImageResponse* reply) {
  const RpcCall call(context);
  const absl::Time begin = absl::Now();
  const auto id = Pull(*request, call.operation());
  const absl::Duration took = absl::Now() - begin;
  metrics_.Increment(metrics::kImagePulls, {absl::StatusCodeToString(id.status().code())});
  if (!id.ok()) {
    // Without the name nobody can tell which of several pulls it was.
    LogWarning("image pull failed", {{"image", request->image().image()},
                                     {"code", absl::StatusCodeToString(id.status().code())},
                                     {"error", id.status().message()},
                                     {"ms", absl::ToInt64Milliseconds(took)}});
    return ToGrpc(id.status());
  }
  metrics_.Observe(metrics::kImagePullSeconds, absl::ToDoubleSeconds(took));
  LogInfo(
      "image pulled",
      {{"image", request->image().image()}, {"id", *id}, {"ms", absl::ToInt64Milliseconds(took)}});
  reply->set_image_ref(*id);
  return grpc::Status::OK;
}

grpc::Status ImageService::RemoveImage(grpc::ServerContext*,
                                       const v1::RemoveImageRequest* request,
                                       v1::RemoveImageResponse*) {
  if (auto status = RequireImage(request->image()); !status.ok()) return ToGrpc(status);
  const absl::StatusOr<storage::Image> image = images_.Find(request->image().image());
  const absl::Status removed = images_.Remove(request->image().image());
  if (removed.ok() && image.ok()) removed_(image->id);
  if (removed.ok()) LogInfo("image removed", {{"image", request->image().image()}});
  return ToGrpc(removed);
}

grpc::Status ImageService::ImageFsInfo(grpc::ServerContext*,
                                       const v1::ImageFsInfoRequest*,
                                       v1::ImageFsInfoResponse* reply) {
  // One file system holds layers and writable directories, so the two lists name the same mount
  // point; the kubelet takes equal mount points as "no split disk".
  const storage::FsUsage layers = images_.ImageUsage();
  storage::FsUsage containers = images_.ContainersUsage();
  containers.mountpoint = layers.mountpoint;
  FillUsage(layers, reply->add_image_filesystems());
  FillUsage(containers, reply->add_container_filesystems());
  return grpc::Status::OK;
}

}  // namespace crisp::cri
