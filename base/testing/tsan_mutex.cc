// Tells ThreadSanitizer what Abseil's synchronisation orders. Debian's Abseil is not instrumented,
// so without this every absl::Mutex would be invisible and all that it guards a race. The thread
// preset links with --wrap for each symbol below (cmake/toolchain.cmake); nothing else builds this
// file.
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

extern "C" {

void __tsan_acquire(void* address);
void __tsan_release(void* address);

// Abseil looks at a condition under the mutex, from wherever it is given up next.
struct Watched {
  absl::Mutex* mutex;
  const absl::Condition* condition;
};
static bool EvalWatched(Watched* watched) {
  absl::Mutex* mutex = watched->mutex;
  __tsan_acquire(mutex);
  const bool holds = watched->condition->Eval();
  __tsan_release(mutex);  // the waiter's frame, which this has read, may be gone next
  return holds;
}

// The calling convention of a member function is that of a function with `this` in front.
#define CRISP_ACQUIRES(symbol, type) \
  void __real_##symbol(type* self);  \
  void __wrap_##symbol(type* self) { \
    __real_##symbol(self);           \
    __tsan_acquire(self);            \
  }
#define CRISP_RELEASES(symbol, type) \
  void __real_##symbol(type* self);  \
  void __wrap_##symbol(type* self) { \
    __tsan_release(self);            \
    __real_##symbol(self);           \
  }

CRISP_ACQUIRES(_ZN4absl7debian35Mutex4LockEv, absl::Mutex)
CRISP_ACQUIRES(_ZN4absl7debian35Mutex10ReaderLockEv, absl::Mutex)
CRISP_RELEASES(_ZN4absl7debian35Mutex6UnlockEv, absl::Mutex)
CRISP_RELEASES(_ZN4absl7debian35Mutex12ReaderUnlockEv, absl::Mutex)
CRISP_RELEASES(_ZN4absl7debian312Notification6NotifyEv, absl::Notification)
CRISP_ACQUIRES(_ZNK4absl7debian312Notification19WaitForNotificationEv, absl::Notification)

bool __real__ZN4absl7debian35Mutex7TryLockEv(absl::Mutex* self);
bool __wrap__ZN4absl7debian35Mutex7TryLockEv(absl::Mutex* self) {
  const bool locked = __real__ZN4absl7debian35Mutex7TryLockEv(self);
  if (locked) __tsan_acquire(self);
  return locked;
}

// Waiting gives the mutex up and takes it again.
void __real__ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE(absl::Mutex* self,
                                                           const absl::Condition& condition);
void __wrap__ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE(absl::Mutex* self,
                                                           const absl::Condition& condition) {
  Watched watched{self, &condition};
  const absl::Condition watching(&EvalWatched, &watched);
  __tsan_release(self);
  __real__ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE(self, watching);
  __tsan_acquire(self);
}

#define CRISP_AWAITS(symbol, limit)                                                        \
  bool __real_##symbol(absl::Mutex* self, const absl::Condition& condition, limit until);  \
  bool __wrap_##symbol(absl::Mutex* self, const absl::Condition& condition, limit until) { \
    Watched watched{self, &condition};                                                     \
    const absl::Condition watching(&EvalWatched, &watched);                                \
    __tsan_release(self);                                                                  \
    const bool reached = __real_##symbol(self, watching, until);                           \
    __tsan_acquire(self);                                                                  \
    return reached;                                                                        \
  }

CRISP_AWAITS(_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE,
             absl::Duration)
CRISP_AWAITS(_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE, absl::Time)

void __real__ZN4absl7debian37CondVar4WaitEPNS0_5MutexE(absl::CondVar* self, absl::Mutex* mutex);
void __wrap__ZN4absl7debian37CondVar4WaitEPNS0_5MutexE(absl::CondVar* self, absl::Mutex* mutex) {
  __tsan_release(mutex);
  __real__ZN4absl7debian37CondVar4WaitEPNS0_5MutexE(self, mutex);
  __tsan_acquire(mutex);
}

#define CRISP_WAITS(symbol, limit)                                             \
  bool __real_##symbol(absl::CondVar* self, absl::Mutex* mutex, limit until);  \
  bool __wrap_##symbol(absl::CondVar* self, absl::Mutex* mutex, limit until) { \
    __tsan_release(mutex);                                                     \
    const bool timed_out = __real_##symbol(self, mutex, until);                \
    __tsan_acquire(mutex);                                                     \
    return timed_out;                                                          \
  }

CRISP_WAITS(_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE, absl::Duration)
CRISP_WAITS(_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE, absl::Time)

#define CRISP_NOTIFIED(symbol, limit)                           \
  bool __real_##symbol(absl::Notification* self, limit until);  \
  bool __wrap_##symbol(absl::Notification* self, limit until) { \
    const bool notified = __real_##symbol(self, until);         \
    if (notified) __tsan_acquire(self);                         \
    return notified;                                            \
  }

CRISP_NOTIFIED(_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE,
               absl::Duration)
CRISP_NOTIFIED(_ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE,
               absl::Time)

}  // extern "C"
