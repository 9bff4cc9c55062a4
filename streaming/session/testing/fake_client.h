#ifndef CRISP_STREAMING_SESSION_TESTING_FAKE_CLIENT_H_
#define CRISP_STREAMING_SESSION_TESTING_FAKE_CLIENT_H_

// For tests: a client in memory. Everything runs on the one thread of the test's io_context.

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <string>

#include "streaming/connection/client.h"
#include "streaming/session/condition.h"

namespace crisp::streaming {

class FakeStream : public ClientStream {
 public:
  FakeStream(const asio::any_io_executor& executor, Headers headers)
      : headers_(std::move(headers)), readable_(executor), writable_(executor) {}

  // The client's side: what a test lets the client do.
  void Send(const std::string& bytes) {
    input_ += bytes;
    readable_.Notify();
  }
  void HalfClose() {
    half_closed_ = true;
    readable_.Notify();
  }
  void Grow(size_t window) {
    window_ += window;
    writable_.Notify();
  }
  void Fail(absl::Status error) {
    if (error_.ok()) error_ = std::move(error);
    readable_.Notify();
    writable_.Notify();
  }
  std::string received;
  bool write_closed = false, was_reset = false;

  const Headers& headers() const override { return headers_; }
  asio::awaitable<absl::StatusOr<size_t>> Read(char* data, size_t size) override {
    co_await readable_.Wait([&] { return !input_.empty() || half_closed_ || !error_.ok(); });
    if (!error_.ok()) co_return error_;
    const size_t n = std::min(size, input_.size());
    std::memcpy(data, input_.data(), n);
    input_.erase(0, n);
    co_return n;
  }
  asio::awaitable<absl::Status> Write(const char* data, size_t size) override {
    while (size > 0) {
      co_await writable_.Wait([&] { return window_ > 0 || !error_.ok(); });
      if (!error_.ok()) co_return error_;
      if (write_closed) co_return absl::FailedPreconditionError("closed");
      const size_t n = std::min(size, window_);
      received.append(data, n);
      window_ -= n;
      data += n;
      size -= n;
    }
    co_return error_;
  }
  asio::awaitable<absl::Status> CloseWrite() override {
    write_closed = true;
    co_return error_;
  }
  void Reset() override {
    was_reset = true;
    Fail(absl::AbortedError("reset"));
  }

 private:
  const Headers headers_;
  std::string input_;
  bool half_closed_ = false;
  size_t window_ = 1u << 30;
  absl::Status error_;
  Condition readable_, writable_;

 public:
  void LimitWindow(size_t window) { window_ = window; }
};

class FakeClient : public ClientConnection {
 public:
  explicit FakeClient(const asio::any_io_executor& executor)
      : executor_(executor), arrived_(executor) {
    traits_.status_json = traits_.resize = true;
  }

  // The client's side: what a test lets the client do.
  std::shared_ptr<FakeStream> Open(const std::string& type, Headers headers = {}) {
    headers[kStreamTypeHeader] = type;
    auto stream = std::make_shared<FakeStream>(executor_, std::move(headers));
    all_.push_back(stream);
    waiting_.push_back(stream);
    arrived_.Notify();
    return stream;
  }
  void Leave() { End(absl::UnavailableError("the client has left")); }

  ProtocolTraits traits_;
  bool closed = false, aborted = false;

  asio::any_io_executor executor() override { return executor_; }
  const ProtocolTraits& traits() const override { return traits_; }
  asio::awaitable<absl::StatusOr<std::shared_ptr<ClientStream>>> Accept() override {
    co_await arrived_.Wait([&] { return !waiting_.empty() || !error_.ok(); });
    if (!error_.ok()) co_return error_;
    std::shared_ptr<ClientStream> stream = waiting_.front();
    waiting_.pop_front();
    co_return stream;
  }
  asio::awaitable<void> Close() override {
    closed = true;
    End(absl::CancelledError("closed"));
    co_return;
  }
  void Abort() override {
    aborted = true;
    End(absl::CancelledError("aborted"));
  }

 private:
  void End(const absl::Status& error) {
    if (error_.ok()) error_ = error;
    for (const auto& stream : all_) stream->Fail(error_);
    arrived_.Notify();
  }
  const asio::any_io_executor executor_;
  std::deque<std::shared_ptr<FakeStream>> all_;
  std::deque<std::shared_ptr<ClientStream>> waiting_;
  absl::Status error_;
  Condition arrived_;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_TESTING_FAKE_CLIENT_H_
