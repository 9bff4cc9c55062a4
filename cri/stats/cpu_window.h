#ifndef CRISP_CRI_STATS_CPU_WINDOW_H_
#define CRISP_CRI_STATS_CPU_WINDOW_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace crisp::cri {

// The last two kept readings of one CPU counter, from which a new reading becomes a rate. Its size
// is fixed however long it lives. A value; its owner guards it.
class CpuWindow {
 public:
  // Offers a reading, which is kept unless the newest kept one is younger than kSpacing. A counter
  // that went back belongs to another life of the group, and starts the window anew. A reading of
  // an earlier time than the newest is ignored.
  void Add(absl::Time at, uint64_t usage_ns);

  // True if the newest kept reading is equal: nothing has run in between.
  bool SameAsNewest(uint64_t usage_ns) const {
    return newer_.has_value() && newer_->usage_ns == usage_ns;
  }

  // Nano cores up to this reading, since the newest kept one that is at least kLeast old. A counter
  // that is younger is averaged from its beginning. nullopt if there is nothing to compare with.
  std::optional<uint64_t> Rate(absl::Time at, uint64_t usage_ns) const;

  // So long that many readers of one window do not push each other's base away.
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
