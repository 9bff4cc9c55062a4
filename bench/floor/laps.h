#ifndef CRISP_BENCH_FLOOR_LAPS_H_
#define CRISP_BENCH_FLOOR_LAPS_H_

#include <time.h>

#include "bench/samples/samples.h"

namespace crisp::bench {

// Splits of a stopwatch, taken without allocating so that a child that borrows memory can take
// some.
class Laps {
 public:
  void Start() { last_ = Read(); }
  // Ends the lap that began with Start() or the lap before; `name` is "part.step".
  void Lap(const char* name) {
    const double now = Read();
    if (count_ < kMost) laps_[count_++] = {name, now - last_};
    last_ = Read();
  }
  // Adds every lap, the sums of each part, and "start": pod, create and start together.
  void AddTo(Samples* samples);

 private:
  static constexpr int kMost = 64;
  static double Read() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
  }
  struct One {
    const char* name;
    double micros;
  };
  One laps_[kMost];
  int count_ = 0;
  double last_ = 0;
};

}  // namespace crisp::bench

#endif  // CRISP_BENCH_FLOOR_LAPS_H_
