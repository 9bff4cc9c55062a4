#include "cri/pods/session_rpcs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::cri {
namespace {

using streaming::SessionRequest;

// The common part of Exec and Attach requests.
template <typename Request>
absl::Status FillStdio(const Request& request, SessionRequest& session) {
  if (request.tty() && request.stderr()) {
    return absl::InvalidArgumentError("stderr: a terminal has no stderr of its own");
  }
  if (!request.stdin() && !request.stdout() && !request.stderr()) {
    return absl::InvalidArgumentError("at least one of stdin, stdout and stderr must be set");
  }
  session.tty = request.tty();
  session.stdin_open = request.stdin();
  session.stdout_open = request.stdout();
  session.stderr_open = request.stderr();
  return absl::OkStatus();
}

}  // namespace

absl::Status SessionRpcs::Exec(const v1::ExecRequest& request, v1::ExecResponse* reply) {
  if (request.cmd().empty() || request.cmd(0).empty()) {
    return absl::InvalidArgumentError("cmd: nothing to run");
  }
  CRISP_ASSIGN_OR_RETURN(PodTable::RunningContainer running,
                         table_.FindRunning(request.container_id()));
  CRISP_RETURN_IF_ERROR(Can(*running.container->pod, runtime::Verb::kExec));
  SessionRequest session{.kind = SessionRequest::Kind::kExec,
                         .id = std::move(running.id),
                         .pod_id = std::move(running.pod_id),
                         .argv = {request.cmd().begin(), request.cmd().end()}};
  CRISP_RETURN_IF_ERROR(FillStdio(request, session));
  CRISP_ASSIGN_OR_RETURN(*reply->mutable_url(), server_.Prepare(std::move(session)));
  return absl::OkStatus();
}

absl::Status SessionRpcs::Attach(const v1::AttachRequest& request, v1::AttachResponse* reply) {
  CRISP_ASSIGN_OR_RETURN(PodTable::RunningContainer running,
                         table_.FindRunning(request.container_id()));
  CRISP_RETURN_IF_ERROR(Can(*running.container->pod, runtime::Verb::kAttach));
  SessionRequest session{.kind = SessionRequest::Kind::kAttach,
                         .id = std::move(running.id),
                         .pod_id = std::move(running.pod_id)};
  CRISP_RETURN_IF_ERROR(FillStdio(request, session));
  CRISP_ASSIGN_OR_RETURN(*reply->mutable_url(), server_.Prepare(std::move(session)));
  return absl::OkStatus();
}

absl::Status SessionRpcs::PortForward(const v1::PortForwardRequest& request,
                                      v1::PortForwardResponse* reply) {
  CRISP_RETURN_IF_ERROR(table_.FindReadyPod(request.pod_sandbox_id()).status());
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, table_.FindPod(request.pod_sandbox_id()));
  SessionRequest session{
      .kind = SessionRequest::Kind::kPortForward, .id = pod->id, .pod_id = pod->id};
  for (const int32_t port : request.port()) {
    if (port < 1 || port > UINT16_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat("port ", port, " must be between 1 and 65535"));
    }
    session.ports.push_back(static_cast<uint16_t>(port));
  }
  CRISP_ASSIGN_OR_RETURN(*reply->mutable_url(), server_.Prepare(std::move(session)));
  return absl::OkStatus();
}

}  // namespace crisp::cri
