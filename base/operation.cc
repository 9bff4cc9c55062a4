#include "base/operation.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <limits>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp {

absl::Status Operation::Check(absl::string_view what) const {
  return Ended() ? Error(what) : absl::OkStatus();
}

absl::Status Operation::Error(absl::string_view what) const {
  if (cancelled() && absl::Now() < deadline_) {
    return absl::CancelledError(absl::StrCat(what, ": cancelled"));
  }
  return absl::DeadlineExceededError(absl::StrCat(what, ": deadline exceeded"));
}

bool Operation::Sleep(absl::Duration time) const {
  const absl::Time until = absl::Now() + time;
  if (!cancellable()) {
    absl::SleepFor(std::min(until, deadline_) - absl::Now());
    return until <= deadline_;
  }
  absl::Mutex mutex;
  const OperationWait wait(*this, mutex);
  absl::MutexLock lock(&mutex);
  const bool never = false;
  (void)wait.Await(absl::Condition(&never), until);
  return absl::Now() >= until;
}

CancelSource::CancelSource(const Operation& parent) : parent_(parent) {
  if (parent.cancellable()) from_parent_.emplace(parent.token_, Forward{source_});
}

Operation CancelSource::operation() const {
  Operation operation = parent_;
  operation.token_ = source_.get_token();
  return operation;
}

bool OperationWait::Await(const absl::Condition& condition, absl::Time until) const {
  mutex_.AssertReaderHeld();
  const auto over = [this, &condition] { return operation_.cancelled() || condition.Eval(); };
  until = std::min(until, operation_.deadline());
  while (!mutex_.AwaitWithDeadline(absl::Condition(&over), until) && absl::Now() < until) {
  }
  return condition.Eval();
}

CancelEvent::CancelEvent(const Operation& operation) : operation_(operation) {
  if (!operation.cancellable()) return;
  fd_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd_) {
    status_ = ErrnoError(errno, "make an eventfd");
    return;
  }
  on_cancel_.emplace(operation.token_, Tell{fd_.get()});
}

void CancelEvent::Tell::operator()() const {
  const uint64_t one = 1;
  // An eventfd at 0 takes a 1.
  (void)!write(fd, &one, sizeof(one));
}

int CancelEvent::Poll(absl::Span<pollfd> fds, absl::Time until) const {
  absl::InlinedVector<pollfd, 8> all(fds.begin(), fds.end());
  all.push_back({.fd = fd_.get(), .events = POLLIN, .revents = 0});
  const int ready =
      poll(all.data(), all.size(), PollTimeout(std::min(until, operation_.deadline())));
  if (ready < 0 && errno != EINTR) return -1;
  if (ready <= 0) {
    for (pollfd& fd : fds) fd.revents = 0;
    return 0;
  }
  for (size_t i = 0; i < fds.size(); ++i) fds[i].revents = all[i].revents;
  return ready - (all.back().revents != 0 ? 1 : 0);
}

int PollTimeout(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return -1;
  const absl::Duration left =
      absl::Ceil(std::max(deadline - absl::Now(), absl::ZeroDuration()), absl::Milliseconds(1));
  return static_cast<int>(
      std::min<int64_t>(absl::ToInt64Milliseconds(left), std::numeric_limits<int>::max()));
}

}  // namespace crisp
