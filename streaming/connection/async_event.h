#ifndef CRISP_STREAMING_CONNECTION_ASYNC_EVENT_H_
#define CRISP_STREAMING_CONNECTION_ASYNC_EVENT_H_

// clang-format off: before Asio, whose awaitable.hpp uses it without including it.
#include <utility>
// clang-format on

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace crisp::streaming {

// Lets coroutines of one strand wait for a change that another coroutine of the same strand makes.
// The event remembers nothing: look at the state, wait, look again. Not thread-safe. A coroutine
// that waits keeps the event's owner alive.
class AsyncEvent {
 public:
  explicit AsyncEvent(const boost::asio::any_io_executor& strand) : timer_(strand) {
    timer_.expires_at(std::chrono::steady_clock::time_point::max());
  }

  boost::asio::awaitable<void> Wait() {
    boost::system::error_code ignored;  // a Notify() is reported as a cancellation
    co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }

  // The same with a limit of time. Only for an event with one waiting coroutine, because the limit
  // wakes the others too.
  boost::asio::awaitable<void> WaitFor(std::chrono::steady_clock::duration limit) {
    timer_.expires_after(limit);
    co_await Wait();
    timer_.expires_at(std::chrono::steady_clock::time_point::max());
  }

  // Wakes every coroutine that waits now.
  void Notify() { timer_.cancel(); }

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_CONNECTION_ASYNC_EVENT_H_
