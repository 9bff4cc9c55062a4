// The server's HTTP and SPDY sides, through loopback sockets.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "absl/strings/str_cat.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "streaming/server/server.h"
#include "streaming/server/testing/test_client.h"
#include "streaming/server/testing/test_handlers.h"

namespace crisp::streaming {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kV4[] = "v4.channel.k8s.io";

class SpdyServerTest : public ::testing::Test {
 protected:
  void Start(Handler handler, Server::Options options = {}) {
    ASSERT_OK_AND_ASSIGN(server_, Server::Start(options, std::move(handler)));
  }
  std::string Url(SessionRequest::Kind kind = SessionRequest::Kind::kExec) {
    return server_->Prepare({.kind = kind, .id = "c1"}).value();
  }
  TestSpdyClient Connect() { return TestSpdyClient(server_->port(), Url(), kV4); }
  bool NoConnectionsLeft() {
    return Eventually([&] { return server_->connections() == 0; });
  }

  HandlerLog log_;
  std::unique_ptr<Server> server_;
};

TEST_F(SpdyServerTest, UrlsNameTheServer) {
  Start(EchoHandler(log_));
  EXPECT_THAT(Url(), StartsWith(absl::StrCat("http://127.0.0.1:", server_->port(), "/exec/")));
  EXPECT_THAT(Url(SessionRequest::Kind::kPortForward), HasSubstr("/portforward/"));
  ASSERT_OK_AND_ASSIGN(auto other, Server::Start({.advertise = "node.example"}, EchoHandler(log_)));
  EXPECT_THAT(other->Prepare({}).value(),
              StartsWith(absl::StrCat("http://node.example:", other->port(), "/exec/")));
}

TEST_F(SpdyServerTest, AnAddressOfAnotherFormIsRefused) {
  for (const char* address : {"", "localhost", ":0", "127.0.0.1:x", "127.0.0.1:65536"}) {
    EXPECT_THAT(Server::Start({.address = address}, EchoHandler(log_)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << address;
  }
}

TEST_F(SpdyServerTest, EchoesAndHalfCloses) {
  Start(EchoHandler(log_));
  TestSpdyClient client = Connect();
  uint32_t id = client.Open({{"streamtype", "stdin"}});
  ASSERT_OK_AND_ASSIGN(SpdyFrame reply, client.Next());
  EXPECT_EQ(reply.type, SpdyType::kSynReply);
  EXPECT_EQ(reply.stream_id, id);
  ASSERT_TRUE(client.Data(id, "hello "));
  ASSERT_TRUE(client.Data(id, "world", true));
  EXPECT_EQ(client.ReadAll(id).value(), "hello world");
}

TEST_F(SpdyServerTest, ManyStreamsDoNotMix) {
  Start(EchoHandler(log_));
  TestSpdyClient client = Connect();
  constexpr int kStreams = 300;
  std::vector<uint32_t> ids;
  for (int i = 0; i < kStreams; ++i) ids.push_back(client.Open({{"port", absl::StrCat(i)}}));
  for (uint32_t id : ids) ASSERT_TRUE(client.Data(id, std::string(1000, char('a' + id % 26))));
  for (uint32_t id : ids) ASSERT_TRUE(client.Data(id, "", true));
  for (uint32_t id : ids) {
    EXPECT_EQ(client.ReadAll(id).value(), std::string(1000, char('a' + id % 26)));
  }
}

TEST_F(SpdyServerTest, TellsTheClientWhatWasConsumed) {
  Start(EchoHandler(log_));
  TestSpdyClient client = Connect();
  uint32_t id = client.Open({});
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(client.Data(id, std::string(16 << 10, 'x'), i == 31));
  EXPECT_EQ(client.ReadAll(id).value().size(), 512u << 10);
  EXPECT_GE(client.window_updates(), 16u);  // for the stream and for the connection
}

TEST_F(SpdyServerTest, ObeysTheWindowOfAClientThatHasOne) {
  Start(FloodHandler(log_, 1 << 20));
  TestSpdyClient client = Connect();
  std::string out;
  SpdyEncoder::AppendInitialWindow(1000, out);
  ASSERT_TRUE(client.raw().Send(out));
  uint32_t id = client.Open({});
  ASSERT_OK_AND_ASSIGN(SpdyFrame reply, client.Next());
  size_t received = 0;
  while (received < 1000) {
    ASSERT_OK_AND_ASSIGN(SpdyFrame frame, client.Next());
    received += frame.data.size();
  }
  EXPECT_EQ(received, 1000u);
  // A ping's answer would come after data that was sent in spite of the window.
  out.clear();
  SpdyEncoder::AppendPing(1, out);
  ASSERT_TRUE(client.raw().Send(out));
  ASSERT_OK_AND_ASSIGN(SpdyFrame pong, client.Next());
  EXPECT_EQ(pong.type, SpdyType::kPing);
  EXPECT_EQ(log_.written, 0u);
  out.clear();
  SpdyEncoder::AppendWindowUpdate(id, 2 << 20, out);
  ASSERT_TRUE(client.raw().Send(out));
  ASSERT_OK_AND_ASSIGN(std::string rest, client.ReadAll(id));
  EXPECT_EQ(rest.size() + received, 1u << 20);
}

TEST_F(SpdyServerTest, ASlowClientHoldsTheHandlerBack) {
  constexpr uint64_t kTotal = 64 << 20;
  Start(FloodHandler(log_, kTotal));
  TestSpdyClient client = Connect();
  uint32_t id = client.Open({});
  EXPECT_TRUE(Eventually([&] { return log_.written > 0; }));
  uint64_t before;
  do {  // until the socket's buffers are full
    before = log_.written;
  } while (!Stays([&] { return log_.written == before; }, absl::Milliseconds(200)));
  EXPECT_LT(before, kTotal);
  EXPECT_EQ(client.ReadAll(id).value().size(), kTotal);
  EXPECT_TRUE(log_.WaitFinished(1));
}

TEST_F(SpdyServerTest, AHandlerThatDoesNotReadHoldsTheClientBack) {
  Start(DeafHandler(log_));
  TestSpdyClient client = Connect();
  uint32_t id = client.Open({});
  timeval limit{.tv_sec = 0, .tv_usec = 300000};
  setsockopt(client.raw().fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  std::string chunk(64 << 10, 'x');
  size_t sent = 0;
  while (sent < (64u << 20) && client.Data(id, chunk)) sent += chunk.size();
  EXPECT_LT(sent, 64u << 20);
  // The server must learn of the departure although it does not read. A reset, because an end would
  // wait behind the data.
  linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(client.raw().fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  client.raw().Close();
  EXPECT_TRUE(log_.WaitFinished(1));
  EXPECT_TRUE(NoConnectionsLeft());
}

TEST_F(SpdyServerTest, FlushesBeforeItCloses) {
  Start(FloodHandler(log_, 4 << 20));
  TestSpdyClient client = Connect();
  uint32_t id = client.Open({});
  ASSERT_TRUE(log_.WaitFinished(0));
  EXPECT_EQ(client.ReadAll(id).value().size(), 4u << 20);
  ASSERT_OK_AND_ASSIGN(SpdyFrame bye, client.Next());
  EXPECT_EQ(bye.type, SpdyType::kGoAway);
  EXPECT_EQ(bye.stream_id, id);
  EXPECT_THAT(client.Next(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(SpdyServerTest, AResetEndsOneStreamOnly) {
  Start(EchoHandler(log_));
  TestSpdyClient client = Connect();
  uint32_t first = client.Open({}), second = client.Open({});
  std::string out;
  SpdyEncoder::AppendReset(first, SpdyReset::kCancel, out);
  ASSERT_TRUE(client.raw().Send(out));
  ASSERT_TRUE(client.Data(first, "lost"));
  ASSERT_TRUE(client.Data(second, "kept", true));
  EXPECT_EQ(client.ReadAll(second).value(), "kept");
  EXPECT_EQ(log_.finished, 0);
}

TEST_F(SpdyServerTest, AGoAwayEndsTheConnectionWithItsLastStream) {
  Start(EchoHandler(log_));
  TestSpdyClient client = Connect();
  uint32_t id = client.Open({});
  std::string out;
  SpdyEncoder::AppendGoAway(0, out);
  ASSERT_TRUE(client.raw().Send(out));
  ASSERT_TRUE(client.Data(id, "last", true));
  EXPECT_EQ(client.ReadAll(id).value_or("last"), "last");
  EXPECT_TRUE(log_.WaitFinished(1));
  EXPECT_THAT(log_.end(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(SpdyServerTest, HostileFramesEndTheConnection) {
  Start(EchoHandler(log_));
  std::string even, repeated;
  SpdyEncoder encoder;
  encoder.AppendHeaders(SpdyType::kSynStream, 2, false, {}, even);
  SpdyEncoder other;
  other.AppendHeaders(SpdyType::kSynStream, 1, false, {}, repeated);
  other.AppendHeaders(SpdyType::kSynStream, 1, false, {}, repeated);
  std::string window;
  SpdyEncoder::AppendWindowUpdate(0, 0x7fffffff, window);
  int finished = 0;
  for (const std::string& bytes :
       {even, repeated, window, std::string(64, '\xff'), std::string(64, '\0')}) {
    TestSpdyClient client = Connect();
    ASSERT_TRUE(client.raw().Send(bytes));
    ASSERT_TRUE(log_.WaitFinished(++finished));
    EXPECT_THAT(log_.end(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_TRUE(NoConnectionsLeft());
}

TEST_F(SpdyServerTest, APingFloodWithoutReadingIsBounded) {
  Start(EchoHandler(log_));
  TestSpdyClient client = Connect();
  timeval limit{.tv_sec = 0, .tv_usec = 300000};
  setsockopt(client.raw().fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  std::string pings;
  for (uint32_t i = 0; i < 4096; ++i) SpdyEncoder::AppendPing(1, pings);
  size_t sent = 0;
  while (sent < (64u << 20) && client.raw().Send(pings)) sent += pings.size();
  EXPECT_LT(sent, 64u << 20);
  client.raw().Close();
  EXPECT_TRUE(log_.WaitFinished(1));
}

TEST_F(SpdyServerTest, ATokenIsForOneUse) {
  Start(EchoHandler(log_));
  std::string url = Url();
  TestSpdyClient client(server_->port(), url, kV4);
  TestClient again(server_->port());
  EXPECT_THAT(again.Request(PathOfUrl(url), "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n").value(),
              StartsWith("HTTP/1.1 404 "));
}

TEST_F(SpdyServerTest, AnswersWhatItCannotServe) {
  Start(EchoHandler(log_), {.token_cap = 6});
  auto ask = [&](const std::string& path, const std::string& lines, const char* method = "POST") {
    return TestClient(server_->port()).Request(path, lines, method).value_or("none");
  };
  const std::string spdy = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
  EXPECT_THAT(ask("/exec/nonsense", spdy), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask("/", ""), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask(PathOfUrl(Url()), ""), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(PathOfUrl(Url()), spdy), StartsWith("HTTP/1.1 400 "));
  std::string refused = ask(PathOfUrl(Url()), spdy + "X-Stream-Protocol-Version: v9\r\n");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(refused, HasSubstr("X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\n"));
  EXPECT_THAT(ask(PathOfUrl(Url()), spdy, "PUT"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(ask("/exec/x", "X: " + std::string(40000, 'x') + "\r\n"),
              StartsWith("HTTP/1.1 400 "));
  TestClient garbage(server_->port());
  ASSERT_TRUE(garbage.Send("\x16\x03\x01\x02\r\n\r\n"));
  EXPECT_THAT(garbage.ReceiveHead().value(), StartsWith("HTTP/1.1 400 "));
  for (int i = 0; i < 5; ++i) EXPECT_OK(server_->Prepare({}));
  EXPECT_THAT(server_->Prepare({}), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(SpdyServerTest, AnswersConnectionsBeyondTheCapWith503) {
  Start(EchoHandler(log_), {.connection_cap = 1});
  TestSpdyClient first = Connect();
  TestClient second(server_->port());
  EXPECT_THAT(second.Request(PathOfUrl(Url()), "").value(), StartsWith("HTTP/1.1 503 "));
}

TEST_F(SpdyServerTest, ClientsWithoutATokenHoldNobodyUp) {
  Start(EchoHandler(log_), {.connection_cap = 4, .stranger_cap = 8});
  TestSpdyClient honest = Connect();
  std::vector<std::unique_ptr<TestClient>> strangers;
  for (int i = 0; i < 100; ++i) {
    strangers.push_back(std::make_unique<TestClient>(server_->port()));
    (void)strangers.back()->Send("POST /exec/");
    // One at a time, so that it is the order of their arrival that counts.
    ASSERT_TRUE(Eventually([&] { return server_->connections() <= 9; }));
  }
  // The oldest were dropped, and not for their lateness.
  EXPECT_NE(strangers.front()->Receive().value_or(""), "HTTP");
  TestSpdyClient second = Connect();
  for (TestSpdyClient* client : {&honest, &second}) {
    const uint32_t id = client->Open({});
    ASSERT_OK(client->Next());
    ASSERT_TRUE(client->Data(id, "still here", true));
    EXPECT_EQ(client->ReadAll(id).value(), "still here");
  }
}

TEST_F(SpdyServerTest, ARequestMustComeSoon) {
  Start(EchoHandler(log_), {.request_timeout = absl::Milliseconds(100)});
  TestClient client(server_->port());
  ASSERT_TRUE(client.Send("POST /exec"));
  EXPECT_EQ(client.Receive().value_or(""), "");
  EXPECT_TRUE(NoConnectionsLeft());
}

TEST_F(SpdyServerTest, APodTakesNoMoreThanItsShare) {
  Start(EchoHandler(log_), {.connection_cap = 10, .pod_cap = 2});
  const auto url_of = [&](const std::string& pod) {
    return server_->Prepare({.kind = SessionRequest::Kind::kPortForward, .id = pod, .pod_id = pod})
        .value();
  };
  constexpr char kForward[] = "portforward.k8s.io";
  std::vector<std::unique_ptr<TestSpdyClient>> idle;
  for (int i = 0; i < 2; ++i) {
    idle.push_back(std::make_unique<TestSpdyClient>(server_->port(), url_of("greedy"), kForward));
  }
  const std::string url = url_of("greedy");
  TestClient third(server_->port());
  EXPECT_THAT(third.Request(PathOfUrl(url), "").value(), StartsWith("HTTP/1.1 503 "));
  third.Close();
  TestSpdyClient other(server_->port(), url_of("other"), kForward);
  // The refused URL is good for another try, and a session that has ended gives its place back.
  idle.pop_back();
  ASSERT_TRUE(Eventually([&] { return server_->connections() <= 2; }));
  TestSpdyClient again(server_->port(), url, kForward);
}

TEST_F(SpdyServerTest, AClientThatDoesNotUpgradeIsCutOff) {
  Start(EchoHandler(log_), {.handshake_timeout = absl::Milliseconds(100)});
  TestClient client(server_->port());
  ASSERT_TRUE(client.Send("POST /exec"));
  EXPECT_EQ(client.Receive().value_or(""), "");
  EXPECT_TRUE(NoConnectionsLeft());
}

TEST_F(SpdyServerTest, AnIdleConnectionEnds) {
  Start(EchoHandler(log_), {.idle_timeout = absl::Milliseconds(300)});
  TestSpdyClient client = Connect();
  (void)client.Open({});
  ASSERT_OK(client.Next());
  EXPECT_TRUE(log_.WaitFinished(1));
  EXPECT_THAT(log_.end(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(SpdyServerTest, TrafficKeepsAConnection) {
  constexpr absl::Duration kIdle = absl::Milliseconds(500);
  Start(EchoHandler(log_), {.idle_timeout = kIdle});
  EXPECT_TRUE(StaysWithTraffic(kIdle, [this] {
    auto client = std::make_shared<TestSpdyClient>(server_->port(), Url(), kV4);
    const uint32_t id = client->Open({});
    EXPECT_OK(client->Next());
    return [client, id] { return client->Data(id, "x") && client->Next().ok(); };
  }));
}

TEST_F(SpdyServerTest, AnAbortAtAnyPointLeavesNothing) {
  Start(EchoHandler(log_));
  std::string head = absl::StrCat("Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n",
                                  "X-Stream-Protocol-Version: ", kV4, "\r\n");
  std::string frames;
  SpdyEncoder encoder;
  encoder.AppendHeaders(SpdyType::kSynStream, 1, false, {{"streamtype", "stdin"}}, frames);
  SpdyEncoder::AppendData(1, false, std::string(100, 'x'), frames);
  SpdyEncoder::AppendData(1, true, "", frames);
  size_t descriptors = OpenDescriptors();
  for (size_t cut = 0; cut <= frames.size(); ++cut) {
    TestClient client(server_->port());
    if (cut % 3 != 0) {
      ASSERT_OK(client.Request(PathOfUrl(Url()), head));
      ASSERT_TRUE(client.Send(frames.substr(0, cut)));
    } else {
      std::string request = absl::StrCat("POST ", PathOfUrl(Url()), " HTTP/1.1\r\n", head, "\r\n");
      client.Send(request.substr(0, cut));
    }
    if (cut % 2 == 0) {  // a reset, not an end
      linger now{.l_onoff = 1, .l_linger = 0};
      setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
  }
  EXPECT_TRUE(NoConnectionsLeft());
  EXPECT_EQ(log_.running, log_.finished);
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

TEST_F(SpdyServerTest, StoppingEndsEverySession) {
  size_t descriptors = OpenDescriptors();
  Start(EchoHandler(log_));
  {
    TestSpdyClient busy = Connect(), idle = Connect();
    TestClient silent(server_->port());
    uint32_t id = busy.Open({});
    ASSERT_TRUE(busy.Data(id, "x"));
    ASSERT_OK(busy.Next());
    server_.reset();
    EXPECT_EQ(log_.running, log_.finished);
    EXPECT_THAT(log_.end(), StatusIs(absl::StatusCode::kCancelled));
  }
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

TEST_F(SpdyServerTest, AHandlerThatThrowsEndsItsConnectionOnly) {
  Start([](std::shared_ptr<ClientConnection> connection, SessionRequest) -> asio::awaitable<void> {
    (void)co_await connection->Accept();
    throw std::runtime_error("a mistake");
  });
  TestSpdyClient client = Connect(), other = Connect();
  client.Open({});
  while (client.Next().ok()) {
  }
  uint32_t id = other.Open({});
  EXPECT_EQ(other.Next().value_or(SpdyFrame{.stream_id = id}).stream_id, id);
  EXPECT_TRUE(NoConnectionsLeft());
}

}  // namespace
}  // namespace crisp::streaming
