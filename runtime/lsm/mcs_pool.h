#ifndef CRISP_RUNTIME_LSM_MCS_POOL_H_
#define CRISP_RUNTIME_LSM_MCS_POOL_H_

#include <random>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace crisp::runtime {

// The levels that keep pods apart if SELinux has categories: "s0:cA,cB" with a pair that no other
// pod has. Thread-safe.
class McsPool {
 public:
  // Makes pairs of the first `categories` categories, which are at least 2.
  explicit McsPool(int categories) : categories_(categories) {}

  // A free pair, at random, so that a level seen earlier says nothing about the next.
  // ResourceExhausted if all are taken.
  absl::StatusOr<std::string> Allocate();
  // Notes a level that a pod asked for by itself, or had before a restart, so that no other pod
  // gets it. A level must be released as often as it was reserved. One that is not a pair of
  // categories, or "", is not the pool's.
  void Reserve(absl::string_view level);
  void Release(absl::string_view level);

  int taken() const;

 private:
  using Pair = std::pair<int, int>;  // the smaller one first

  const int categories_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<Pair, int> holders_ ABSL_GUARDED_BY(mutex_);
  std::mt19937 random_ ABSL_GUARDED_BY(mutex_){std::random_device{}()};
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_LSM_MCS_POOL_H_
