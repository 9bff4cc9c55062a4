#ifndef CRISP_CRI_CONTAINERS_EXEC_SESSION_H_
#define CRISP_CRI_CONTAINERS_EXEC_SESSION_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "runtime/handler/pod_handle.h"

namespace crisp::cri {

// One process that was started in a running container. Thread-safe. Dropping the object does not
// end the process: a caller that gives up calls Kill().
class ExecSession {
 public:
  // `exited` is an eventfd.
  ExecSession(std::string id,
              std::string container_id,
              UniqueFd exited,
              std::shared_ptr<runtime::PodHandle> pod)
      : id_(std::move(id)),
        container_id_(std::move(container_id)),
        exited_(std::move(exited)),
        pod_(std::move(pod)) {}

  const std::string& id() const { return id_; }
  const std::string& container_id() const { return container_id_; }
  // A descriptor for poll(2) that is readable for good once the process has ended.
  int exited_fd() const { return exited_.get(); }
  // Set once the process has ended.
  std::optional<runtime::ExitRecord> exit() const {
    absl::MutexLock lock(&mutex_);
    return exit_;
  }
  // SIGKILLs the process and all that it has started (PodHandle::KillExec), and waits until the
  // process is gone or `operation` fires.
  absl::Status Kill(const Operation& operation);
  absl::Status Resize(uint16_t rows, uint16_t columns);

 private:
  friend class ExecTable;
  void Exited(const runtime::ExitRecord& record);

  const std::string id_, container_id_;
  const UniqueFd exited_;
  const std::shared_ptr<runtime::PodHandle> pod_;
  mutable absl::Mutex mutex_;
  std::optional<runtime::ExitRecord> exit_ ABSL_GUARDED_BY(mutex_);
};

// Running execs by id. Thread-safe.
class ExecTable {
 public:
  void Insert(const std::shared_ptr<ExecSession>& session);
  void Erase(const std::string& exec_id);
  // Tells the session of its end and forgets it. Returns the session, or null if it is unknown.
  std::shared_ptr<ExecSession> Finish(const std::string& exec_id,
                                      const runtime::ExitRecord& record);
  // Ends all execs of a container, because it or its shim has ended.
  void FinishAllOf(const std::string& container_id, const runtime::ExitRecord& record);

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<ExecSession>> sessions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_EXEC_SESSION_H_
