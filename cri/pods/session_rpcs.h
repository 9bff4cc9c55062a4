#ifndef CRISP_CRI_PODS_SESSION_RPCS_H_
#define CRISP_CRI_PODS_SESSION_RPCS_H_

#include "cri/api/session_api.h"
#include "cri/state/pod_table.h"
#include "streaming/server/server.h"

namespace crisp::cri {

// Hands out the URLs of sessions, after a check that the session can be had.
class SessionRpcs final : public SessionApi {
 public:
  // The arguments outlive it.
  SessionRpcs(const PodTable& table, streaming::Server& server) : table_(table), server_(server) {}

  absl::Status Exec(const v1::ExecRequest& request, v1::ExecResponse* reply) override;
  absl::Status Attach(const v1::AttachRequest& request, v1::AttachResponse* reply) override;
  absl::Status PortForward(const v1::PortForwardRequest& request,
                           v1::PortForwardResponse* reply) override;

 private:
  const PodTable& table_;
  streaming::Server& server_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_SESSION_RPCS_H_
