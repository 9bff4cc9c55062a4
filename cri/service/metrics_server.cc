#include "cri/service/metrics_server.h"

#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace crisp::cri {

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    std::string address, const metrics::Registry& registry, absl::Duration retry) {
  std::unique_ptr<MetricsServer> server(new MetricsServer(std::move(address), registry));
  const absl::Status first = server->Try();
  if (first.ok()) return server;
  if (absl::IsInvalidArgument(first)) return first;
  LogWarning("metrics.not_served", {{"error", first.message()},
                                    {"next",
                                     "tried again until the address is free; ss -ltnp says whose "
                                     "it is, metrics.address names another"}});
  CRISP_ASSIGN_OR_RETURN(server->retrying_,
                         Thread::Start("metrics-retry", [self = server.get(), retry] {
                           self->RetryUntilServed(retry);
                         }));
  return server;
}

absl::Status MetricsServer::Try() {
  CRISP_ASSIGN_OR_RETURN(auto exposer, metrics::Exposer::Start(address_, registry_));
  absl::MutexLock lock(&mutex_);
  exposer_ = std::move(exposer);
  return absl::OkStatus();
}

void MetricsServer::RetryUntilServed(absl::Duration retry) {
  while (!ended_.WaitForNotificationWithTimeout(retry)) {
    if (!Try().ok()) continue;
    LogInfo("metrics.served", {{"port", port()}});
    return;
  }
}

MetricsServer::~MetricsServer() {
  ended_.Notify();
  retrying_.Join();
}

int MetricsServer::port() const {
  absl::MutexLock lock(&mutex_);
  return exposer_ == nullptr ? 0 : exposer_->port();
}

}  // namespace crisp::cri
