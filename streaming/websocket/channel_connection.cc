#include "streaming/websocket/channel_connection.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "streaming/wire/channel_codec.h"

namespace crisp::streaming {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kFlushTime{5};
constexpr seconds kFarewellTime{2};
constexpr seconds kHangUpPoll{1};

std::string PortBytes(uint16_t port) {
  return {static_cast<char>(port & 0xff), static_cast<char>(port >> 8)};
}

}  // namespace

ChannelConnection::ChannelConnection(std::unique_ptr<WebSocket> socket,
                                     WebSocketProtocol protocol,
                                     const SessionRequest& request)
    : socket_(std::move(socket)),
      executor_(socket_->executor()),
      protocol_(std::move(protocol)),
      plans_(PlanChannels(request)),
      accept_event_(executor_),
      out_event_(executor_),
      resume_event_(executor_),
      done_event_(executor_) {}

std::vector<ChannelConnection::Plan> ChannelConnection::PlanChannels(
    const SessionRequest& request) {
  std::vector<Plan> plans;
  if (request.kind == SessionRequest::Kind::kPortForward) {
    for (size_t i = 0; i < request.ports.size(); ++i) {
      Headers headers = {{kPortHeader, absl::StrCat(request.ports[i])},
                         {kRequestIdHeader, absl::StrCat(i)}};
      std::string greeting = PortBytes(request.ports[i]);
      headers[kStreamTypeHeader] = kStreamTypeData;
      plans.push_back({static_cast<uint8_t>(2 * i), headers, greeting, true});
      headers[kStreamTypeHeader] = kStreamTypeError;
      plans.push_back({static_cast<uint8_t>(2 * i + 1), headers, greeting, false});
    }
    return plans;
  }
  auto add = [&](uint8_t number, bool open, const char* type, bool client_writes) {
    if (open) plans.push_back({number, {{kStreamTypeHeader, type}}, "", client_writes});
  };
  add(0, request.stdin_open, kStreamTypeStdin, true);
  add(1, request.stdout_open, kStreamTypeStdout, false);
  add(2, request.stderr_open, kStreamTypeStderr, false);
  add(3, true, kStreamTypeError, false);
  add(4, request.tty, kStreamTypeResize, true);
  return plans;
}

void ChannelConnection::Start() {
  bool greeted = false;
  for (Plan& plan : plans_) {
    auto channel = std::make_shared<Channel>(shared_from_this(), plan.channel,
                                             std::move(plan.headers), plan.client_writes);
    channels_.resize(std::max<size_t>(channels_.size(), plan.channel + size_t{1}));
    channels_[plan.channel] = channel;
    incoming_.push_back(channel);
    // The client learns that the session is there from a port's number, or from an empty message on
    // the lowest channel that it reads.
    if (!plan.greeting.empty() || (!greeted && !plan.client_writes)) {
      Queue(FormatChannelMessage(plan.channel, plan.greeting, protocol_.base64));
      greeted = true;
    }
  }
  plans_.clear();
  asio::co_spawn(executor_, ReadLoop(shared_from_this()), asio::detached);
  asio::co_spawn(executor_, WriteLoop(shared_from_this()), asio::detached);
}

asio::awaitable<void> ChannelConnection::ReadLoop(Self self) {
  while (true) {
    while (!self->ended() && self->buffered_ > kMostBuffered) {
      co_await self->resume_event_.WaitFor(kHangUpPoll);
      if (self->socket_->PeerGone()) self->Fail(absl::CancelledError("the client hung up"));
    }
    absl::StatusOr<absl::string_view> message = co_await self->socket_->Read();
    if (!message.ok()) {
      if (!self->closing_) self->Fail(message.status());
      break;
    }
    if (!self->ended()) self->HandleMessage(*message);
  }
  self->read_done_ = true;
  self->done_event_.Notify();
}

void ChannelConnection::HandleMessage(absl::string_view message) {
  absl::StatusOr<ChannelMessage> parsed =
      ParseChannelMessage(message, protocol_.base64, protocol_.half_close);
  if (!parsed.ok()) return Fail(parsed.status());
  std::shared_ptr<Channel> channel;
  if (parsed->channel < channels_.size()) channel = channels_[parsed->channel];
  if (channel == nullptr || channel->remote_closed_) return;  // nobody reads there
  if (parsed->close) {
    channel->remote_closed_ = true;
    channel->read_event_.Notify();
  } else {
    channel->Receive(parsed->data);
  }
}

asio::awaitable<void> ChannelConnection::WriteLoop(Self self) {
  while (true) {
    if (self->out_.empty()) {
      if (self->ended()) break;
      co_await self->out_event_.Wait();
      continue;
    }
    std::string message = std::move(self->out_.front());
    self->out_.pop_front();
    self->queued_ -= message.size();
    self->WakeNextWriter();
    const WebSocket::Form form =
        self->protocol_.base64 ? WebSocket::Form::kText : WebSocket::Form::kBinary;
    absl::Status written = co_await self->socket_->Write(form, message.data(), message.size());
    if (!written.ok()) {
      self->Fail(written);
      break;
    }
  }
  self->write_done_ = true;
  self->done_event_.Notify();
}

asio::awaitable<absl::StatusOr<std::shared_ptr<ClientStream>>> ChannelConnection::Accept() {
  Self self = shared_from_this();
  while (incoming_.empty()) {
    if (ended()) co_return end_;
    co_await accept_event_.Wait();
  }
  std::shared_ptr<ClientStream> channel = std::move(incoming_.front());
  incoming_.pop_front();
  co_return channel;
}

asio::awaitable<void> ChannelConnection::SayGoodbye(Self self) {
  co_await self->socket_->Close();
  self->goodbye_done_ = true;
  self->done_event_.Notify();
}

asio::awaitable<void> ChannelConnection::Close() {
  Self self = shared_from_this();
  if (!ended()) {
    closing_ = true;
    End(absl::CancelledError("this side closed the connection"));
    steady_clock::time_point deadline = steady_clock::now() + kFlushTime;
    while (!write_done_ && steady_clock::now() < deadline) {
      co_await done_event_.WaitFor(deadline - steady_clock::now());
    }
    if (write_done_) {
      goodbye_done_ = false;
      asio::co_spawn(executor_, SayGoodbye(self), asio::detached);
    }
    deadline = steady_clock::now() + kFarewellTime;
    while (!(read_done_ && goodbye_done_) && steady_clock::now() < deadline) {
      co_await done_event_.WaitFor(deadline - steady_clock::now());
    }
  }
  socket_->Abort();
  while (!read_done_ || !write_done_ || !goodbye_done_) co_await done_event_.Wait();
}

void ChannelConnection::Abort() { Fail(absl::CancelledError("this side aborted the connection")); }

void ChannelConnection::Fail(absl::Status why) {
  End(std::move(why));
  out_.clear();
  queued_ = 0;
  socket_->Abort();
}

void ChannelConnection::End(absl::Status why) {
  if (ended()) return;
  end_ = std::move(why);
  for (const std::shared_ptr<Channel>& channel : channels_) {
    if (channel != nullptr) channel->read_event_.Notify();
  }
  incoming_.clear();
  channels_.clear();  // they hold the connection
  for (AsyncEvent* writer : waiting_writers_) writer->Notify();
  accept_event_.Notify();
  resume_event_.Notify();
  out_event_.Notify();
}

void ChannelConnection::Queue(std::string message) {
  queued_ += message.size();
  out_.push_back(std::move(message));
  out_event_.Notify();
}

asio::awaitable<void> ChannelConnection::WaitForRoom() {
  if (waiting_writers_.empty() && queued_ < kMostQueued) co_return;
  AsyncEvent turn(executor_);
  waiting_writers_.push_back(&turn);
  while (!ended() && (waiting_writers_.front() != &turn || queued_ >= kMostQueued)) {
    co_await turn.Wait();
  }
  std::erase(waiting_writers_, &turn);
}

void ChannelConnection::WakeNextWriter() {
  if (!waiting_writers_.empty() && queued_ < kMostQueued) waiting_writers_.front()->Notify();
}

}  // namespace crisp::streaming
