#include "cri/daemon/grpc_threads.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/thread_reserve.h"

// What ld's --wrap names (ld(1)).
extern "C" int __real_pthread_create(  // NOLINT(bugprone-reserved-identifier)
    pthread_t*,
    const pthread_attr_t*,
    void* (*)(void*),
    void*);

namespace {

std::atomic<crisp::ThreadReserve*> reserve = nullptr;

}  // namespace

extern "C" int __wrap_pthread_create(  // NOLINT(bugprone-reserved-identifier)
    pthread_t* thread,
    const pthread_attr_t* attributes,
    void* (*body)(void*),
    void* argument) {
  crisp::ThreadReserve* const kept = reserve;
  if (kept == nullptr || attributes == nullptr) {
    return __real_pthread_create(thread, attributes, body, argument);
  }
  return kept->Create(thread, attributes, body, argument);
}

namespace crisp::cri {

absl::Status KeepThreadsForGrpc() {
  constexpr long kMost = 32;
  const long of_executor = 2 * ::sysconf(_SC_NPROCESSORS_CONF);
  auto* const kept = new ThreadReserve(__real_pthread_create,
                                       static_cast<int>(std::clamp(of_executor, 2L, kMost)));
  reserve = kept;
  return kept->Fill();
}

}  // namespace crisp::cri
