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
  std::vector<storage::Image> images;
  if (wanted.empty()) {
    images = images_.List();
  } else {
    auto image = images_.Find(wanted);
    if (absl::IsNotFound(image.status())) return images;
    if (!image.ok()) return image.status();
    images.push_back(*std::move(image));
  }
  const ImageIds in_use = in_use_();
  for (storage::Image& image : images) image.pinned |= in_use.contains(image.id);
  return images;
}

grpc::ServerUnaryReactor* ImageService::ListImages(grpc::CallbackServerContext* context,
                                                   const v1::ListImagesRequest* request,
                                                   v1::ListImagesResponse* reply) {
  return ServeUnary(threads_, context, [=, this](const Operation&) -> absl::Status {
    CRISP_ASSIGN_OR_RETURN(const std::vector<storage::Image> images, Select(request->filter()));
    for (const storage::Image& image : images) FillImage(image, reply->add_images());
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::StreamImagesResponse>* ImageService::StreamImages(
    grpc::CallbackServerContext* context, const v1::StreamImagesRequest* request) {
  return ServeStream<v1::StreamImagesResponse>(
      threads_, context,
      [=, this](const Operation&, StreamCall<v1::StreamImagesResponse>& stream) -> absl::Status {
        CRISP_ASSIGN_OR_RETURN(const std::vector<storage::Image> images, Select(request->filter()));
        for (size_t begin = 0; begin < images.size(); begin += kStreamBatch) {
          v1::StreamImagesResponse batch;
          const size_t end = std::min(begin + kStreamBatch, images.size());
          for (size_t i = begin; i < end; ++i) FillImage(images[i], batch.add_images());
          if (!stream.Write(batch)) return absl::CancelledError("client went away");
        }
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ImageService::ImageStatus(grpc::CallbackServerContext* context,
                                                    const v1::ImageStatusRequest* request,
                                                    v1::ImageStatusResponse* reply) {
  return ServeUnary(threads_, context,
                    [=, this](const Operation&) { return FindOne(*request, reply); });
}

absl::Status ImageService::FindOne(const v1::ImageStatusRequest& request,
                                   v1::ImageStatusResponse* reply) const {
  CRISP_RETURN_IF_ERROR(RequireImage(request.image()));
  auto image = images_.Find(request.image().image());
  if (absl::IsNotFound(image.status())) return absl::OkStatus();
  if (!image.ok()) return image.status();
  image->pinned |= in_use_().contains(image->id);
  FillImage(*image, reply->mutable_image());
  if (request.verbose()) (*reply->mutable_info())["info"] = VerboseInfo(*image);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ImageService::Pull(const v1::PullImageRequest& request,
                                               const Operation& operation) {
  CRISP_RETURN_IF_ERROR(RequireImage(request.image()));
  CRISP_RETURN_IF_ERROR(operation.Check(absl::StrCat("pull ", request.image().image())));
  metrics_.Add(metrics::kImagePullsInFlight, 1);
  absl::Cleanup leave = [this] { metrics_.Add(metrics::kImagePullsInFlight, -1); };
  return images_.Pull(request.image().image(), AuthOf(request.auth()), operation);
}

absl::StatusOr<std::string> ImageService::CountPull(const v1::PullImageRequest& request,
                                                    const Operation& operation) {
  const absl::Time begin = absl::Now();
  absl::StatusOr<std::string> id = Pull(request, operation);
  const absl::Duration took = absl::Now() - begin;
  metrics_.Increment(metrics::kImagePulls, {absl::StatusCodeToString(id.status().code())});
  if (!id.ok()) {
    // Without the name nobody can tell which of several pulls it was.
    LogWarning("image pull failed", {{"image", request.image().image()},
                                     {"code", absl::StatusCodeToString(id.status().code())},
                                     {"error", id.status().message()},
                                     {"ms", absl::ToInt64Milliseconds(took)}});
    return id;
  }
  metrics_.Observe(metrics::kImagePullSeconds, absl::ToDoubleSeconds(took));
  LogInfo(
      "image pulled",
      {{"image", request.image().image()}, {"id", *id}, {"ms", absl::ToInt64Milliseconds(took)}});
  return id;
}

grpc::ServerUnaryReactor* ImageService::PullImage(grpc::CallbackServerContext* context,
                                                  const v1::PullImageRequest* request,
                                                  v1::PullImageResponse* reply) {
  return ServeUnary(threads_, context, [=, this](const Operation& operation) -> absl::Status {
    CRISP_ASSIGN_OR_RETURN(std::string id, CountPull(*request, operation));
    reply->set_image_ref(std::move(id));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ImageService::RemoveImage(grpc::CallbackServerContext* context,
                                                    const v1::RemoveImageRequest* request,
                                                    v1::RemoveImageResponse*) {
  return ServeUnary(threads_, context, [=, this](const Operation&) { return Remove(*request); });
}

absl::Status ImageService::Remove(const v1::RemoveImageRequest& request) {
  CRISP_RETURN_IF_ERROR(RequireImage(request.image()));
  const absl::StatusOr<storage::Image> image = images_.Find(request.image().image());
  absl::Status removed = images_.Remove(request.image().image());
  if (removed.ok() && image.ok()) removed_(image->id);
  if (removed.ok()) LogInfo("image removed", {{"image", request.image().image()}});
  return removed;
}

grpc::ServerUnaryReactor* ImageService::ImageFsInfo(grpc::CallbackServerContext* context,
                                                    const v1::ImageFsInfoRequest*,
                                                    v1::ImageFsInfoResponse* reply) {
  return ServeUnary(threads_, context, [=, this](const Operation&) {
    // One file system holds layers and writable directories, so the two lists name the same mount
    // point; the kubelet takes equal mount points as "no split disk".
    const storage::FsUsage layers = images_.ImageUsage();
    storage::FsUsage containers = images_.ContainersUsage();
    containers.mountpoint = layers.mountpoint;
    FillUsage(layers, reply->add_image_filesystems());
    FillUsage(containers, reply->add_container_filesystems());
    return absl::OkStatus();
  });
}

}  // namespace crisp::cri
