#ifndef CRISP_CRI_PODS_TESTING_FAULT_PLAN_H_
#define CRISP_CRI_PODS_TESTING_FAULT_PLAN_H_

// For tests: one call of all that go to the fakes fails.

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace crisp::cri {

// Counts the calls of the fakes that share it, and makes the n-th fail. Thread-safe.
class FaultPlan {
 public:
  // Makes the n-th call from now on fail; 0 for none.
  void FailCall(int n) { Set(n, /*all_after=*/false); }
  // Makes that one fail and all that come after it, as if the daemon had died.
  void FailFrom(int n) { Set(n, /*all_after=*/true); }
  // A fake asks this before it does anything.
  absl::Status Next(absl::string_view call) {
    absl::MutexLock lock(&mutex_);
    if (left_ == 0 || --left_ > 0) return absl::OkStatus();
    if (all_after_) left_ = 1;
    if (failed_.empty()) failed_ = std::string(call);
    return absl::InternalError(absl::StrCat("injected into ", call));
  }
  // The call that has failed first; "" if none has yet.
  std::string failed() const {
    absl::MutexLock lock(&mutex_);
    return failed_;
  }

 private:
  void Set(int n, bool all_after) {
    absl::MutexLock lock(&mutex_);
    left_ = n;
    all_after_ = all_after;
    failed_.clear();
  }

  mutable absl::Mutex mutex_;
  bool all_after_ ABSL_GUARDED_BY(mutex_) = false;
  int left_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string failed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_TESTING_FAULT_PLAN_H_
