#include "metrics/registry.h"

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <cstdlib>
#include <list>
#include <map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "base/log.h"

namespace crisp::metrics {
namespace {

// From the half millisecond that a status takes to the minutes of a pull.
const prometheus::Histogram::BucketBoundaries& Seconds() {
  static const auto& buckets = *new prometheus::Histogram::BucketBoundaries{
      0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};
  return buckets;
}

void Require(bool holds, const Family& family) {
  if (holds) return;
  LogError("metric used in another way than declared", {{"metric", family.name}});
  std::abort();
}

std::map<std::string, std::string> LabelMap(const Family& family, Registry::Labels values) {
  const std::vector<std::string> keys = absl::StrSplit(family.labels, ',', absl::SkipEmpty());
  Require(keys.size() == values.size(), family);
  std::map<std::string, std::string> result;
  auto value = values.begin();
  for (const std::string& key : keys) result[key] = std::string(*value++);
  return result;
}

// The families of one type, by their names. Thread-safe.
template <typename T>
class FamilyTable {
 public:
  // What `make` returns becomes the family's entry the first time.
  template <typename Make>
  prometheus::Family<T>& Of(const Family& family, Make make) {
    absl::MutexLock lock(&mutex_);
    prometheus::Family<T>*& entry = families_[family.name];
    if (entry == nullptr) entry = make();
    return *entry;
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, prometheus::Family<T>*> families_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

class Registry::Impl : public prometheus::Collectable {
 public:
  struct Callback {
    const Family* family;
    std::function<double()> value;
    std::map<std::string, std::string> labels;
  };

  prometheus::Counter& CounterOf(const Family& family, Labels labels) {
    Require(family.type == Family::Type::kCounter, family);
    return counters_
        .Of(family,
            [&] {
              return &prometheus::BuildCounter()
                          .Name(family.name)
                          .Help(family.help)
                          .Register(owned_);
            })
        .Add(LabelMap(family, labels));
  }
  prometheus::Gauge& GaugeOf(const Family& family, Labels labels) {
    Require(family.type == Family::Type::kGauge, family);
    return gauges_
        .Of(family,
            [&] {
              return &prometheus::BuildGauge().Name(family.name).Help(family.help).Register(owned_);
            })
        .Add(LabelMap(family, labels));
  }
  prometheus::Histogram& HistogramOf(const Family& family, Labels labels) {
    Require(family.type == Family::Type::kHistogram, family);
    return histograms_
        .Of(family,
            [&] {
              return &prometheus::BuildHistogram()
                          .Name(family.name)
                          .Help(family.help)
                          .Register(owned_);
            })
        .Add(LabelMap(family, labels), Seconds());
  }

  std::list<Callback>::iterator AddCallback(Callback callback) {
    Require(callback.family->type != Family::Type::kHistogram, *callback.family);
    absl::MutexLock lock(&callbacks_mutex_);
    return callbacks_.insert(callbacks_.end(), std::move(callback));
  }
  void RemoveCallback(std::list<Callback>::iterator callback) {
    absl::MutexLock lock(&callbacks_mutex_);
    callbacks_.erase(callback);
  }

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> result = owned_.Collect();
    absl::MutexLock lock(&callbacks_mutex_);
    std::map<const Family*, size_t> places;  // a family's samples must stand together
    for (const Callback& callback : callbacks_) {
      const auto [place, fresh] = places.try_emplace(callback.family, result.size());
      if (fresh) result.push_back(Empty(*callback.family));
      result[place->second].metric.push_back(Ask(callback));
    }
    return result;
  }

 private:
  static prometheus::MetricFamily Empty(const Family& declared) {
    prometheus::MetricFamily family;
    family.name = declared.name;
    family.help = declared.help;
    family.type = declared.type == Family::Type::kCounter ? prometheus::MetricType::Counter
                                                          : prometheus::MetricType::Gauge;
    return family;
  }
  static prometheus::ClientMetric Ask(const Callback& callback) {
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : callback.labels) metric.label.push_back({name, value});
    const double value = callback.value();
    if (callback.family->type == Family::Type::kCounter)
      metric.counter.value = value;
    else
      metric.gauge.value = value;
    return metric;
  }

  prometheus::Registry owned_;
  FamilyTable<prometheus::Counter> counters_;
  FamilyTable<prometheus::Gauge> gauges_;
  FamilyTable<prometheus::Histogram> histograms_;
  mutable absl::Mutex callbacks_mutex_;
  std::list<Callback> callbacks_ ABSL_GUARDED_BY(callbacks_mutex_);
};

Registry::Registry() : impl_(std::make_shared<Impl>()) {}
Registry::~Registry() = default;

void Registry::Increment(const Family& counter, Labels labels, double by) {
  impl_->CounterOf(counter, labels).Increment(by);
}

void Registry::Set(const Family& gauge, double value, Labels labels) {
  impl_->GaugeOf(gauge, labels).Set(value);
}

void Registry::Add(const Family& gauge, double by, Labels labels) {
  impl_->GaugeOf(gauge, labels).Increment(by);
}

void Registry::Observe(const Family& histogram, double seconds, Labels labels) {
  impl_->HistogramOf(histogram, labels).Observe(seconds);
}

std::shared_ptr<void> Registry::OnScrape(const Family& family,
                                         std::function<double()> value,
                                         Labels labels) {
  auto callback = impl_->AddCallback(
      {.family = &family, .value = std::move(value), .labels = LabelMap(family, labels)});
  return std::shared_ptr<void>(nullptr,
                               [impl = impl_, callback](void*) { impl->RemoveCallback(callback); });
}

std::string Registry::Text() const {
  return prometheus::TextSerializer().Serialize(impl_->Collect());
}

std::shared_ptr<prometheus::Collectable> Registry::collectable() const { return impl_; }

}  // namespace crisp::metrics
