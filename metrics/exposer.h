#ifndef CRISP_METRICS_EXPOSER_H_
#define CRISP_METRICS_EXPOSER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "metrics/registry.h"

namespace prometheus {
class Exposer;
}

namespace crisp::metrics {

// Serves GET /metrics of a registry over HTTP on threads of its own, until destroyed.
class Exposer {
 public:
  // `address` is HOST:PORT; port 0 takes a free one. InvalidArgument for an address of another
  // form, Unavailable when it cannot be bound.
  static absl::StatusOr<std::unique_ptr<Exposer>> Start(const std::string& address,
                                                        const Registry& registry);
  ~Exposer();

  int port() const;

 private:
  Exposer(std::unique_ptr<prometheus::Exposer> server, std::string host);
  const std::string host_;
  std::unique_ptr<prometheus::Exposer> server_;
  std::shared_ptr<prometheus::Collectable> registry_;  // the server holds it weakly
};

}  // namespace crisp::metrics

#endif  // CRISP_METRICS_EXPOSER_H_
