#include "streaming/spdy/spdy_connection.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"

namespace crisp::streaming {
namespace {

using std::chrono::seconds;

constexpr size_t kReadSize = 16 << 10;
constexpr size_t kReportWindow = kSpdyInitialWindow / 2;
constexpr seconds kFlushTime{5};     // what Close() gives the client to take what was written
constexpr seconds kFarewellTime{2};  // and to hang up
constexpr seconds kHangUpPoll{1};

}  // namespace

SpdyConnection::SpdyConnection(std::shared_ptr<ByteSocket> socket,
                               ProtocolTraits traits,
                               std::string early)
    : socket_(std::move(socket)),
      traits_(std::move(traits)),
      accept_event_(socket_->executor()),
      out_event_(socket_->executor()),
      resume_event_(socket_->executor()),
      done_event_(socket_->executor()) {
  decoder_.Feed(early);
}

void SpdyConnection::Start() {
  asio::co_spawn(executor(), ReadLoop(shared_from_this()), asio::detached);
  asio::co_spawn(executor(), WriteLoop(shared_from_this()), asio::detached);
}

asio::awaitable<void> SpdyConnection::ReadLoop(Self self) {
  std::array<char, kReadSize> bytes;
  bool going = self->HandleInput();
  while (going) {
    while (self->MustPauseReading()) {
      co_await self->resume_event_.WaitFor(kHangUpPoll);
      if (self->socket_->PeerGone()) self->Fail(absl::CancelledError("the client hung up"));
    }
    absl::StatusOr<size_t> count = co_await self->socket_->ReadSome(bytes.data(), bytes.size());
    if (!count.ok() || *count == 0) {
      self->Fail(count.ok() ? absl::CancelledError("the client closed the connection")
                            : count.status());
      break;
    }
    if (self->closing_) continue;  // drained, so that closing does not reset what was sent
    self->decoder_.Feed(absl::string_view(bytes.data(), *count));
    going = self->HandleInput();
  }
  self->read_done_ = true;
  self->done_event_.Notify();
}

bool SpdyConnection::HandleInput() {
  SpdyFrame frame;
  while (!ended()) {
    absl::StatusOr<bool> got = decoder_.Next(frame);
    if (!got.ok()) {
      Fail(got.status());
      return false;
    }
    if (!*got) return true;
    HandleFrame(frame);
  }
  return closing_;  // then the rest is drained
}

bool SpdyConnection::MustPauseReading() const {
  return !ended() && (buffered_ > kMostBuffered || out_.size() > kMostAnswers);
}

asio::awaitable<void> SpdyConnection::WriteLoop(Self self) {
  while (true) {
    if (self->out_.empty()) {
      if (self->ended()) break;
      co_await self->out_event_.Wait();
      continue;
    }
    self->sending_.clear();
    self->sending_.swap(self->out_);
    self->WakeNextWriter();
    self->resume_event_.Notify();
    absl::Status written =
        co_await self->socket_->Write(self->sending_.data(), self->sending_.size());
    if (!written.ok()) {
      self->Fail(written);
      break;
    }
  }
  self->write_done_ = true;
  self->done_event_.Notify();
}

void SpdyConnection::HandleFrame(const SpdyFrame& frame) {
  auto found = streams_.find(frame.stream_id);
  switch (frame.type) {
    case SpdyType::kSynStream:
      return HandleSynStream(frame);
    case SpdyType::kData:
      return HandleData(frame);
    case SpdyType::kWindowUpdate:
      return HandleWindowUpdate(frame);
    case SpdyType::kSettings:
      return HandleSettings(frame);
    case SpdyType::kRstStream:
      if (found != streams_.end()) {
        std::shared_ptr<SpdyStream> stream = found->second;
        stream->Drop();
        Forget(frame.stream_id);
      }
      return;
    case SpdyType::kHeaders:
    case SpdyType::kSynReply:
      if (found != streams_.end() && frame.fin) {
        std::shared_ptr<SpdyStream> stream = found->second;
        stream->FinishRead();
      }
      return;
    case SpdyType::kPing:
      if (frame.value % 2 == 1) {  // the client's own; ours would be even
        SpdyEncoder::AppendPing(frame.value, out_);
        Queue();
      }
      return;
    case SpdyType::kGoAway:
      client_goes_away_ = true;
      if (streams_.empty()) Fail(absl::CancelledError("the client went away"));
      return;
  }
}

void SpdyConnection::HandleSynStream(const SpdyFrame& frame) {
  if (client_goes_away_) return;
  if (frame.stream_id % 2 == 0 || frame.stream_id <= last_stream_id_) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("SPDY client: opened stream ", frame.stream_id, " after ", last_stream_id_)));
  }
  last_stream_id_ = frame.stream_id;
  if (streams_.size() >= kMaxStreams) {
    SpdyEncoder::AppendReset(frame.stream_id, SpdyReset::kRefusedStream, out_);
    return Queue();
  }
  auto stream = std::make_shared<SpdyStream>(shared_from_this(), frame);
  streams_[frame.stream_id] = stream;
  encoder_.AppendHeaders(SpdyType::kSynReply, frame.stream_id, frame.unidirectional, {}, out_);
  Queue();
  incoming_.push_back(stream);
  accept_event_.Notify();
  stream->ForgetIfClosed();
}

void SpdyConnection::HandleData(const SpdyFrame& frame) {
  auto found = streams_.find(frame.stream_id);
  if (found == streams_.end()) {
    Consumed(frame.data.size());
    if (frame.stream_id > last_stream_id_) {
      SpdyEncoder::AppendReset(frame.stream_id, SpdyReset::kInvalidStream, out_);
      Queue();
    }
    return;
  }
  std::shared_ptr<SpdyStream> stream = found->second;
  if (stream->remote_closed_) {
    Consumed(frame.data.size());
    return;
  }
  stream->Receive(frame.data);
  if (frame.fin) stream->FinishRead();
}

void SpdyConnection::HandleWindowUpdate(const SpdyFrame& frame) {
  if (frame.stream_id == 0) {
    obeys_session_window_ = true;
    session_window_ += frame.value;
    if (session_window_ > INT32_MAX) {
      return Fail(absl::InvalidArgumentError("SPDY client: a session window of more than 2 GiB"));
    }
    for (auto& [id, stream] : streams_) stream->write_event_.Notify();
    return;
  }
  obeys_stream_window_ = true;
  auto found = streams_.find(frame.stream_id);
  if (found == streams_.end()) return;
  std::shared_ptr<SpdyStream> stream = found->second;
  stream->send_window_ += frame.value;
  if (stream->send_window_ > INT32_MAX) {
    SpdyEncoder::AppendReset(frame.stream_id, SpdyReset::kFlowControlError, out_);
    Queue();
    stream->Drop();
    Forget(frame.stream_id);
    return;
  }
  stream->write_event_.Notify();
}

void SpdyConnection::HandleSettings(const SpdyFrame& frame) {
  if (!frame.initial_window.has_value()) return;
  obeys_stream_window_ = true;
  int64_t change = int64_t{*frame.initial_window} - initial_window_;
  initial_window_ = *frame.initial_window;
  for (auto& [id, stream] : streams_) {
    stream->send_window_ += change;
    stream->write_event_.Notify();
  }
}

asio::awaitable<absl::StatusOr<std::shared_ptr<ClientStream>>> SpdyConnection::Accept() {
  Self self = shared_from_this();
  while (incoming_.empty()) {
    if (ended()) co_return end_;
    co_await accept_event_.Wait();
  }
  std::shared_ptr<ClientStream> stream = std::move(incoming_.front());
  incoming_.pop_front();
  co_return stream;
}

asio::awaitable<void> SpdyConnection::Close() {
  Self self = shared_from_this();
  if (!ended()) {
    closing_ = true;
    SpdyEncoder::AppendGoAway(last_stream_id_, out_);
    End(absl::CancelledError("this side closed the connection"));
    auto deadline = std::chrono::steady_clock::now() + kFlushTime;
    while (!write_done_ && std::chrono::steady_clock::now() < deadline) {
      co_await done_event_.WaitFor(deadline - std::chrono::steady_clock::now());
    }
    co_await socket_->ShutdownWrite();
    deadline = std::chrono::steady_clock::now() + kFarewellTime;
    while (!read_done_ && std::chrono::steady_clock::now() < deadline) {
      co_await done_event_.WaitFor(deadline - std::chrono::steady_clock::now());
    }
  }
  socket_->Abort();
  while (!read_done_ || !write_done_) co_await done_event_.Wait();
}

void SpdyConnection::Abort() { Fail(absl::CancelledError("this side aborted the connection")); }

void SpdyConnection::Fail(absl::Status why) {
  End(std::move(why));
  out_.clear();
  socket_->Abort();
}

void SpdyConnection::End(absl::Status why) {
  if (ended()) return;
  end_ = std::move(why);
  incoming_.clear();
  for (auto& [id, stream] : streams_) {
    stream->read_event_.Notify();
    stream->write_event_.Notify();
  }
  streams_.clear();  // they hold the connection
  for (AsyncEvent* writer : waiting_writers_) writer->Notify();
  accept_event_.Notify();
  resume_event_.Notify();
  out_event_.Notify();
}

void SpdyConnection::Forget(uint32_t stream_id) {
  streams_.erase(stream_id);
  if (client_goes_away_ && streams_.empty() && !ended()) {
    Fail(absl::CancelledError("the client went away"));
  }
}

void SpdyConnection::Consumed(size_t size) {
  unreported_ += size;
  if (ended() || unreported_ < kReportWindow) return;
  SpdyEncoder::AppendWindowUpdate(0, static_cast<uint32_t>(unreported_), out_);
  unreported_ = 0;
  Queue();
}

void SpdyConnection::Queue() { out_event_.Notify(); }

asio::awaitable<void> SpdyConnection::WaitForRoom() {
  if (waiting_writers_.empty() && out_.size() < kMostQueued) co_return;
  AsyncEvent turn(executor());
  waiting_writers_.push_back(&turn);
  while (!ended() && (waiting_writers_.front() != &turn || out_.size() >= kMostQueued)) {
    co_await turn.Wait();
  }
  std::erase(waiting_writers_, &turn);
}

void SpdyConnection::WakeNextWriter() {
  if (!waiting_writers_.empty() && out_.size() < kMostQueued) waiting_writers_.front()->Notify();
}

}  // namespace crisp::streaming
