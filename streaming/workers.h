#ifndef CRISP_STREAMING_WORKERS_H_
#define CRISP_STREAMING_WORKERS_H_

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "streaming/condition.h"

namespace crisp::streaming {

// Threads for calls that may block, so that connections never wait for one another. They are made
// when there is more to do than idle threads, up to `most`, and end when they were idle for some
// seconds: a quiet node has none. Thread-safe.
class Workers {
 public:
  explicit Workers(int most = 128) : most_(most) {}
  // Does what is queued first. Nothing may be posted any more.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void Post(std::function<void()> work);
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

// Runs `work` on a worker and returns what it returned, on the caller's executor. `work` always runs
// to its end.
template <typename T>
asio::awaitable<T> RunBlocking(Workers& workers, std::function<T()> work) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  struct State {
    explicit State(const asio::any_io_executor& e) : changed(e) {}
    std::optional<T> result;
    Condition changed;
  };
  auto state = std::make_shared<State>(executor);
  workers.Post([state, executor, work = std::move(work)] {
    auto result = std::make_shared<T>(work());
    asio::post(executor, [state, result] {
      state->result.emplace(std::move(*result));
      state->changed.Notify();
    });
  });
  co_await state->changed.Wait([&] { return state->result.has_value(); });
  co_return std::move(*state->result);
}

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WORKERS_H_
