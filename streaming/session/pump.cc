#include "streaming/session/pump.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <memory>

#include "base/status.h"

namespace crisp::streaming {
namespace {

constexpr size_t kChunk = 32u << 10;

CopyEnd LocalFailure(const boost::system::error_code& error, absl::string_view verb) {
  return {.side = CopyEnd::Side::kLocal, .status = ErrnoError(error.value(), verb)};
}

}  // namespace

asio::awaitable<CopyEnd> OutputPump::Run(ClientStream& stream) {
  const auto buffer = std::make_unique<char[]>(kChunk);
  for (;;) {
    const size_t most = left_.has_value() ? std::min(*left_, kChunk) : kChunk;
    if (most == 0 || !fd_.is_open()) co_return CopyEnd{};
    boost::system::error_code error;
    const size_t n = co_await fd_.async_read_some(asio::buffer(buffer.get(), most),
                                                  asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) continue;  // Finish() or Close()
    if (error == asio::error::eof) co_return CopyEnd{};
    if (error) co_return LocalFailure(error, "read output");
    if (left_.has_value()) *left_ -= std::min(*left_, n);
    absl::Status status = co_await stream.Write(buffer.get(), n);
    if (!status.ok()) co_return CopyEnd{.side = CopyEnd::Side::kClient, .status = status};
  }
}

void OutputPump::Finish() {
  if (!fd_.is_open() || left_.has_value()) return;
  int waiting = 0;
  if (ioctl(fd_.native_handle(), FIONREAD, &waiting) != 0) waiting = 0;
  left_ = static_cast<size_t>(std::max(waiting, 0));
  boost::system::error_code ignored;
  fd_.cancel(ignored);
}

void OutputPump::Close() { CloseDescriptor(fd_); }

asio::awaitable<CopyEnd> CopyFromClient(ClientStream& stream, Descriptor& fd) {
  const auto buffer = std::make_unique<char[]>(kChunk);
  CopyEnd broken;
  for (;;) {
    absl::StatusOr<size_t> n = co_await stream.Read(buffer.get(), kChunk);
    if (!n.ok()) co_return CopyEnd{.side = CopyEnd::Side::kClient, .status = n.status()};
    if (*n == 0) co_return broken;
    if (broken.side == CopyEnd::Side::kLocal) continue;
    boost::system::error_code error;
    co_await asio::async_write(fd, asio::buffer(buffer.get(), *n),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      broken = LocalFailure(error, "write input");
      CloseDescriptor(fd);
    }
  }
}

void CloseDescriptor(Descriptor& fd) {
  boost::system::error_code ignored;
  if (fd.is_open()) fd.close(ignored);
}

}  // namespace crisp::streaming
