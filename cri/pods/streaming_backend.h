#ifndef CRISP_CRI_PODS_STREAMING_BACKEND_H_
#define CRISP_CRI_PODS_STREAMING_BACKEND_H_

#include <memory>
#include <string>

#include "cri/containers/executions.h"
#include "cri/state/pod_table.h"
#include "streaming/session/backend.h"

namespace crisp::cri {

// The pods as the streaming server's sessions use them. Thread-safe.
class StreamingBackend final : public streaming::Backend {
 public:
  // Both outlive it.
  StreamingBackend(const PodTable& table, Executions& executions)
      : table_(table), executions_(executions) {}

  absl::StatusOr<std::shared_ptr<streaming::Process>> StartExec(
      const streaming::SessionRequest& request, const streaming::SessionStdio& stdio) override;
  absl::Status Attach(const streaming::SessionRequest& request,
                      const streaming::SessionStdio& stdio) override;
  absl::Status WhyDetached(const std::string& container_id) override;
  absl::Status ResizeContainer(const std::string& container_id,
                               uint16_t rows,
                               uint16_t columns) override;
  absl::StatusOr<UniqueFd> OpenPodSocket(const std::string& pod_id, int family) override;

 private:
  const PodTable& table_;
  Executions& executions_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_STREAMING_BACKEND_H_
