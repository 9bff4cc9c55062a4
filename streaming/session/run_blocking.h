#ifndef CRISP_STREAMING_SESSION_RUN_BLOCKING_H_
#define CRISP_STREAMING_SESSION_RUN_BLOCKING_H_

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <functional>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/workers.h"
#include "streaming/session/condition.h"

namespace crisp::streaming {

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
    absl::Mutex posting;  // held by the worker while it may touch the executor
  };
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  State state(executor, std::move(work));
  const absl::Status posted = workers.Post([state = &state] {
    state->result.emplace(state->work());
    state->work = nullptr;
    absl::MutexLock lock(&state->posting);
    asio::post(state->executor, [state] {
      state->done = true;
      state->changed.Notify();
    });
  });
  if (!posted.ok()) co_return T(posted);
  co_await state.changed.Wait([&] { return state.done; });
  // The post may have come here before it has returned to the worker.
  { absl::MutexLock given_back(&state.posting); }
  co_return std::move(*state.result);
}

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_RUN_BLOCKING_H_
