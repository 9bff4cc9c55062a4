#ifndef CRISP_STREAMING_SESSION_WORKERS_H_
#define CRISP_STREAMING_SESSION_WORKERS_H_

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "streaming/session/condition.h"

namespace crisp::streaming {

// Threads for calls that may block, so that connections never wait for one another. They are made
// when there is more to do than idle threads, up to `most`, and end when they were idle for some
// seconds: a quiet node has none. Thread-safe.
class Workers {
 public:
  explicit Workers(int most = 128) : most_(most) {}
  // Does what is queued, and then ends the threads. Nothing may be posted any more.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Runs `work` on a worker. ResourceExhausted if there is no thread and none can be made; `work`
  // never runs then.
  absl::Status Post(std::function<void()> work);
  int threads() const;

 private:
  void Run();

  const int most_;
  mutable absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  int threads_ ABSL_GUARDED_BY(mutex_) = 0;
  int idle_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

// Runs `work` on a worker and returns its result on the caller's executor, or the error of
// Workers::Post when it cannot run. `work` that was begun always runs to its end. When this
// returns, the worker holds nothing of the executor, so the loop may end as soon as its coroutines
// have ended.
template <typename T>
asio::awaitable<T> RunBlocking(Workers& workers, std::function<T()> work) {
  struct State {
    State(const asio::any_io_executor& e, std::function<T()> w)
        : executor(e), changed(e), work(std::move(w)) {}
    const asio::any_io_executor executor;
    Condition changed;
    std::function<T()> work;
    std::optional<T> result;
    bool done = false;
    std::mutex posting;  // held by the worker while it may touch the executor
  };
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  State state(executor, std::move(work));
  const absl::Status posted = workers.Post([state = &state] {
    state->result.emplace(state->work());
    state->work = nullptr;
    const std::lock_guard lock(state->posting);
    asio::post(state->executor, [state] {
      state->done = true;
      state->changed.Notify();
    });
  });
  if (!posted.ok()) co_return T(posted);
  co_await state.changed.Wait([&] { return state.done; });
  // The post may have come here before it has returned to the worker.
  state.posting.lock();
  state.posting.unlock();
  co_return std::move(*state.result);
}

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_WORKERS_H_
