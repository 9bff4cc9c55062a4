#ifndef CRISP_CRI_SERVICE_ADMIN_SERVICE_H_
#define CRISP_CRI_SERVICE_ADMIN_SERVICE_H_

#include "base/operation.h"
#include "base/workers.h"
#include "cri/api/crisp_admin.grpc.pb.h"
#include "cri/api/pod_api.h"
#include "cri/api/pod_rpcs.h"
#include "cri/config/config.h"
#include "cri/node/node_info.h"
#include "cri/service/rpc_call.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

namespace admin = ::crisp::v1;

// crisp.v1.Admin: the calls of the `crisp` tool beyond the CRI. Thread-safe. An import or export
// holds one more thread while it lasts.
class AdminService final : public admin::Admin::CallbackService {
 public:
  // The arguments must outlive the service.
  AdminService(Workers& threads,
               const Config& config,
               storage::ImageStore& images,
               PodApi& pods,
               const KernelFeatures& features)
      : threads_(threads), config_(config), images_(images), pods_(pods), features_(features) {}

  grpc::ServerReadReactor<admin::ImportImageRequest>* ImportImage(
      grpc::CallbackServerContext* context, admin::ImportImageResponse* reply) override;
  grpc::ServerWriteReactor<admin::ExportImageResponse>* ExportImage(
      grpc::CallbackServerContext* context, const admin::ExportImageRequest* request) override;
  grpc::ServerUnaryReactor* TagImage(grpc::CallbackServerContext* context,
                                     const admin::TagImageRequest* request,
                                     admin::TagImageResponse* reply) override;
  grpc::ServerUnaryReactor* UntagImage(grpc::CallbackServerContext* context,
                                       const admin::UntagImageRequest* request,
                                       admin::UntagImageResponse* reply) override;
  grpc::ServerUnaryReactor* ImageHistory(grpc::CallbackServerContext* context,
                                         const admin::ImageHistoryRequest* request,
                                         admin::ImageHistoryResponse* reply) override;
  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context,
                                    const admin::ExplainRequest* request,
                                    admin::ExplainResponse* reply) override;
  grpc::ServerUnaryReactor* Info(grpc::CallbackServerContext* context,
                                 const admin::InfoRequest* request,
                                 admin::InfoResponse* reply) override;
#define CRISP_POD_RPC(name)                                            \
  grpc::ServerUnaryReactor* name(grpc::CallbackServerContext* context, \
                                 const admin::name##Request* request,  \
                                 admin::name##Response* reply) override;
  CRISP_POD_ADMIN_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

 private:
  absl::Status Import(UploadCall<admin::ImportImageRequest>& upload,
                      const Operation& operation,
                      admin::ImportImageResponse* reply);
  absl::Status Export(const admin::ExportImageRequest& request,
                      StreamCall<admin::ExportImageResponse>& stream,
                      const Operation& operation);
  absl::Status History(const admin::ImageHistoryRequest& request,
                       admin::ImageHistoryResponse* reply);

  Workers& threads_;
  const Config& config_;
  storage::ImageStore& images_;
  PodApi& pods_;
  const KernelFeatures features_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_ADMIN_SERVICE_H_
