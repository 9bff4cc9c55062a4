#ifndef CRISP_STREAMING_SESSION_TASKS_H_
#define CRISP_STREAMING_SESSION_TASKS_H_

// clang-format off: before Asio, whose awaitable.hpp uses it without including it.
#include <utility>
// clang-format on

#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <functional>
#include <memory>

#include "streaming/session/condition.h"

namespace crisp::streaming {

// Coroutines that run beside the one that started them, on the same strand. It waits for them
// before it returns, so nothing of a session is left when its handler has returned. Not
// thread-safe.
class Tasks {
 public:
  // `on_throw` is called when a task threw. Only a lack of memory makes one throw.
  Tasks(asio::any_io_executor executor, std::function<void()> on_throw)
      : executor_(std::move(executor)), state_(std::make_shared<State>(executor_)) {
    state_->on_throw = std::move(on_throw);
  }

  void Spawn(asio::awaitable<void> task) {
    ++state_->running;
    asio::co_spawn(executor_, std::move(task), [state = state_](std::exception_ptr thrown) {
      --state->running;
      if (thrown && state->on_throw) state->on_throw();
      state->changed.Notify();
    });
  }
  asio::awaitable<void> Join() {
    const std::shared_ptr<State> state = state_;
    co_await state->changed.Wait([&] { return state->running == 0; });
    state->on_throw = nullptr;
  }

 private:
  struct State {
    explicit State(const asio::any_io_executor& e) : changed(e) {}
    int running = 0;
    std::function<void()> on_throw;
    Condition changed;
  };
  const asio::any_io_executor executor_;
  const std::shared_ptr<State> state_;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_TASKS_H_
