#include "metrics/exposer.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace crisp::metrics {
namespace {

// civetweb's threads have stacks of about 100 KiB, which nobody who writes a scrape callback thinks
// of: the values are collected on a thread with an ordinary one.
class OnOrdinaryStack : public prometheus::Collectable {
 public:
  explicit OnOrdinaryStack(std::shared_ptr<prometheus::Collectable> inner)
      : inner_(std::move(inner)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> result;
    std::thread([&] { result = inner_->Collect(); }).join();
    return result;
  }

 private:
  const std::shared_ptr<prometheus::Collectable> inner_;
};

}  // namespace

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
    auto collectable = std::make_shared<OnOrdinaryStack>(registry.collectable());
    server->RegisterCollectable(collectable);
    auto exposer = std::unique_ptr<Exposer>(new Exposer(std::move(server)));
    exposer->registry_ = std::move(collectable);
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
