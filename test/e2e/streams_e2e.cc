// Exec, attach and port-forward through a real daemon, pod and container, by clients that behave
// and by many that do not. The protocols' details are the business of streaming/'s own tests.
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "node_test.h"
#include "streaming/server/testing/test_client.h"

namespace crisp::e2e {
namespace {

using streaming::TestClient;
using streaming::TestSpdyClient;
using ::testing::HasSubstr;

constexpr char kV4[] = "v4.channel.k8s.io";
constexpr int kClients = 12;  // that misbehave at a time

struct Url {
  std::string whole;
  int port = 0;
  std::string path;
};

Url Split(const std::string& url) {
  Url split{.whole = url, .path = streaming::PathOfUrl(url)};
  const size_t colon = url.rfind(':');
  EXPECT_TRUE(
      absl::SimpleAtoi(url.substr(colon + 1, url.find('/', colon) - colon - 1), &split.port))
      << url;
  return split;
}

class Streams : public NodeTest {
 protected:
  static void SetUpTestSuite() {
    // URLs that nobody uses are to be forgotten faster than they come.
    StartNode("streaming: {url_timeout: 2s}\n");
  }
  static Url Exec(cri::RuntimeService::Stub& stub,
                  const std::string& container,
                  std::vector<std::string> argv,
                  bool with_stdin = false) {
    cri::ExecRequest request;
    request.set_container_id(container);
    for (std::string& word : argv) request.add_cmd(std::move(word));
    request.set_stdin(with_stdin);
    request.set_stdout(true);
    request.set_stderr(true);
    grpc::ClientContext context;
    cri::ExecResponse response;
    const grpc::Status status = stub.Exec(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return Split(response.url());
  }
  static Url Attach(cri::RuntimeService::Stub& stub,
                    const std::string& container,
                    bool with_stdin) {
    cri::AttachRequest request;
    request.set_container_id(container);
    request.set_stdin(with_stdin);
    request.set_stdout(true);
    request.set_stderr(true);
    grpc::ClientContext context;
    cri::AttachResponse response;
    const grpc::Status status = stub.Attach(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return Split(response.url());
  }
  static Url PortForward(cri::RuntimeService::Stub& stub, const std::string& pod) {
    cri::PortForwardRequest request;
    request.set_pod_sandbox_id(pod);
    grpc::ClientContext context;
    cri::PortForwardResponse response;
    const grpc::Status status = stub.PortForward(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return Split(response.url());
  }
};

// A SPDY session of exec or attach.
struct Session {
  Session(const Url& url, bool with_stdin) : spdy(url.port, url.whole, kV4) {
    error = spdy.Open({{"streamtype", "error"}});
    if (with_stdin) in = spdy.Open({{"streamtype", "stdin"}});
    out = spdy.Open({{"streamtype", "stdout"}});
    err = spdy.Open({{"streamtype", "stderr"}});
  }
  // Reads from stdout until it holds `text`.
  std::string ReadUntil(const std::string& text) {
    std::string got;
    while (!absl::StrContains(got, text)) {
      absl::StatusOr<streaming::SpdyFrame> frame = spdy.Next();
      if (!frame.ok()) {
        ADD_FAILURE() << frame.status() << " after: " << got.substr(0, 500);
        break;
      }
      if (frame->type == streaming::SpdyType::kData && frame->stream_id == out)
        absl::StrAppend(&got, frame->data);
    }
    return got;
  }

  TestSpdyClient spdy;
  uint32_t error = 0, in = 0, out = 0, err = 0;
};

TEST_F(Streams, EveryAttacherHasACopyAndASlowOneHoldsUpNobody) {
  const auto config = node_->PodConfig("attach");
  const std::string pod = node_->RunPod(config);
  // Many lines are more than all the buffers on the way to a client.
  const std::string id =
      node_->Run(pod, config,
                 node_->ContainerConfig(
                     "c",
                     {"sh", "-c",
                      "while read x; do echo \"<$x>\"; head -c 300000 /dev/zero | tr '\\0' .; "
                      "echo \"end of $x\"; done"},
                     [](auto& c) { c.set_stdin(true); }));
  cri::RuntimeService::Stub& stub = daemon_->runtime();
  Session writer(Attach(stub, id, true), true);
  Session reader(Attach(stub, id, false), false);
  Session slow(Attach(stub, id, false), false);  // reads nothing from here on
  // An attachment stands when its output comes; the first lines may be before that.
  for (Session* session : {&writer, &reader}) {
    ASSERT_TRUE(writer.spdy.Data(writer.in, "hello\n"));
    EXPECT_THAT(session->ReadUntil("end of hello"), HasSubstr("..."));
  }
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(writer.spdy.Data(writer.in, absl::StrCat("line", i, "\n")));
    EXPECT_THAT(writer.ReadUntil(absl::StrCat("end of line", i)), HasSubstr("..."));
    EXPECT_THAT(reader.ReadUntil(absl::StrCat("end of line", i)), HasSubstr("..."));
  }
  EXPECT_EQ(node_->Status(id).state(), cri::CONTAINER_RUNNING);
  EXPECT_THAT(slow.spdy.ReadAll(slow.error).value_or("none"),
              HasSubstr("faster than this client took it"));
}

TEST_F(Streams, StdinOnceEndsWithItsFirstAttacherAndOtherStdinDoesNot) {
  const auto config = node_->PodConfig("stdin");
  const std::string pod = node_->RunPod(config);
  for (const bool once : {true, false}) {
    const std::string id = node_->Run(
        pod, config, node_->ContainerConfig(once ? "once" : "always", {"cat"}, [once](auto& c) {
          c.set_stdin(true);
          c.set_stdin_once(once);
        }));
    Session session(Attach(daemon_->runtime(), id, true), true);
    ASSERT_TRUE(session.spdy.Data(session.in, "all\n"));
    session.ReadUntil("all");
    ASSERT_TRUE(session.spdy.Data(session.in, "", true));
    if (once) {
      EXPECT_EQ(node_->Await(id, cri::CONTAINER_EXITED).exit_code(), 0);
      continue;
    }
    Session second(Attach(daemon_->runtime(), id, true), true);
    ASSERT_TRUE(second.spdy.Data(second.in, "again\n"));
    second.ReadUntil("again");
    EXPECT_EQ(node_->Status(id).state(), cri::CONTAINER_RUNNING);
  }
}

TEST_F(Streams, ForwardedPortsHalfCloseAndFailOneByOne) {
  const auto config = node_->PodConfig("forward");
  const std::string pod = node_->RunPod(config);
  // Answers when it has heard everything: after the client's end of stream.
  const std::string id =
      node_->Run(pod, config,
                 node_->ContainerConfig("c", {"sh", "-c",
                                              "nc -l -p 8080 -e sh -c 'n=$(cat | wc -c); echo "
                                              "heard $n' & nc -ll -p 8081 -e cat & wait"}));
  ASSERT_EQ(node_
                ->Exec(id, {"sh", "-c",
                            "until grep -q :1F90 /proc/net/tcp* && grep -q :1F91 /proc/net/tcp*; "
                            "do sleep 0.05; done"})
                .exit_code,
            0);
  const Url url = PortForward(daemon_->runtime(), pod);
  TestSpdyClient client(url.port, url.whole, "portforward.k8s.io");
  const auto open = [&client](const char* type, const char* port, const char* request) {
    return client.Open({{"streamtype", type}, {"port", port}, {"requestid", request}});
  };
  const uint32_t closed_error = open("error", "9", "1");
  const uint32_t closed_data = open("data", "9", "1");
  const uint32_t error = open("error", "8080", "2");
  const uint32_t data = open("data", "8080", "2");
  EXPECT_THAT(client.ReadAll(closed_error).value_or("none"), HasSubstr("9"));
  (void)client.ReadAll(closed_data);
  ASSERT_TRUE(client.Data(data, std::string(100000, 'x')));
  ASSERT_TRUE(client.Data(data, "", true));
  EXPECT_EQ(client.ReadAll(data).value_or("none"), "heard 100000\n");
  EXPECT_EQ(client.ReadAll(error).value_or("none"), "");
  // And many at a time, each of which the server has taken before the next one comes.
  std::vector<uint32_t> streams;
  for (int i = 10; i < 60; ++i) {
    const std::string request = absl::StrCat(i);
    (void)open("error", "8081", request.c_str());
    streams.push_back(open("data", "8081", request.c_str()));
    ASSERT_TRUE(client.Data(streams.back(), "here"));
    std::string echo;
    while (echo != "here") {
      ASSERT_OK_AND_ASSIGN(const streaming::SpdyFrame frame, client.Next());
      if (frame.stream_id == streams.back()) absl::StrAppend(&echo, frame.data);
    }
  }
  for (const uint32_t stream : streams)
    ASSERT_TRUE(client.Data(stream, absl::StrCat("bye ", stream), true));
  for (const uint32_t stream : streams) {
    EXPECT_EQ(client.ReadAll(stream).value_or("none"), absl::StrCat("bye ", stream));
  }
}

// The resources of a process, as its /proc says.
struct Held {
  int64_t descriptors = 0, threads = 0, kilobytes = 0;
};

Held Look(pid_t pid) {
  Held held;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/fd"))) {
    (void)entry;
    ++held.descriptors;
  }
  const std::string status = ReadFile(absl::StrCat("/proc/", pid, "/status")).value_or("");
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() > 1 && words[0] == "Threads:") (void)absl::SimpleAtoi(words[1], &held.threads);
    if (words.size() > 1 && words[0] == "VmRSS:") (void)absl::SimpleAtoi(words[1], &held.kilobytes);
  }
  return held;
}

// By how many threads gRPC's pool may differ from one quiet moment to another.
constexpr int64_t kSpareThreads = 12;

// Until descriptors and threads are no more than before, for what is being cleaned up in the
// background: gRPC's pool lets its threads go ten seconds after the last call.
Held Settle(pid_t pid, const Held& before) {
  Held held;
  (void)Eventually([&] {
    held = Look(pid);
    return held.descriptors <= before.descriptors && held.threads <= before.threads + kSpareThreads;
  });
  return held;
}

pid_t ParentOf(pid_t pid) {
  const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat")).value_or("");
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
  int parent = 0;
  return fields.size() > 1 && absl::SimpleAtoi(fields[1], &parent) ? parent : 0;
}

// Ends with a reset instead of a polite close.
void Abort(TestClient& client) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  client.Close();
}

constexpr char kUpgradeSpdy[] =
    "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
constexpr char kUpgradeWebSocket[] =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n";

// One session that fails or is given up, of a kind that `number` picks.
class Misbehaviour {
 public:
  Misbehaviour(cri::RuntimeService::Stub& stub, int port, std::string pod, std::string container)
      : stub_(stub), port_(port), pod_(std::move(pod)), container_(std::move(container)) {}

  void Run(
      int number,
      Url (*exec)(cri::RuntimeService::Stub&, const std::string&, std::vector<std::string>, bool),
      Url (*attach)(cri::RuntimeService::Stub&, const std::string&, bool),
      Url (*forward)(cri::RuntimeService::Stub&, const std::string&)) {
    switch (number % 12) {
      case 0: {  // a token that never was
        TestClient client(port_);
        (void)client.Request("/exec/AAAAAAAAAAAAAAAAAAAAAA", kUpgradeSpdy);
        return;
      }
      case 1:
        return Ask(exec(stub_, container_, {"true"}, false), "");
      case 2:
        return Ask(exec(stub_, container_, {"true"}, false),
                   "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v0\r\n");
      case 3: {  // half a request
        const Url url = exec(stub_, container_, {"true"}, false);
        TestClient client(url.port);
        client.Send(absl::StrCat("POST ", url.path, " HTT"));
        return number % 2 == 0 ? client.Close() : Abort(client);
      }
      case 4: {  // gone before its streams
        const Url url = exec(stub_, container_, {"cat"}, true);
        TestSpdyClient client(url.port, url.whole, kV4);
        return Abort(client.raw());
      }
      case 5: {  // a program that is not there
        Session session(exec(stub_, container_, {"/no/such/program"}, false), false);
        EXPECT_THAT(session.spdy.ReadAll(session.error).value_or(""), HasSubstr("no/such/program"));
        return;
      }
      case 6: {  // gone in the middle of its input
        Session session(exec(stub_, container_, {"cat"}, true), true);
        session.spdy.Data(session.in, "some\n");
        if (number % 24 < 12) session.ReadUntil("some");
        return Abort(session.spdy.raw());
      }
      case 7: {  // gone in the middle of a flood
        Session session(exec(stub_, container_, {"yes"}, false), false);
        session.ReadUntil("y\ny\n");
        return Abort(session.spdy.raw());
      }
      case 8: {
        Session session(attach(stub_, container_, number % 24 < 12), number % 24 < 12);
        return Abort(session.spdy.raw());
      }
      case 9: {  // nobody listens
        const Url url = forward(stub_, pod_);
        TestSpdyClient client(url.port, url.whole, "portforward.k8s.io");
        const uint32_t error =
            client.Open({{"streamtype", "error"}, {"port", "9"}, {"requestid", "0"}});
        (void)client.Open({{"streamtype", "data"}, {"port", "9"}, {"requestid", "0"}});
        if (number % 24 < 12) {
          EXPECT_THAT(client.ReadAll(error).value_or(""), HasSubstr("9"));
        }
        return Abort(client.raw());
      }
      case 10: {  // half a pair, then what is no frame
        const Url url = forward(stub_, pod_);
        TestSpdyClient client(url.port, url.whole, "portforward.k8s.io");
        (void)client.Open({{"streamtype", "data"}, {"port", "9"}, {"requestid", "0"}});
        client.raw().Send(std::string(64, '\xff'));
        while (client.Next().ok()) {
        }
        return;
      }
      default: {  // a WebSocket that breaks the protocol, or off
        const Url url = exec(stub_, container_, {"cat"}, true);
        TestClient client(url.port);
        EXPECT_THAT(client.Request(url.path, kUpgradeWebSocket, "GET").value_or(""),
                    HasSubstr(" 101 "));
        if (number % 24 < 12) client.Send(std::string("\x82\x05hello", 7));  // not masked
        return Abort(client);
      }
    }
  }

 private:
  // A request that is answered with an error.
  static void Ask(const Url& url, const std::string& lines) {
    TestClient client(url.port);
    EXPECT_THAT(client.Request(url.path, lines).value_or(""), HasSubstr("HTTP/1.1 40"));
  }

  cri::RuntimeService::Stub& stub_;
  const int port_;
  const std::string pod_, container_;
};

TEST_F(Streams, FailedAndAbortedSessionsLeaveNothing) {
  const char* const wanted = std::getenv("CRISP_STREAM_SESSIONS");
  const int sessions = wanted != nullptr ? std::atoi(wanted) : 1200;
  const int warm_up = std::max(sessions / 20, 400);
  const auto config = node_->PodConfig("soak");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(
      pod, config, node_->ContainerConfig("c", {"cat"}, [](auto& c) { c.set_stdin(true); }));
  const int port = Exec(daemon_->runtime(), id, {"true"}).port;  // the URL is for nobody
  const auto run = [&](int from, int to) {
    std::atomic<int> next = from;
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([&] {
        const auto stub = daemon_->NewRuntimeStub();
        Misbehaviour misbehaviour(*stub, port, pod, id);
        for (int number = next++; number < to; number = next++)
          misbehaviour.Run(number, Exec, Attach, PortForward);
      });
    }
    for (std::thread& client : clients) client.join();
  };
  const Held idle = Look(daemon_->pid());
  run(0, warm_up);
  cri::ContainerStatusRequest verbose;
  verbose.set_container_id(id);
  verbose.set_verbose(true);
  cri::ContainerStatusResponse status;
  grpc::ClientContext context;
  ASSERT_TRUE(daemon_->runtime().ContainerStatus(&context, verbose, &status).ok());
  ASSERT_OK_AND_ASSIGN(const Json info, ParseJson(status.info().at("info")));
  const pid_t shim = ParentOf(info["pid"].get<pid_t>());
  ASSERT_GT(shim, 1);
  // The clients' gRPC connections are gone with them.
  const Held daemon_before = Settle(daemon_->pid(), idle), shim_before = Look(shim);
  run(warm_up, warm_up + sessions);
  const Held daemon_after = Settle(daemon_->pid(), daemon_before);
  const Held shim_after = Settle(shim, shim_before);
  for (const auto& [name, before, after] : {std::tuple{"crispd", daemon_before, daemon_after},
                                            {"crisp-shim", shim_before, shim_after}}) {
    std::cout << name << " after " << warm_up << " and " << warm_up + sessions
              << " sessions: " << before.descriptors << " and " << after.descriptors
              << " descriptors, " << before.threads << " and " << after.threads << " threads, "
              << before.kilobytes << " and " << after.kilobytes << " kB\n";
    EXPECT_LE(after.descriptors, before.descriptors) << name;
    EXPECT_LE(after.threads, before.threads + kSpareThreads) << name;
    EXPECT_LE(after.kilobytes, before.kilobytes + 12 * 1024) << name;
  }
  // Only the container's own process is left of all that was started.
  EXPECT_EQ(node_->Shell(id, "ls -d /proc/[0-9]* | wc -l"), "4") << "cat, the shell, ls and wc";
  EXPECT_EQ(node_->Status(id).state(), cri::CONTAINER_RUNNING);
}

}  // namespace
}  // namespace crisp::e2e
