#include "cri/stats/cpu_window.h"

#include "cri/stats/stats_builder.h"

namespace crisp::cri {

void CpuWindow::Add(absl::Time at, uint64_t usage_ns) {
  const Sample sample{.at = at, .usage_ns = usage_ns};
  if (newer_.has_value() && usage_ns < newer_->usage_ns) {
    older_.reset();
    newer_ = sample;
    return;
  }
  if (newer_.has_value() && at < newer_->at + kSpacing) return;
  older_ = newer_;
  newer_ = sample;
}

std::optional<uint64_t> CpuWindow::Rate(absl::Time at, uint64_t usage_ns) const {
  if (!newer_.has_value()) return std::nullopt;
  const bool recent = at < newer_->at + kLeast;
  const Sample& base = recent && older_.has_value() ? *older_ : *newer_;
  return NanoCores(base.usage_ns, base.at, usage_ns, at);
}

}  // namespace crisp::cri
