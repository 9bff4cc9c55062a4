#ifndef CRISP_CRI_PODS_TESTING_FAULT_PLAN_H_
#define CRISP_CRI_PODS_TESTING_FAULT_PLAN_H_

// Test-only: one call of all that goes to the fakes fails, whichever it is.

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace crisp::cri {

// Counts the calls of the fakes that share it, and has the n-th fail. Thread-safe.
class FaultPlan {
 public:
  // Of the calls from now on; 0: none fails.
  void FailCall(int n) {
    absl::MutexLock lock(&mutex_);
    left_ = n;
    failed_.clear();
  }
  // What a fake asks before it does anything.
  absl::Status Next(absl::string_view call) {
    absl::MutexLock lock(&mutex_);
    if (left_ == 0 || --left_ > 0) return absl::OkStatus();
    failed_ = std::string(call);
    return absl::InternalError(absl::StrCat("injected into ", call));
  }
  // Which call has failed; "": none yet.
  std::string failed() const {
    absl::MutexLock lock(&mutex_);
    return failed_;
  }

 private:
  mutable absl::Mutex mutex_;
  int left_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string failed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_TESTING_FAULT_PLAN_H_
