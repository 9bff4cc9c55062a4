#include "cli/commands/life.h"

#include "base/status.h"

namespace crisp::cli {

namespace v1 = ::runtime::v1;

absl::Status StopContainer(Client& client, const std::string& id, int64_t timeout) {
  v1::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(timeout);
  return client.Call(&Client::Runtime::StopContainer, request, kSlow + absl::Seconds(timeout))
      .status();
}

absl::Status RemoveContainer(Client& client, const std::string& id) {
  v1::RemoveContainerRequest request;
  request.set_container_id(id);
  return client.Call(&Client::Runtime::RemoveContainer, request, kSlow).status();
}

absl::Status StopPod(Client& client, const std::string& id) {
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return client.Call(&Client::Runtime::StopPodSandbox, request, kSlow).status();
}

absl::Status RemovePod(Client& client, const std::string& id) {
  CRISP_RETURN_IF_ERROR(StopPod(client, id));
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return client.Call(&Client::Runtime::RemovePodSandbox, request, kSlow).status();
}

}  // namespace crisp::cli
