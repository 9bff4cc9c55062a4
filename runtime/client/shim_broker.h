#ifndef CRISP_RUNTIME_CLIENT_SHIM_BROKER_H_
#define CRISP_RUNTIME_CLIENT_SHIM_BROKER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "base/spawn.h"
#include "base/unique_fd.h"
#include "runtime/client/shim_link.h"

namespace crisp::runtime {

// The versions that shims of a program with these bytes read.
ShimVersions VersionsIn(absl::string_view program);

// Starts shims through one broker process that runs from a sealed copy of the binary, because the
// daemon itself never forks. Owns the copy and the broker, which ends with it. Thread-safe. Its
// mutex is never held across a system call that can wait. A broker that hangs delays its callers
// for a few seconds, and is replaced.
class ShimBroker {
 public:
  // A broker that takes no message for `patience` is given up.
  ShimBroker(std::string storage_root,
             uint64_t log_rate,
             absl::Duration patience = absl::Seconds(5))
      : storage_root_(std::move(storage_root)), log_rate_(log_rate), patience_(patience) {}
  ~ShimBroker();

  // Called once, before everything else.
  absl::Status Load(const std::string& binary);
  // The versions that shims of the loaded binary read. It may be of another release than this
  // program: between the two halves of an upgrade, or because the configuration names another.
  const ShimVersions& versions() const { return versions_; }
  // The plan as these shims read it. FailedPrecondition if it asks for something that they do not
  // know.
  absl::StatusOr<std::string> Encode(const PodPlan& plan) const;
  // Hands `control` to a new shim. Starts the broker (again) if there is none.
  absl::Status StartShim(uint64_t request_id,
                         std::string plan,
                         int control,
                         const Operation& operation);
  // The same with a new spare. It does what it can of the `usual` plan, and takes its pod's from
  // `control` later.
  absl::Status StartSpare(std::string usual, int control, const Operation& operation);
  // OK while the broker lives. Otherwise Unavailable with the reason of its end, as far as that is
  // known.
  absl::Status CheckAlive();

  // The present broker, for tests.
  pid_t pid();

 private:
  struct Process {
    UniqueFd socket;  // it ends when this closes
    pid_t pid = -1;
  };
  absl::Status Send(const WireMessage& message, int control, const Operation& operation);
  absl::StatusOr<std::shared_ptr<const Process>> Spawn() const;
  absl::Status WhyEnded(const Process& process) const;
  // The present process, or a new one instead of `failed`.
  absl::StatusOr<std::shared_ptr<const Process>> Other(const std::shared_ptr<const Process>& failed,
                                                       const Operation& operation);

  const std::string storage_root_;
  const uint64_t log_rate_;  // see ShimPoolOptions
  const absl::Duration patience_;
  std::string path_;  // what was loaded
  UniqueFd binary_;
  ShimVersions versions_;
  ChildReaper ended_;
  absl::Mutex mutex_;
  std::shared_ptr<const Process> process_ ABSL_GUARDED_BY(mutex_);
  bool spawning_ ABSL_GUARDED_BY(mutex_) = false;  // by one thread for all
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CLIENT_SHIM_BROKER_H_
