#ifndef CRISP_CRI_SERVICE_METRICS_SERVER_H_
#define CRISP_CRI_SERVICE_METRICS_SERVER_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/thread.h"
#include "metrics/exposer.h"
#include "metrics/registry.h"

namespace crisp::cri {

// Serves /metrics as long as the daemon serves. A node without metrics still runs its pods, so an
// address that is taken is a warning in the log, and is tried again until it is free. Thread-safe.
class MetricsServer {
 public:
  // InvalidArgument for an address that is not HOST:PORT. `registry` outlives the server.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      std::string address,
      const metrics::Registry& registry,
      absl::Duration retry = absl::Seconds(10));
  ~MetricsServer();

  // 0 while the address is taken.
  int port() const;

 private:
  MetricsServer(std::string address, const metrics::Registry& registry)
      : address_(std::move(address)), registry_(registry) {}
  absl::Status Try();
  void RetryUntilServed(absl::Duration retry);

  const std::string address_;
  const metrics::Registry& registry_;
  mutable absl::Mutex mutex_;
  std::unique_ptr<metrics::Exposer> exposer_ ABSL_GUARDED_BY(mutex_);
  absl::Notification ended_;
  Thread retrying_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_METRICS_SERVER_H_
