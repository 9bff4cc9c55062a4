#ifndef CRISP_BASE_OPERATION_H_
#define CRISP_BASE_OPERATION_H_

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace crisp {

// How long an operation may go on: until a deadline, or until its client gave up. A value; cheap to
// copy; Check() may be called from any thread. Long operations poll it between bounded steps.
class Operation {
 public:
  // Never.
  Operation() = default;
  explicit Operation(absl::Time deadline, std::function<bool()> cancelled = nullptr)
      : deadline_(deadline), cancelled_(std::move(cancelled)) {}

  absl::Time deadline() const { return deadline_; }
  // The same, but until `deadline` at the latest.
  Operation Until(absl::Time deadline) const {
    return Operation(std::min(deadline, deadline_), cancelled_);
  }
  absl::Duration remaining() const { return deadline_ - absl::Now(); }

  // OK, or DeadlineExceeded / Cancelled with a message that starts with `what`.
  absl::Status Check(absl::string_view what) const {
    if (absl::Now() >= deadline_) {
      return absl::DeadlineExceededError(absl::StrCat(what, ": deadline exceeded"));
    }
    if (cancelled_ && cancelled_()) {
      return absl::CancelledError(absl::StrCat(what, ": cancelled by the client"));
    }
    return absl::OkStatus();
  }

 private:
  absl::Time deadline_ = absl::InfiniteFuture();
  std::function<bool()> cancelled_;
};

}  // namespace crisp

#endif  // CRISP_BASE_OPERATION_H_
