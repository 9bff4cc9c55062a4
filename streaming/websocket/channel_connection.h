#ifndef CRISP_STREAMING_WEBSOCKET_CHANNEL_CONNECTION_H_
#define CRISP_STREAMING_WEBSOCKET_CHANNEL_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "streaming/connection/async_event.h"
#include "streaming/connection/upgraded.h"
#include "streaming/websocket/web_socket.h"
#include "streaming/wire/session_request.h"
#include "streaming/wire/upgrade.h"

namespace crisp::streaming {

class Channel;

// A WebSocket of the channel.k8s.io protocols. Its channels are fixed by the request:
//   exec, attach: stdin 0, stdout 1, stderr 2, error 3, resize 4, as far as the request opens them;
//   port-forward: data 2n and error 2n+1 of the request's n-th port, each of which first tells the
//   client its port in two bytes, little-endian.
// A message has no window: what a channel's reader does not take, up to kMostBuffered in all, stops
// the reading of the whole connection.
class ChannelConnection : public UpgradedConnection,
                          public std::enable_shared_from_this<ChannelConnection> {
 public:
  static constexpr size_t kMostBuffered = 2 << 20;
  static constexpr size_t kMostQueued = 64 << 10;

  ChannelConnection(std::unique_ptr<WebSocket> socket,
                    WebSocketProtocol protocol,
                    const SessionRequest& request);

  void Start() override;
  asio::any_io_executor executor() override { return executor_; }
  const ProtocolTraits& traits() const override { return protocol_.traits; }
  asio::awaitable<absl::StatusOr<std::shared_ptr<ClientStream>>> Accept() override;
  asio::awaitable<void> Close() override;
  void Abort() override;
  void Fail(absl::Status why) override;

 private:
  friend class Channel;
  using Self = std::shared_ptr<ChannelConnection>;
  struct Plan {
    uint8_t channel;
    Headers headers;
    std::string greeting;
    bool client_writes;
  };

  static std::vector<Plan> PlanChannels(const SessionRequest& request);
  static asio::awaitable<void> ReadLoop(Self self);
  static asio::awaitable<void> WriteLoop(Self self);
  static asio::awaitable<void> SayGoodbye(Self self);
  void HandleMessage(absl::string_view message);
  void End(absl::Status why);
  bool ended() const { return !end_.ok(); }
  void Queue(std::string message);
  asio::awaitable<void> WaitForRoom();
  void WakeNextWriter();

  std::unique_ptr<WebSocket> socket_;
  const asio::any_io_executor executor_;
  const WebSocketProtocol protocol_;
  std::vector<Plan> plans_;  // until Start()
  absl::Status end_;
  bool closing_ = false;
  bool read_done_ = false;
  bool write_done_ = false;
  bool goodbye_done_ = true;  // false while the closing handshake goes on
  AsyncEvent accept_event_, out_event_, resume_event_, done_event_;
  std::vector<std::shared_ptr<Channel>> channels_;  // by number; null if there is none
  std::deque<std::shared_ptr<Channel>> incoming_;
  size_t buffered_ = 0;
  std::deque<std::string> out_;  // messages for the writer
  size_t queued_ = 0;            // their bytes
  std::deque<AsyncEvent*> waiting_writers_;
};

// One channel; see ClientStream.
class Channel : public ClientStream, public std::enable_shared_from_this<Channel> {
 public:
  Channel(std::shared_ptr<ChannelConnection> connection,
          uint8_t number,
          Headers headers,
          bool client_writes);

  const Headers& headers() const override { return headers_; }
  asio::awaitable<absl::StatusOr<size_t>> Read(char* data, size_t size) override;
  asio::awaitable<absl::Status> Write(const char* data, size_t size) override;
  asio::awaitable<absl::Status> CloseWrite() override;
  void Reset() override;

 private:
  friend class ChannelConnection;

  absl::Status WriteError() const;
  void Receive(absl::string_view data);

  const std::shared_ptr<ChannelConnection> connection_;
  const uint8_t number_;
  const Headers headers_;
  bool remote_closed_;
  bool local_closed_ = false;
  bool reset_ = false;
  std::string buffer_;
  size_t position_ = 0;
  AsyncEvent read_event_;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WEBSOCKET_CHANNEL_CONNECTION_H_
