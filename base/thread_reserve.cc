#include "base/thread_reserve.h"

#include <errno.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace crisp {
namespace {

// The kernel tells nobody when there are threads again.
constexpr absl::Duration kNextLook = absl::Milliseconds(10);

}  // namespace

void* ThreadReserve::Run(void* spare) {
  auto* const self = static_cast<Spare*>(spare);
  (void)::pthread_setname_np(::pthread_self(), "reserve");
  ThreadReserve* const owner = self->owner;
  owner->mutex_.Lock();
  while (self->body == nullptr) self->given.Wait(&owner->mutex_);
  const auto body = self->body;
  void* const argument = self->argument;
  owner->mutex_.Unlock();
  delete self;
  return body(argument);
}

int ThreadReserve::Add() {
  auto spare = std::make_unique<Spare>();
  spare->owner = this;
  const int error = maker_(&spare->thread, nullptr, Run, spare.get());
  if (error == 0) spares_.push_back(std::move(spare));
  return error;
}

absl::Status ThreadReserve::Fill() {
  absl::MutexLock lock(&mutex_);
  while (static_cast<int>(spares_.size()) < size_) {
    if (const int error = Add(); error != 0) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "make ", size_, " threads ahead: ", std::strerror(error),
          " (pids.max of crispd's cgroup, TasksMax of its unit, kernel.threads-max, memory)"));
    }
  }
  return absl::OkStatus();
}

bool ThreadReserve::Give(pthread_t* thread,
                         const pthread_attr_t* attributes,
                         void* (*body)(void*),
                         void* argument) {
  int detached = PTHREAD_CREATE_JOINABLE;
  if (attributes != nullptr) (void)::pthread_attr_getdetachstate(attributes, &detached);
  absl::MutexLock lock(&mutex_);
  if (spares_.empty()) return false;
  Spare* const spare = spares_.front().release();  // its thread deletes it
  spares_.pop_front();
  *thread = spare->thread;
  if (detached == PTHREAD_CREATE_DETACHED) (void)::pthread_detach(spare->thread);
  spare->argument = argument;
  spare->body = body;
  spare->given.Signal();
  return true;
}

int ThreadReserve::Create(pthread_t* thread,
                          const pthread_attr_t* attributes,
                          void* (*body)(void*),
                          void* argument) {
  for (;;) {
    const int error = maker_(thread, attributes, body, argument);
    if (error == 0) {
      (void)Fill();
      return 0;
    }
    if (error != EAGAIN || Give(thread, attributes, body, argument)) {
      return error == EAGAIN ? 0 : error;
    }
    absl::SleepFor(kNextLook);
  }
}

int ThreadReserve::waiting() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(spares_.size());
}

}  // namespace crisp
