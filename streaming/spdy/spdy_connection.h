#ifndef CRISP_STREAMING_SPDY_SPDY_CONNECTION_H_
#define CRISP_STREAMING_SPDY_SPDY_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "streaming/connection/async_event.h"
#include "streaming/connection/byte_socket.h"
#include "streaming/connection/upgraded.h"
#include "streaming/wire/spdy_frame.h"

namespace crisp::streaming {

class SpdyStream;

// The server's side of SPDY/3.1. Every stream that the client opens is answered at once.
//
// Flow control: this side tells the client what it consumed, per stream and for the connection. It
// obeys the windows of a client that sends any. Kubernetes' clients do neither: they ignore what
// they get, send no windows, and would never open ours. So until a client shows that it counts,
// only the socket limits what it is sent. What a client sends beyond its window is taken, up to
// kMostBuffered for the connection, where reading pauses.
class SpdyConnection : public UpgradedConnection,
                       public std::enable_shared_from_this<SpdyConnection> {
 public:
  static constexpr size_t kMaxStreams = 2000;        // open at a time; more are refused
  static constexpr size_t kMostBuffered = 2 << 20;   // received and not read by the session
  static constexpr size_t kMostQueued = 64 << 10;    // data accepted from Write() and not sent
  static constexpr size_t kMostAnswers = 256 << 10;  // queued in all; answers to frames count here

  // `early` are bytes that came with the HTTP request.
  SpdyConnection(std::shared_ptr<ByteSocket> socket, ProtocolTraits traits, std::string early);

  void Start() override;
  asio::any_io_executor executor() override { return socket_->executor(); }
  const ProtocolTraits& traits() const override { return traits_; }
  asio::awaitable<absl::StatusOr<std::shared_ptr<ClientStream>>> Accept() override;
  asio::awaitable<void> Close() override;
  void Abort() override;
  void Fail(absl::Status why) override;

 private:
  friend class SpdyStream;
  using Self = std::shared_ptr<SpdyConnection>;

  static asio::awaitable<void> ReadLoop(Self self);
  static asio::awaitable<void> WriteLoop(Self self);
  bool HandleInput();  // false when the connection ended
  void HandleFrame(const SpdyFrame& frame);
  void HandleSynStream(const SpdyFrame& frame);
  void HandleData(const SpdyFrame& frame);
  void HandleWindowUpdate(const SpdyFrame& frame);
  void HandleSettings(const SpdyFrame& frame);
  bool MustPauseReading() const;

  // Ends everything that the session sees, with a reason, which must not be OK. The first reason
  // stays.
  void End(absl::Status why);
  bool ended() const { return !end_.ok(); }
  void Forget(uint32_t stream_id);  // a stream is closed on both sides
  void Consumed(size_t size);       // of the connection's window
  void Queue();                     // something was appended to out_
  asio::awaitable<void> WaitForRoom();
  void WakeNextWriter();

  std::shared_ptr<ByteSocket> socket_;
  const ProtocolTraits traits_;
  SpdyDecoder decoder_;
  SpdyEncoder encoder_;
  absl::Status end_;
  bool closing_ = false;  // Close() was called: flush, then drain
  bool client_goes_away_ = false;
  bool read_done_ = false;
  bool write_done_ = false;
  AsyncEvent accept_event_, out_event_, resume_event_, done_event_;

  std::map<uint32_t, std::shared_ptr<SpdyStream>> streams_;
  std::deque<std::shared_ptr<SpdyStream>> incoming_;
  uint32_t last_stream_id_ = 0;
  size_t buffered_ = 0;    // over all streams
  size_t unreported_ = 0;  // consumed, and not told to the client yet

  bool obeys_stream_window_ = false;   // the client sent a window for streams …
  bool obeys_session_window_ = false;  // … or for the connection
  int64_t initial_window_ = kSpdyInitialWindow;
  int64_t session_window_ = kSpdyInitialWindow;

  std::string out_;                          // frames for the writer
  std::string sending_;                      // what the writer is writing
  std::deque<AsyncEvent*> waiting_writers_;  // first come, first served
};

// One stream; see ClientStream.
class SpdyStream : public ClientStream, public std::enable_shared_from_this<SpdyStream> {
 public:
  SpdyStream(std::shared_ptr<SpdyConnection> connection, const SpdyFrame& opened);

  const Headers& headers() const override { return headers_; }
  asio::awaitable<absl::StatusOr<size_t>> Read(char* data, size_t size) override;
  asio::awaitable<absl::Status> Write(const char* data, size_t size) override;
  asio::awaitable<absl::Status> CloseWrite() override;
  void Reset() override;

 private:
  friend class SpdyConnection;

  absl::Status WriteError() const;
  size_t SendableNow(size_t size) const;
  void Receive(absl::string_view data);
  void FinishRead();
  void ForgetIfClosed();
  // Drops what was received and ends both directions, without a word to the client.
  void Drop();

  const std::shared_ptr<SpdyConnection> connection_;
  const uint32_t id_;
  const Headers headers_;
  bool remote_closed_;
  bool local_closed_;
  bool reset_ = false;
  int64_t send_window_;
  size_t unreported_ = 0;
  std::string buffer_;
  size_t position_ = 0;  // in buffer_: what the session has read
  AsyncEvent read_event_, write_event_;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SPDY_SPDY_CONNECTION_H_
