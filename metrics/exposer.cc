#include "metrics/exposer.h"

#include <prometheus/exposer.h>

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace crisp::metrics {

absl::StatusOr<std::unique_ptr<Exposer>> Exposer::Start(const std::string& address,
                                                        const Registry& registry) {
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("metrics address \"", address, "\" is not HOST:PORT"));
  }
  try {
    // civetweb wants a thread per connection that it serves at once: one for the scraper, one for
    // the person who looks while it is being scraped.
    auto server = std::make_unique<prometheus::Exposer>(address, 2);
    server->RegisterCollectable(registry.collectable());
    auto exposer = std::unique_ptr<Exposer>(new Exposer(std::move(server)));
    exposer->registry_ = registry.collectable();
    return exposer;
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("serve metrics on ", address, ": ", error.what()));
  }
}

Exposer::Exposer(std::unique_ptr<prometheus::Exposer> server) : server_(std::move(server)) {}
Exposer::~Exposer() = default;

int Exposer::port() const {
  const auto ports = server_->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

}  // namespace crisp::metrics
