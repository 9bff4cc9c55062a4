#ifndef CRISP_CRI_SERVICE_ADMIN_SERVICE_H_
#define CRISP_CRI_SERVICE_ADMIN_SERVICE_H_

#include "cri/api/crisp_admin.grpc.pb.h"
#include "cri/api/pod_api.h"
#include "cri/config/config.h"
#include "cri/node/node_info.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

namespace admin = ::crisp::v1;

// crisp.v1.Admin: the calls of the `crisp` tool beyond the CRI. Thread-safe. An import or export
// holds one more thread while it lasts.
class AdminService final : public admin::Admin::Service {
 public:
  // The arguments must outlive the service.
  AdminService(const Config& config,
               storage::ImageStore& images,
               PodApi& pods,
               const KernelFeatures& features)
      : config_(config), images_(images), pods_(pods), features_(features) {}

  grpc::Status ImportImage(grpc::ServerContext* context,
                           grpc::ServerReader<admin::ImportImageRequest>* reader,
                           admin::ImportImageResponse* reply) override;
  grpc::Status ExportImage(grpc::ServerContext* context,
                           const admin::ExportImageRequest* request,
                           grpc::ServerWriter<admin::ExportImageResponse>* writer) override;
  grpc::Status ImageHistory(grpc::ServerContext* context,
                            const admin::ImageHistoryRequest* request,
                            admin::ImageHistoryResponse* reply) override;
  grpc::Status Explain(grpc::ServerContext* context,
                       const admin::ExplainRequest* request,
                       admin::ExplainResponse* reply) override;
  grpc::Status Info(grpc::ServerContext* context,
                    const admin::InfoRequest* request,
                    admin::InfoResponse* reply) override;

 private:
  const Config& config_;
  storage::ImageStore& images_;
  PodApi& pods_;
  const KernelFeatures features_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_ADMIN_SERVICE_H_
