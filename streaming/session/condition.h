#ifndef CRISP_STREAMING_SESSION_CONDITION_H_
#define CRISP_STREAMING_SESSION_CONDITION_H_

// clang-format off: before Asio, whose awaitable.hpp uses it without including it.
#include <utility>
// clang-format on

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "absl/time/time.h"

namespace crisp::streaming {

namespace asio = boost::asio;

// Lets one coroutine of a strand wait until others of the same strand have changed some state. Not
// thread-safe: every call is made on the strand. One waiter at a time.
class Condition {
 public:
  explicit Condition(const asio::any_io_executor& executor) : timer_(executor) {}

  void Notify() { timer_.cancel(); }

  template <typename Predicate>
  asio::awaitable<void> Wait(Predicate predicate) {
    while (!predicate()) {
      timer_.expires_at(std::chrono::steady_clock::time_point::max());
      boost::system::error_code woken;
      co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
  }

  // True if the predicate held within `limit`.
  template <typename Predicate>
  asio::awaitable<bool> WaitFor(absl::Duration limit, Predicate predicate) {
    const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(limit);
    while (!predicate()) {
      if (std::chrono::steady_clock::now() >= deadline) co_return false;
      timer_.expires_at(deadline);
      boost::system::error_code woken;
      co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
    co_return true;
  }

 private:
  asio::steady_timer timer_;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_CONDITION_H_
