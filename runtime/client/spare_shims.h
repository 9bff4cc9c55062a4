#ifndef CRISP_RUNTIME_CLIENT_SPARE_SHIMS_H_
#define CRISP_RUNTIME_CLIENT_SPARE_SHIMS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/pipe.h"
#include "base/unique_fd.h"
#include "runtime/client/shim_broker.h"
#include "runtime/client/shim_client.h"

namespace crisp::runtime {

// The shims of a pool that wait for a pod. Thread-safe; no call waits for one that is being
// prepared.
class SpareShims {
 public:
  // `broker` outlives them.
  SpareShims(ShimBroker* broker, int wanted, const PodPlan& usual)
      : broker_(broker), wanted_(static_cast<size_t>(wanted)), usual_(usual) {}

  struct Taken {
    UniqueFd socket;           // its control socket; invalid if there is none
    std::string prepared_key;  // empty if nothing is prepared
  };
  enum class Networks { kNone, kPrepared };
  // Takes the oldest one with a prepared network, if `networks` allows that, or else one without.
  // It may have died.
  Taken Take(Networks networks);
  // As in ShimPool.
  void Add();
  absl::Status Prepare(const PrepareNetwork& prepare);

 private:
  struct Spare {
    enum class State { kStarting, kReady, kPreparing, kPrepared };
    State state = State::kStarting;
    std::string key;
    UniqueFd socket;
    UniqueFd netns,
        rtnl;  // from kReady to kPrepared: a spare that ends must take its namespace along
  };
  // True if one is wanted. It is then counted among the ordered ones.
  bool Order();
  // A spare that is ready, marked as being prepared; null if there is none. `starting` tells if one
  // is still starting.
  std::shared_ptr<Spare> NextReady(bool* starting);
  // False if it has died.
  static bool ReceiveReady(Spare& spare);

  ShimBroker* const broker_;
  const size_t wanted_;
  const PodPlan usual_;
  absl::Mutex mutex_;
  size_t ordered_ ABSL_GUARDED_BY(mutex_) = 0;
  // The oldest stands first. One that is being prepared belongs to its preparer, except its state.
  std::vector<std::shared_ptr<Spare>> spares_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<SocketPair> MakeShimSockets();

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CLIENT_SPARE_SHIMS_H_
