#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "streaming/spdy/spdy_connection.h"

namespace crisp::streaming {
namespace {

constexpr size_t kChunk = 16 << 10;  // one frame; small, so that streams take turns
constexpr size_t kReportWindow = kSpdyInitialWindow / 2;

absl::Status ResetError(uint32_t id) {
  return absl::AbortedError(absl::StrCat("SPDY stream ", id, " was reset"));
}

}  // namespace

SpdyStream::SpdyStream(std::shared_ptr<SpdyConnection> connection, const SpdyFrame& opened)
    : connection_(std::move(connection)),
      id_(opened.stream_id),
      headers_(opened.headers),
      remote_closed_(opened.fin),
      local_closed_(opened.unidirectional),
      send_window_(connection_->initial_window_),
      read_event_(connection_->executor()),
      write_event_(connection_->executor()) {}

asio::awaitable<absl::StatusOr<size_t>> SpdyStream::Read(char* data, size_t size) {
  std::shared_ptr<SpdyStream> self = shared_from_this();
  while (position_ == buffer_.size()) {
    if (reset_) co_return ResetError(id_);
    if (remote_closed_) co_return 0u;
    if (connection_->ended()) {
      co_return absl::UnavailableError(connection_->end_.message());
    }
    co_await read_event_.Wait();
  }
  size_t count = std::min(size, buffer_.size() - position_);
  memcpy(data, buffer_.data() + position_, count);
  position_ += count;
  if (position_ == buffer_.size()) {
    buffer_ = std::string();  // gives the memory back
    position_ = 0;
  }
  connection_->buffered_ -= count;
  connection_->Consumed(count);
  unreported_ += count;
  if (!remote_closed_ && !connection_->ended() && unreported_ >= kReportWindow) {
    SpdyEncoder::AppendWindowUpdate(id_, static_cast<uint32_t>(unreported_), connection_->out_);
    unreported_ = 0;
    connection_->Queue();
  }
  connection_->resume_event_.Notify();
  co_return count;
}

absl::Status SpdyStream::WriteError() const {
  if (reset_) return ResetError(id_);
  if (connection_->ended()) return absl::UnavailableError(connection_->end_.message());
  if (local_closed_) {
    return absl::FailedPreconditionError(
        absl::StrCat("SPDY stream ", id_, " is closed for writing"));
  }
  return absl::OkStatus();
}

size_t SpdyStream::SendableNow(size_t size) const {
  int64_t sendable = static_cast<int64_t>(std::min(size, kChunk));
  if (connection_->obeys_stream_window_) sendable = std::min(sendable, send_window_);
  if (connection_->obeys_session_window_) {
    sendable = std::min(sendable, connection_->session_window_);
  }
  return static_cast<size_t>(std::max<int64_t>(sendable, 0));
}

asio::awaitable<absl::Status> SpdyStream::Write(const char* data, size_t size) {
  std::shared_ptr<SpdyStream> self = shared_from_this();
  while (size > 0) {
    CRISP_CO_RETURN_IF_ERROR(WriteError());
    if (SendableNow(size) == 0) {
      co_await write_event_.Wait();
      continue;
    }
    co_await connection_->WaitForRoom();
    absl::Status error = WriteError();
    size_t count = error.ok() ? SendableNow(size) : 0;  // both may have changed while it waited
    if (count > 0) {
      SpdyEncoder::AppendData(id_, false, absl::string_view(data, count), connection_->out_);
      connection_->Queue();
      send_window_ -= static_cast<int64_t>(count);
      connection_->session_window_ -= static_cast<int64_t>(count);
      data += count;
      size -= count;
    }
    connection_->WakeNextWriter();
    if (!error.ok()) co_return error;
  }
  co_return WriteError();
}

asio::awaitable<absl::Status> SpdyStream::CloseWrite() {
  if (local_closed_ && !reset_) co_return absl::OkStatus();
  CRISP_CO_RETURN_IF_ERROR(WriteError());
  local_closed_ = true;
  SpdyEncoder::AppendData(id_, true, "", connection_->out_);
  connection_->Queue();
  ForgetIfClosed();
  co_return absl::OkStatus();
}

void SpdyStream::Reset() {
  if (reset_) return;
  bool known = !connection_->ended() && connection_->streams_.contains(id_);
  Drop();
  if (!known) return;
  SpdyEncoder::AppendReset(id_, SpdyReset::kCancel, connection_->out_);
  connection_->Queue();
  connection_->Forget(id_);
}

void SpdyStream::Receive(absl::string_view data) {
  if (position_ >= kSpdyInitialWindow) {
    buffer_.erase(0, position_);
    position_ = 0;
  }
  buffer_.append(data.data(), data.size());
  connection_->buffered_ += data.size();
  read_event_.Notify();
}

void SpdyStream::FinishRead() {
  remote_closed_ = true;
  read_event_.Notify();
  ForgetIfClosed();
}

void SpdyStream::ForgetIfClosed() {
  if (remote_closed_ && local_closed_) connection_->Forget(id_);
}

void SpdyStream::Drop() {
  reset_ = true;
  size_t dropped = buffer_.size() - position_;
  buffer_ = std::string();
  position_ = 0;
  connection_->buffered_ -= dropped;
  connection_->Consumed(dropped);
  connection_->resume_event_.Notify();
  read_event_.Notify();
  write_event_.Notify();
}

}  // namespace crisp::streaming
