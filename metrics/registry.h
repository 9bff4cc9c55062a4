#ifndef CRISP_METRICS_REGISTRY_H_
#define CRISP_METRICS_REGISTRY_H_

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "metrics/names.h"

namespace prometheus {
class Collectable;
}

namespace crisp::metrics {

// The daemon's metrics, by the families of names.h. Thread-safe. A family shows up with its first
// value. Using a family as another type than its own, or with another number of labels, is a
// mistake in the program and aborts it.
class Registry {
 public:
  using Labels = std::initializer_list<absl::string_view>;  // values, in the family's order

  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  void Increment(const Family& counter, Labels labels = {}, double by = 1);
  void Set(const Family& gauge, double value, Labels labels = {});
  void Add(const Family& gauge, double by, Labels labels = {});
  void Observe(const Family& histogram, double seconds, Labels labels = {});

  // Adds a gauge or counter whose value is asked for at every scrape. One call adds one set of
  // labels, whose family must then be used in no other way. `value` must be quick. Any thread may
  // call it until the returned handle is gone.
  [[nodiscard]] std::shared_ptr<void> OnScrape(const Family& family,
                                               std::function<double()> value,
                                               Labels labels = {});

  // The exposition text, as a scrape would see it.
  std::string Text() const;

  // For the exposer.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace crisp::metrics

#endif  // CRISP_METRICS_REGISTRY_H_
