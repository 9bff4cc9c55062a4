#include "cri/containers/exec_session.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::cri {

void ExecSession::Exited(const runtime::ExitRecord& record) {
  {
    absl::MutexLock lock(&mutex_);
    if (exit_.has_value()) return;
    exit_ = record;
  }
  const uint64_t one = 1;
  // An eventfd takes its first count always.
  (void)!::write(exited_.get(), &one, sizeof(one));
}

absl::Status ExecSession::Kill(const Operation& operation) {
  CRISP_RETURN_IF_ERROR(pod_->KillExec(id_));
  const CancelEvent cancelled(operation);
  CRISP_RETURN_IF_ERROR(cancelled.status());
  while (!exit().has_value()) {
    CRISP_RETURN_IF_ERROR(operation.Check(absl::StrCat("kill exec ", id_)));
    pollfd ended = {.fd = exited_fd(), .events = POLLIN, .revents = 0};
    (void)cancelled.Poll(absl::MakeSpan(&ended, 1));
  }
  return absl::OkStatus();
}

absl::Status ExecSession::Resize(uint16_t rows, uint16_t columns) {
  return pod_->ResizeTerminal(container_id_, id_, rows, columns);
}

void ExecTable::Insert(const std::shared_ptr<ExecSession>& session) {
  absl::MutexLock lock(&mutex_);
  sessions_[session->id()] = session;
}

void ExecTable::Erase(const std::string& exec_id) {
  absl::MutexLock lock(&mutex_);
  sessions_.erase(exec_id);
}

std::shared_ptr<ExecSession> ExecTable::Finish(const std::string& exec_id,
                                               const runtime::ExitRecord& record) {
  std::shared_ptr<ExecSession> session;
  {
    absl::MutexLock lock(&mutex_);
    auto it = sessions_.find(exec_id);
    if (it == sessions_.end()) return nullptr;
    session = std::move(it->second);
    sessions_.erase(it);
  }
  session->Exited(record);
  return session;
}

void ExecTable::FinishAllOf(const std::string& container_id, const runtime::ExitRecord& record) {
  std::vector<std::string> ids;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, session] : sessions_) {
      if (session->container_id() == container_id) ids.push_back(id);
    }
  }
  for (const std::string& id : ids) Finish(id, record);
}

}  // namespace crisp::cri
