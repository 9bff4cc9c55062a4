// The server's WebSocket side, through loopback sockets and frames made by hand.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "streaming/server/server.h"
#include "streaming/server/testing/test_client.h"
#include "streaming/server/testing/test_handlers.h"

namespace crisp::streaming {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint8_t kText = 1, kBinary = 2, kCloseFrame = 8, kPing = 9, kPong = 10;
constexpr char kV5[] = "v5.channel.k8s.io";

struct Frame {
  uint8_t opcode = 0;
  std::string payload;
};

// A client's frame: masked, as it must be.
std::string ClientFrame(uint8_t opcode, absl::string_view payload, bool fin = true) {
  const char mask[] = {'m', 'a', 's', 'k'};
  std::string out = {static_cast<char>((fin ? 0x80 : 0) | opcode)};
  if (payload.size() < 126) {
    out.push_back(static_cast<char>(0x80 | payload.size()));
  } else {
    out.push_back(static_cast<char>(0x80 | 127));
    for (int shift = 56; shift >= 0; shift -= 8) {
      out.push_back(static_cast<char>(uint64_t{payload.size()} >> shift));
    }
  }
  out.append(mask, sizeof mask);
  for (size_t i = 0; i < payload.size(); ++i) {
    out.push_back(static_cast<char>(payload[i] ^ mask[i % sizeof mask]));
  }
  return out;
}

class WebSocketClient {
 public:
  WebSocketClient(int port, const std::string& url, const std::string& protocol) : client_(port) {
    head_ = client_
                .Request(PathOfUrl(url),
                         absl::StrCat("Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                      "Sec-WebSocket-Version: 13\r\n"
                                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                                      protocol.empty() ? "" : "Sec-WebSocket-Protocol: ", protocol,
                                      protocol.empty() ? "" : "\r\n"),
                         "GET")
                .value_or("none");
  }

  const std::string& head() const { return head_; }
  TestClient& raw() { return client_; }
  bool Send(uint8_t opcode, absl::string_view payload) {
    return client_.Send(ClientFrame(opcode, payload));
  }

  absl::StatusOr<Frame> Next() {
    CRISP_ASSIGN_OR_RETURN(std::string start, Take(2));
    size_t size = static_cast<uint8_t>(start[1]) & 0x7f;
    if (size >= 126) {
      CRISP_ASSIGN_OR_RETURN(std::string length, Take(size == 126 ? 2 : 8));
      size = 0;
      for (char byte : length) size = size << 8 | static_cast<uint8_t>(byte);
    }
    Frame frame{.opcode = static_cast<uint8_t>(start[0] & 0xf)};
    CRISP_ASSIGN_OR_RETURN(frame.payload, Take(size));
    return frame;
  }

  // The bytes of `channel` until there are `size`.
  absl::StatusOr<std::string> Channel(char channel, size_t size) {
    std::string bytes;
    while (bytes.size() < size) {
      CRISP_ASSIGN_OR_RETURN(Frame frame, Next());
      if (frame.opcode == kCloseFrame) return absl::CancelledError("closed");
      if (!frame.payload.empty() && frame.payload[0] == channel) bytes += frame.payload.substr(1);
    }
    return bytes;
  }

 private:
  absl::StatusOr<std::string> Take(size_t size) {
    while (buffer_.size() < size) {
      CRISP_ASSIGN_OR_RETURN(std::string more, client_.Receive());
      if (more.empty()) return absl::CancelledError("the server closed the connection");
      buffer_ += more;
    }
    std::string taken = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return taken;
  }

  TestClient client_;
  std::string head_;
  std::string buffer_;
};

// Reads the stream of type `from` and writes what it reads on the one of type `to`; at its end
// writes "END" and returns.
asio::awaitable<void> RunCopy(HandlerLog* log,
                              std::shared_ptr<ClientConnection> connection,
                              int streams,
                              std::string from,
                              std::string to) {
  ++log->running;
  std::shared_ptr<ClientStream> in, out;
  for (int i = 0; i < streams; ++i) {
    absl::StatusOr<std::shared_ptr<ClientStream>> stream = co_await connection->Accept();
    if (!stream.ok()) break;
    std::string type = (*stream)->headers().at(kStreamTypeHeader);
    if (type == from) in = *stream;
    if (type == to) out = *stream;
  }
  std::vector<char> bytes(8192);
  while (in != nullptr && out != nullptr) {
    absl::StatusOr<size_t> count = co_await in->Read(bytes.data(), bytes.size());
    if (!count.ok()) {
      log->SetEnd(count.status());
      break;
    }
    const char* data = *count == 0 ? "END" : bytes.data();
    size_t size = *count == 0 ? 3 : *count;
    absl::Status written = co_await out->Write(data, size);
    if (!written.ok() || *count == 0) break;
  }
  ++log->finished;
}

class WebSocketServerTest : public ::testing::Test {
 protected:
  void Start(Handler handler, Server::Options options = {}) {
    ASSERT_OK_AND_ASSIGN(server_, Server::Start(options, std::move(handler)));
  }
  // stdin to stdout.
  void StartCat(Server::Options options = {}) {
    Start(
        [this](std::shared_ptr<ClientConnection> connection, SessionRequest) {
          return RunCopy(&log_, connection, 4, kStreamTypeStdin, kStreamTypeStdout);
        },
        options);
  }
  WebSocketClient Connect(const std::string& protocol) {
    return WebSocketClient(server_->port(), server_->Prepare(request_).value(), protocol);
  }
  bool NoConnectionsLeft() {
    return Eventually([&] { return server_->connections() == 0; });
  }

  SessionRequest request_ = {.kind = SessionRequest::Kind::kExec,
                             .id = "c1",
                             .stdin_open = true,
                             .stdout_open = true,
                             .stderr_open = true};
  HandlerLog log_;
  std::unique_ptr<Server> server_;
};

TEST_F(WebSocketServerTest, V5EchoesAndHalfCloses) {
  StartCat();
  WebSocketClient client = Connect(kV5);
  EXPECT_THAT(client.head(), StartsWith("HTTP/1.1 101 "));
  EXPECT_THAT(client.head(), HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  EXPECT_THAT(client.head(), HasSubstr("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"));
  ASSERT_OK_AND_ASSIGN(Frame first, client.Next());
  EXPECT_EQ(first.opcode, kBinary);
  EXPECT_EQ(first.payload, "\1");  // says that the session is there
  ASSERT_TRUE(client.Send(kBinary, absl::string_view("\0hello", 6)));
  EXPECT_EQ(client.Channel(1, 5).value(), "hello");
  ASSERT_TRUE(client.Send(kBinary, absl::string_view("\xff\0", 2)));
  EXPECT_EQ(client.Channel(1, 3).value(), "END");
  ASSERT_OK_AND_ASSIGN(Frame bye, client.Next());
  EXPECT_EQ(bye.opcode, kCloseFrame);
  EXPECT_EQ(bye.payload.substr(0, 2), "\x03\xe8");  // 1000, normal
  client.Send(kCloseFrame, bye.payload);
  EXPECT_THAT(client.Next(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(NoConnectionsLeft());
}

TEST_F(WebSocketServerTest, EveryOlderProtocolWorks) {
  StartCat();
  for (const char* protocol :
       {"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io", ""}) {
    WebSocketClient client = Connect(protocol);
    EXPECT_THAT(client.head(), StartsWith("HTTP/1.1 101 ")) << protocol;
    bool answered = absl::StrContains(client.head(), "Sec-WebSocket-Protocol");
    EXPECT_EQ(answered, *protocol != '\0');
    ASSERT_TRUE(client.Send(kBinary, absl::string_view("\0hi", 3)));
    EXPECT_EQ(client.Channel(1, 2).value(), "hi") << protocol;
  }
}

TEST_F(WebSocketServerTest, Base64GoesInTextMessages) {
  StartCat();
  for (const char* protocol : {"base64.channel.k8s.io", "v4.base64.channel.k8s.io"}) {
    WebSocketClient client = Connect(protocol);
    ASSERT_OK_AND_ASSIGN(Frame first, client.Next());
    EXPECT_EQ(first.opcode, kText);
    EXPECT_EQ(first.payload, "1");
    ASSERT_TRUE(client.Send(kText, absl::StrCat("0", absl::Base64Escape("hi"))));
    ASSERT_OK_AND_ASSIGN(Frame echo, client.Next());
    EXPECT_EQ(echo.payload, absl::StrCat("1", absl::Base64Escape("hi")));
  }
}

TEST_F(WebSocketServerTest, TakesOneOfSeveralProtocols) {
  StartCat();
  EXPECT_THAT(Connect("x, v4.channel.k8s.io, v5.channel.k8s.io").head(),
              HasSubstr("Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n"));
  EXPECT_THAT(Connect("x, y").head(), StartsWith("HTTP/1.1 403 "));
}

TEST_F(WebSocketServerTest, AnswersPingsAndFragments) {
  StartCat();
  WebSocketClient client = Connect(kV5);
  ASSERT_OK(client.Next());
  ASSERT_TRUE(client.Send(kPing, "beat"));
  ASSERT_OK_AND_ASSIGN(Frame pong, client.Next());
  EXPECT_EQ(pong.opcode, kPong);
  EXPECT_EQ(pong.payload, "beat");
  ASSERT_TRUE(client.raw().Send(ClientFrame(kBinary, absl::string_view("\0one ", 5), false) +
                                ClientFrame(kPing, "") + ClientFrame(0, "two")));
  EXPECT_EQ(client.Channel(1, 7).value(), "one two");
}

TEST_F(WebSocketServerTest, ForwardsPortsOverChannels) {
  request_ = {.kind = SessionRequest::Kind::kPortForward, .id = "p1", .ports = {80, 8080}};
  Start([this](std::shared_ptr<ClientConnection> connection,
               SessionRequest) -> asio::awaitable<void> {
    for (int i = 0; i < 4; ++i) {
      absl::StatusOr<std::shared_ptr<ClientStream>> stream = co_await connection->Accept();
      if (!stream.ok()) co_return;
      const Headers& headers = (*stream)->headers();
      std::string text = absl::StrCat(headers.at(kPortHeader), "/", headers.at(kRequestIdHeader),
                                      "/", headers.at(kStreamTypeHeader), ";");
      (void)co_await (*stream)->Write(text.data(), text.size());
    }
    ++log_.finished;
  });
  WebSocketClient client = Connect("v4.channel.k8s.io");
  // Each channel first tells its port, little-endian.
  EXPECT_EQ(client.Channel(0, 2 + 10).value(),
            absl::StrCat(absl::string_view("P\0", 2), "80/0/data;"));
  EXPECT_EQ(Connect("v4.channel.k8s.io").Channel(3, 15).value(),
            "\x90\x1f"
            "8080/1/error;");
  request_.ports.clear();
  EXPECT_THAT(Connect("v4.channel.k8s.io").head(), StartsWith("HTTP/1.1 400 "));
}

TEST_F(WebSocketServerTest, TunnelsSpdy) {
  request_ = {.kind = SessionRequest::Kind::kPortForward, .id = "p1"};
  Start(EchoHandler(log_));
  WebSocketClient client = Connect("SPDY/3.1+portforward.k8s.io");
  EXPECT_THAT(client.head(), HasSubstr("Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n"));
  std::string bytes;
  SpdyEncoder encoder;
  encoder.AppendHeaders(SpdyType::kSynStream, 1, false, {{"port", "80"}}, bytes);
  SpdyEncoder::AppendData(1, true, "hello", bytes);
  ASSERT_TRUE(client.Send(kBinary, bytes.substr(0, 9)));  // messages need not end where frames do
  ASSERT_TRUE(client.Send(kBinary, bytes.substr(9)));
  SpdyDecoder decoder;
  SpdyFrame frame;
  std::string echoed;
  while (!frame.fin) {
    ASSERT_OK_AND_ASSIGN(bool got, decoder.Next(frame));
    echoed.append(frame.data.data(), got ? frame.data.size() : 0);
    if (got) continue;
    ASSERT_OK_AND_ASSIGN(Frame message, client.Next());
    EXPECT_EQ(message.opcode, kBinary);
    decoder.Feed(message.payload);
  }
  EXPECT_EQ(echoed, "hello");
  client.Send(kCloseFrame, "\x03\xe8");
  EXPECT_TRUE(log_.WaitFinished(1));
  EXPECT_THAT(log_.end(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(WebSocketServerTest, HostileFramesEndTheConnection) {
  StartCat();
  std::string unmasked = {'\x82', 2, 0, 'x'};
  std::string huge = ClientFrame(kBinary, "");
  huge[1] = '\xff';
  huge.insert(2, std::string("\x7f\xff\xff\xff\xff\xff\xff\xff", 8));
  int finished = 0;
  for (const std::string& bytes :
       {unmasked, huge, ClientFrame(3, "reserved"), ClientFrame(kPing, std::string(200, 'x')),
        ClientFrame(0, "a continuation of nothing"), ClientFrame(kBinary, ""),
        ClientFrame(kBinary, "\xff"), std::string(64, '\xff'), ClientFrame(kCloseFrame, "x")}) {
    WebSocketClient client = Connect(kV5);
    ASSERT_TRUE(client.raw().Send(bytes));
    ASSERT_TRUE(log_.WaitFinished(++finished)) << finished;
    EXPECT_THAT(log_.end(), StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_TRUE(NoConnectionsLeft());
}

TEST_F(WebSocketServerTest, MessagesForChannelsThatNobodyReadsAreDropped) {
  StartCat();
  WebSocketClient client = Connect(kV5);
  for (char channel : {'\1', '\3', '\4', '\x63'}) {
    ASSERT_TRUE(client.Send(kBinary, absl::StrCat(std::string(1, channel), "lost")));
  }
  ASSERT_TRUE(client.Send(kBinary, absl::string_view("\xff\x63", 2)));
  ASSERT_TRUE(client.Send(kBinary, absl::string_view("\0kept", 5)));
  EXPECT_EQ(client.Channel(1, 4).value(), "kept");
}

TEST_F(WebSocketServerTest, ASlowClientHoldsTheHandlerBack) {
  constexpr uint64_t kTotal = 64 << 20;
  request_.stdin_open = false;  // then stdout comes first
  Start(FloodHandler(log_, kTotal));
  WebSocketClient client = Connect(kV5);
  EXPECT_TRUE(Eventually([&] { return log_.written > 0; }));
  uint64_t before;
  do {  // until the socket's buffers are full
    before = log_.written;
  } while (!Stays([&] { return log_.written == before; }, absl::Milliseconds(200)));
  EXPECT_LT(before, kTotal);
  EXPECT_EQ(client.Channel(1, kTotal).value().size(), kTotal);
  EXPECT_TRUE(log_.WaitFinished(1));
}

TEST_F(WebSocketServerTest, AHandlerThatDoesNotReadHoldsTheClientBack) {
  Start(DeafHandler(log_));
  WebSocketClient client = Connect(kV5);
  timeval limit{.tv_sec = 0, .tv_usec = 300000};
  setsockopt(client.raw().fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  std::string chunk(64 << 10, '\0');
  size_t sent = 0;
  while (sent < (64u << 20) && client.Send(kBinary, chunk)) sent += chunk.size();
  EXPECT_LT(sent, 64u << 20);
  // The server must learn of the departure although it does not read. A reset, because an end would
  // wait behind the data.
  linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(client.raw().fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  client.raw().Close();
  EXPECT_TRUE(log_.WaitFinished(1));
  EXPECT_TRUE(NoConnectionsLeft());
}

TEST_F(WebSocketServerTest, AnAbortAtAnyPointLeavesNothing) {
  StartCat();
  std::string frames = ClientFrame(kBinary, absl::string_view("\0hello", 6)) +
                       ClientFrame(kPing, "x") +
                       ClientFrame(kBinary, absl::string_view("\xff\0", 2));
  size_t descriptors = OpenDescriptors();
  for (size_t cut = 0; cut <= frames.size(); ++cut) {
    WebSocketClient client = Connect(kV5);
    client.raw().Send(frames.substr(0, cut));
    if (cut % 2 == 0) {
      linger now{.l_onoff = 1, .l_linger = 0};
      setsockopt(client.raw().fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
  }
  EXPECT_TRUE(NoConnectionsLeft());
  EXPECT_EQ(log_.running, log_.finished);
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

TEST_F(WebSocketServerTest, AClientThatNeverAnswersTheCloseIsCutOff) {
  StartCat();
  WebSocketClient client = Connect(kV5);
  ASSERT_TRUE(client.Send(kBinary, absl::string_view("\xff\0", 2)));
  EXPECT_EQ(client.Channel(1, 3).value(), "END");
  EXPECT_TRUE(NoConnectionsLeft());
}

TEST_F(WebSocketServerTest, AnIdleConnectionEnds) {
  StartCat({.idle_timeout = absl::Milliseconds(300)});
  WebSocketClient client = Connect(kV5);
  EXPECT_TRUE(log_.WaitFinished(1));
  EXPECT_TRUE(NoConnectionsLeft());
}

TEST_F(WebSocketServerTest, TrafficKeepsAConnection) {
  constexpr absl::Duration kIdle = absl::Milliseconds(500);
  StartCat({.idle_timeout = kIdle});
  EXPECT_TRUE(StaysWithTraffic(kIdle, [this] {
    auto client = std::make_shared<WebSocketClient>(Connect(kV5));
    return [client] {
      return client->Send(kBinary, absl::string_view("\0x", 2)) &&
             client->Channel(1, 1).value_or("ended") == "x";
    };
  }));
}

TEST_F(WebSocketServerTest, StoppingEndsEverySession) {
  StartCat();
  WebSocketClient busy = Connect(kV5), idle = Connect("v4.channel.k8s.io");
  ASSERT_TRUE(busy.Send(kBinary, absl::string_view("\0hello", 6)));
  EXPECT_EQ(busy.Channel(1, 5).value(), "hello");
  server_.reset();
  EXPECT_EQ(log_.running, log_.finished);
}

}  // namespace
}  // namespace crisp::streaming
