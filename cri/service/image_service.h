#ifndef CRISP_CRI_SERVICE_IMAGE_SERVICE_H_
#define CRISP_CRI_SERVICE_IMAGE_SERVICE_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "base/operation.h"
#include "base/workers.h"
#include "cri/api/api.grpc.pb.h"
#include "metrics/registry.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// runtime.v1.ImageService on an image store. Thread-safe, without state of its own.
// - An image is named by id, id prefix, tag, digest or short name, and answers alike under each.
// - Absent images: ImageStatus gives an empty reply, RemoveImage succeeds.
// - ImageSpec.runtime_handler is accepted and makes no difference: there is one snapshotter.
class ImageService final : public v1::ImageService::CallbackService {
 public:
  using ImageIds = absl::flat_hash_set<std::string>;
  // The arguments must outlive the service. `removed` gets the id of each image that is gone.
  // `in_use` says the images that are to be told as pinned, beside those that the configuration
  // pins: containers use them that this service's clients do not see.
  ImageService(
      Workers& threads,
      storage::ImageStore& images,
      metrics::Registry& metrics,
      std::function<void(const std::string&)> removed = [](const std::string&) {},
      std::function<ImageIds()> in_use = [] { return ImageIds(); })
      : threads_(threads),
        images_(images),
        metrics_(metrics),
        removed_(std::move(removed)),
        in_use_(std::move(in_use)) {}

  grpc::ServerUnaryReactor* ListImages(grpc::CallbackServerContext* context,
                                       const v1::ListImagesRequest* request,
                                       v1::ListImagesResponse* reply) override;
  grpc::ServerWriteReactor<v1::StreamImagesResponse>* StreamImages(
      grpc::CallbackServerContext* context, const v1::StreamImagesRequest* request) override;
  grpc::ServerUnaryReactor* ImageStatus(grpc::CallbackServerContext* context,
                                        const v1::ImageStatusRequest* request,
                                        v1::ImageStatusResponse* reply) override;
  grpc::ServerUnaryReactor* PullImage(grpc::CallbackServerContext* context,
                                      const v1::PullImageRequest* request,
                                      v1::PullImageResponse* reply) override;
  grpc::ServerUnaryReactor* RemoveImage(grpc::CallbackServerContext* context,
                                        const v1::RemoveImageRequest* request,
                                        v1::RemoveImageResponse* reply) override;
  grpc::ServerUnaryReactor* ImageFsInfo(grpc::CallbackServerContext* context,
                                        const v1::ImageFsInfoRequest* request,
                                        v1::ImageFsInfoResponse* reply) override;

 private:
  absl::StatusOr<std::vector<storage::Image>> Select(const v1::ImageFilter& filter) const;
  absl::Status FindOne(const v1::ImageStatusRequest& request, v1::ImageStatusResponse* reply) const;
  absl::StatusOr<std::string> Pull(const v1::PullImageRequest& request, const Operation& operation);
  absl::StatusOr<std::string> CountPull(const v1::PullImageRequest& request,
                                        const Operation& operation);
  absl::Status Remove(const v1::RemoveImageRequest& request);

  Workers& threads_;
  storage::ImageStore& images_;
  metrics::Registry& metrics_;
  const std::function<void(const std::string&)> removed_;
  const std::function<ImageIds()> in_use_;
};

// The CRI's view of an image. Exactly one of uid and username is set, from the user part of the
// config's "user[:group]": a number (or nothing, which is 0) is a uid.
void FillImage(const storage::Image& image, v1::Image* out);

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_IMAGE_SERVICE_H_
