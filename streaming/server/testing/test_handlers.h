#ifndef CRISP_STREAMING_SERVER_TESTING_TEST_HANDLERS_H_
#define CRISP_STREAMING_SERVER_TESTING_TEST_HANDLERS_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "streaming/connection/client.h"

namespace crisp::streaming {

// For tests: handlers for Server, and what they saw.
struct HandlerLog {
  std::atomic<int> running{0};
  std::atomic<int> finished{0};
  std::atomic<uint64_t> written{0};
  // The reason that the last finished handler's Accept() gave.
  void SetEnd(absl::Status status);
  absl::Status end();
  // True if `count` handlers finished within ten seconds.
  bool WaitFinished(int count);

  absl::Mutex mutex;
  absl::Status last_end ABSL_GUARDED_BY(mutex);
};

// Echoes every stream, and half-closes it after the client did, until the connection ends.
Handler EchoHandler(HandlerLog& log);

// Writes `total` bytes of 'x' on the first stream, half-closes it, and returns.
Handler FloodHandler(HandlerLog& log, uint64_t total);

// Accepts streams and never reads them, until the connection ends.
Handler DeafHandler(HandlerLog& log);

// True if a connection outlives several idle times while there is traffic. `connect` makes one, and
// returns what exchanges something over it. A machine that was away for half of an idle time proves
// nothing, so the test begins anew then.
bool StaysWithTraffic(absl::Duration idle, const std::function<std::function<bool()>()>& connect);

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SERVER_TESTING_TEST_HANDLERS_H_
