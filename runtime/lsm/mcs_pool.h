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

// The levels that keep pods apart where SELinux has categories: "s0:cA,cB" with a pair that no
// other pod has. Thread-safe.
class McsPool {
 public:
  // Pairs of the first `categories` ones; at least 2.
  explicit McsPool(int categories) : categories_(categories) {}

  // A free pair, at random: a level seen earlier says nothing about the next. ResourceExhausted
  // when all are taken.
  absl::StatusOr<std::string> Allocate();
  // Takes note of a level that a pod asked for by itself, or had before a restart, so that it is
  // given to nobody else; as often as it is taken it must be given back. One that is no pair of
  // categories, or "", is none of the pool's.
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
