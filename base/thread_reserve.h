#ifndef CRISP_BASE_THREAD_RESERVE_H_
#define CRISP_BASE_THREAD_RESERVE_H_

#include <pthread.h>

#include <deque>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace crisp {

// Threads that are made ahead, for a library that does not look at what pthread_create() returns.
// Where the kernel gives it no thread (a pids limit, no memory), it gets one of these.
// Never destroyed, as its threads may run for as long as the process. Thread-safe.
class ThreadReserve {
 public:
  // pthread_create(3), or what a test puts in its place.
  using Maker = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

  // `size`: as many threads as the library may be owed at once.
  ThreadReserve(Maker maker, int size) : maker_(maker), size_(size) {}
  ThreadReserve(const ThreadReserve&) = delete;
  ThreadReserve& operator=(const ThreadReserve&) = delete;

  // Makes the threads that are missing. RESOURCE_EXHAUSTED where that fails; those that were made
  // stay.
  absl::Status Fill();
  // As pthread_create(3). For EAGAIN a thread of the reserve is given. Where none is left it waits
  // until there is a thread: the library would lose what it has for that thread, for ever. A thread
  // that could be made is the time to fill the reserve again.
  int Create(pthread_t* thread,
             const pthread_attr_t* attributes,
             void* (*body)(void*),
             void* argument);
  // Those that wait for work.
  int waiting() const;

 private:
  struct Spare {
    pthread_t thread{};
    absl::CondVar given;
    void* (*body)(void*) = nullptr;
    void* argument = nullptr;
    ThreadReserve* owner = nullptr;
  };

  static void* Run(void* spare);
  int Add() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Give(pthread_t* thread,
            const pthread_attr_t* attributes,
            void* (*body)(void*),
            void* argument);

  const Maker maker_;
  const int size_;
  mutable absl::Mutex mutex_;
  std::deque<std::unique_ptr<Spare>> spares_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp

#endif  // CRISP_BASE_THREAD_RESERVE_H_
