#ifndef CRISP_CRI_STATS_CPU_WINDOW_H_
#define CRISP_CRI_STATS_CPU_WINDOW_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace crisp::cri {

// The last two kept readings of one CPU counter, from which a new reading becomes a rate. Of fixed
// size however long it lives. A value; its owner guards it.
class CpuWindow {
 public:
  // Offers a reading; it is kept unless the newest one is younger than kSpacing. A counter that
  // went back (another life of the group) starts the window anew. Times must not go back; such a
  // reading is ignored.
  void Add(absl::Time at, uint64_t usage_ns);

  // True if the newest kept reading said the same: nothing has run in between.
  bool Says(uint64_t usage_ns) const { return newer_.has_value() && newer_->usage_ns == usage_ns; }

  // Nano cores up to this reading, from the newest kept one that is at least kLeast old; a counter
  // that is younger is averaged from its beginning. nullopt with nothing to compare with.
  std::optional<uint64_t> Rate(absl::Time at, uint64_t usage_ns) const;

  // Long enough for many readers of the same window not to push each other's base away.
  static constexpr absl::Duration kSpacing = absl::Seconds(5);
  // Shorter spans show the scheduler's ticks rather than the load.
  static constexpr absl::Duration kLeast = absl::Seconds(1);

 private:
  struct Sample {
    absl::Time at;
    uint64_t usage_ns = 0;
  };
  std::optional<Sample> older_, newer_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATS_CPU_WINDOW_H_
