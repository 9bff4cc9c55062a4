#ifndef CRISP_BASE_OPERATION_H_
#define CRISP_BASE_OPERATION_H_

#include <poll.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/trace_context.h"
#include "base/unique_fd.h"

namespace crisp {

// What everybody who works on one request has to know of it: until when it may go on, whether it
// was cancelled, and which trace it belongs to. A value; cheap to copy; may be used in any thread.
//
// Long work looks at Check() between bounded steps. Whoever waits is woken, and polls nothing:
//
//   waits under an absl::Mutex  OperationWait
//   waits in poll(2)            CancelEvent
//   only lets time pass         Sleep()
//   waits for something else    OnCancel()
class Operation {
 public:
  // Without an end: nobody can cancel it.
  Operation() = default;
  explicit Operation(absl::Time deadline) : deadline_(deadline) {}

  absl::Time deadline() const { return deadline_; }
  absl::Duration remaining() const { return deadline_ - absl::Now(); }
  // The same, but until `deadline` at the latest.
  Operation Until(absl::Time deadline) const {
    Operation sooner = *this;
    sooner.deadline_ = std::min(deadline, deadline_);
    return sooner;
  }

  // True from the moment on that somebody cancelled it. A deadline that has come does not count.
  bool cancelled() const { return token_.stop_requested(); }
  // True if it is cancelled or its deadline has come.
  bool Ended() const { return cancelled() || absl::Now() >= deadline_; }
  // OK, or DeadlineExceeded / Cancelled with a message that starts with `what`.
  absl::Status Check(absl::string_view what) const;
  // The same of an operation that is known to have ended: never OK, whatever becomes of the clock.
  absl::Status Error(absl::string_view what) const;

  // True if somebody may cancel it yet. Without that there is no wake-up to prepare.
  bool cancellable() const { return token_.stop_possible(); }

  // Has `callback` run when the operation is cancelled: once, in the thread that cancels it, or
  // here and now when it was cancelled before. It does not run at the deadline, which waiters know.
  //
  // Keep what this returns. Once that is destroyed `callback` does not run any more: the destructor
  // waits for one that is running, unless it is called by the callback itself. So neither register
  // nor destroy it under a lock that `callback` takes. `callback` is quick and throws nothing.
  template <typename Callback>
  [[nodiscard]] std::stop_callback<Callback> OnCancel(Callback callback) const {
    return std::stop_callback<Callback>(token_, std::move(callback));
  }

  // Lets `time` pass. False when the operation ended before.
  bool Sleep(absl::Duration time) const;

  // The trace that the request came with; null where it came with none.
  const TraceContext* trace() const { return trace_.get(); }
  Operation Traced(const TraceContext& trace) const {
    Operation traced = *this;
    traced.trace_ = std::make_shared<const TraceContext>(trace);
    return traced;
  }

 private:
  friend class CancelEvent;
  friend class CancelSource;

  absl::Time deadline_ = absl::InfiniteFuture();
  std::stop_token token_;
  std::shared_ptr<const TraceContext> trace_;
};

// Who can cancel operations: makes them, and cancels all that it made at once. Thread-safe. They
// may outlive it; then nobody cancels them any more.
class CancelSource {
 public:
  CancelSource() = default;
  // For a part of `parent`: cancelling that cancels this. What OnCancel() says of registrations
  // goes for this object too: do not destroy it under a lock that its operations' callbacks take.
  explicit CancelSource(const Operation& parent);
  CancelSource(const CancelSource&) = delete;
  CancelSource& operator=(const CancelSource&) = delete;

  // Until the parent's deadline, of the parent's trace. Use Until() for an earlier end.
  Operation operation() const;
  bool cancelled() const { return source_.stop_requested(); }

  // Wakes everybody who waits, in this thread: it runs their callbacks, one after the other, which
  // take the locks that they wait under. So call it while you hold none. Idempotent.
  void Cancel() { source_.request_stop(); }

 private:
  struct Forward {
    std::stop_source to;
    void operator()() { to.request_stop(); }
  };

  std::stop_source source_;
  Operation parent_;
  std::optional<std::stop_callback<Forward>> from_parent_;
};

// Waits under a mutex until a condition holds or an operation ends. Nothing looks at the clock or
// at the operation meanwhile: its end wakes the waiter. Make it before the lock is taken, so that
// it goes after the lock is given back:
//
//   const OperationWait wait(operation, mutex_);
//   absl::MutexLock lock(&mutex_);
//   if (!wait.Await(absl::Condition(&done))) return operation.Error("wait until it is done");
class OperationWait {
 public:
  // `operation` and `mutex` outlive it.
  OperationWait(const Operation& operation, absl::Mutex& mutex) ABSL_LOCKS_EXCLUDED(mutex)
      : operation_(operation), mutex_(mutex), on_cancel_(operation.OnCancel(Wake{&mutex})) {}
  OperationWait(const OperationWait&) = delete;
  OperationWait& operator=(const OperationWait&) = delete;

  // Call with the mutex held; it is given up while waiting. True if `condition` holds. False when
  // it does not and the operation has ended, as operation.Error() then says, or `until` has come.
  bool Await(const absl::Condition& condition, absl::Time until = absl::InfiniteFuture()) const;

 private:
  // Whoever lets go of a mutex has its waiters' conditions looked at.
  struct Wake {
    absl::Mutex* mutex;
    void operator()() const ABSL_LOCKS_EXCLUDED(mutex) { absl::MutexLock look(mutex); }
  };

  const Operation& operation_;
  absl::Mutex& mutex_;
  const std::stop_callback<Wake> on_cancel_;
};

// poll(2) that an operation's end ends, too.
class CancelEvent {
 public:
  // `operation` outlives it.
  explicit CancelEvent(const Operation& operation);
  CancelEvent(const CancelEvent&) = delete;
  CancelEvent& operator=(const CancelEvent&) = delete;

  // OK, or why there is no descriptor to be woken by: then do not wait.
  const absl::Status& status() const { return status_; }
  // Waits until something is known of one of `fds`, the operation ends or `until` comes. Returns
  // of how many something is known; 0, after a signal too, says nothing: look at the operation.
  // Like poll(2), it passes over negative descriptors, and -1 is its error.
  int Poll(absl::Span<pollfd> fds, absl::Time until = absl::InfiniteFuture()) const;

 private:
  struct Tell {
    int fd;
    void operator()() const;
  };

  const Operation& operation_;
  absl::Status status_;
  UniqueFd fd_;  // readable once it is cancelled; none for one that nobody can cancel
  std::optional<std::stop_callback<Tell>> on_cancel_;
};

// poll(2)'s timeout for waiting until `deadline`: -1 where that never comes, and never so short
// that poll returns before it.
int PollTimeout(absl::Time deadline);

}  // namespace crisp

#endif  // CRISP_BASE_OPERATION_H_
