#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "streaming/websocket/channel_connection.h"
#include "streaming/wire/channel_codec.h"

namespace crisp::streaming {
namespace {

constexpr size_t kChunk = 16 << 10;  // one message; small, so that channels take turns
constexpr size_t kCompactAt = 64 << 10;

absl::Status ResetError(uint8_t number) {
  return absl::AbortedError(absl::StrCat("WebSocket channel ", number, " was reset"));
}

}  // namespace

Channel::Channel(std::shared_ptr<ChannelConnection> connection,
                 uint8_t number,
                 Headers headers,
                 bool client_writes)
    : connection_(std::move(connection)),
      number_(number),
      headers_(std::move(headers)),
      remote_closed_(!client_writes),
      read_event_(connection_->executor()) {}

asio::awaitable<absl::StatusOr<size_t>> Channel::Read(char* data, size_t size) {
  std::shared_ptr<Channel> self = shared_from_this();
  while (position_ == buffer_.size()) {
    if (reset_) co_return ResetError(number_);
    if (remote_closed_) co_return 0u;
    if (connection_->ended()) co_return absl::UnavailableError(connection_->end_.message());
    co_await read_event_.Wait();
  }
  size_t count = std::min(size, buffer_.size() - position_);
  memcpy(data, buffer_.data() + position_, count);
  position_ += count;
  if (position_ == buffer_.size()) {
    buffer_ = std::string();
    position_ = 0;
  }
  connection_->buffered_ -= count;
  connection_->resume_event_.Notify();
  co_return count;
}

absl::Status Channel::WriteError() const {
  if (reset_) return ResetError(number_);
  if (connection_->ended()) return absl::UnavailableError(connection_->end_.message());
  if (local_closed_) {
    return absl::FailedPreconditionError(
        absl::StrCat("WebSocket channel ", number_, " is closed for writing"));
  }
  return absl::OkStatus();
}

asio::awaitable<absl::Status> Channel::Write(const char* data, size_t size) {
  std::shared_ptr<Channel> self = shared_from_this();
  while (size > 0) {
    co_await connection_->WaitForRoom();
    absl::Status error = WriteError();
    if (error.ok()) {
      size_t count = std::min(size, kChunk);
      connection_->Queue(FormatChannelMessage(number_, absl::string_view(data, count),
                                              connection_->protocol_.base64));
      data += count;
      size -= count;
    }
    connection_->WakeNextWriter();
    if (!error.ok()) co_return error;
  }
  co_return WriteError();
}

asio::awaitable<absl::Status> Channel::CloseWrite() {
  if (local_closed_ && !reset_) co_return absl::OkStatus();
  CRISP_CO_RETURN_IF_ERROR(WriteError());
  local_closed_ = true;
  co_return absl::OkStatus();
}

void Channel::Reset() {
  if (reset_) return;
  reset_ = true;
  remote_closed_ = true;
  connection_->buffered_ -= buffer_.size() - position_;
  buffer_ = std::string();
  position_ = 0;
  connection_->resume_event_.Notify();
  read_event_.Notify();
}

void Channel::Receive(absl::string_view data) {
  if (position_ >= kCompactAt) {
    buffer_.erase(0, position_);
    position_ = 0;
  }
  buffer_.append(data.data(), data.size());
  connection_->buffered_ += data.size();
  read_event_.Notify();
}

}  // namespace crisp::streaming
