#include "streaming/session/sessions.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <mutex>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/testing/status_matchers.h"
#include "base/testing/test_threads.h"
#include "streaming/session/testing/fake_client.h"
#include "streaming/wire/outcome.h"

extern char** environ;

namespace crisp::streaming {
namespace {

using ::testing::HasSubstr;

// A real process of the host, in a process group of its own.
class HostProcess : public Process {
 public:
  static absl::StatusOr<std::shared_ptr<Process>> Start(const SessionRequest& request,
                                                        const SessionStdio& stdio) {
    auto process = std::make_shared<HostProcess>();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const int fds[] = {stdio.stdin_fd, stdio.stdout_fd, stdio.stderr_fd};
    for (int i = 0; i < 3; ++i) {
      if (fds[i] < 0)
        posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
      else
        posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    }
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    std::vector<char*> argv;
    for (const std::string& word : request.argv) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const int error =
        posix_spawnp(&process->pid_, argv[0], &actions, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) return ErrnoError(error, absl::StrCat("execute ", request.argv[0]));
    process->waiter_ = std::thread([p = process.get()] {
      int status = 0;
      waitpid(p->pid_, &status, 0);
      p->code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      (void)eventfd_write(p->exited_.get(), 1);
    });
    return process;
  }
  ~HostProcess() override {
    if (!waiter_.joinable()) return;  // it never started
    (void)kill(-pid_, SIGKILL);
    waiter_.join();
  }
  int exited_fd() const override { return exited_.get(); }
  std::optional<int> exit_code() const override {
    return code_ < 0 ? std::nullopt : std::optional<int>(code_.load());
  }
  absl::Status Resize(uint16_t rows, uint16_t columns) override {
    size = rows * 1000 + columns;
    return absl::OkStatus();
  }
  absl::Status Kill() override {
    killed = true;
    return kill(-pid_, SIGKILL) == 0 ? absl::OkStatus() : ErrnoError(errno, "kill");
  }
  std::atomic<int> size{0};
  std::atomic<bool> killed{false};

 private:
  pid_t pid_ = 0;
  UniqueFd exited_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<int> code_{-1};
  std::thread waiter_;
};

class HostBackend : public Backend {
 public:
  absl::StatusOr<std::shared_ptr<Process>> StartExec(const SessionRequest& request,
                                                     const SessionStdio& stdio) override {
    auto process = HostProcess::Start(request, stdio);
    const std::lock_guard lock(mutex_);
    if (process.ok()) last_ = std::static_pointer_cast<HostProcess>(*process);
    return process;
  }
  absl::Status Attach(const SessionRequest&, const SessionStdio& stdio) override {
    if (!attach_error.ok()) return attach_error;
    in.reset(fcntl(stdio.stdin_fd, F_DUPFD_CLOEXEC, 0));
    out.reset(fcntl(stdio.stdout_fd, F_DUPFD_CLOEXEC, 0));
    err.reset(fcntl(stdio.stderr_fd, F_DUPFD_CLOEXEC, 0));
    attached = true;
    return absl::OkStatus();
  }
  absl::Status WhyDetached(const std::string&) override { return why_detached; }
  absl::Status ResizeContainer(const std::string&, uint16_t rows, uint16_t columns) override {
    size = rows * 1000 + columns;
    return absl::OkStatus();
  }
  absl::StatusOr<UniqueFd> OpenPodSocket(const std::string&, int family) override {
    return UniqueFd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
  // The process started last, or null. A worker of the sessions may be starting it just now.
  std::shared_ptr<HostProcess> last() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }
  absl::Status attach_error, why_detached;
  UniqueFd in, out, err;
  std::atomic<bool> attached{false};
  std::atomic<int> size{0};

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<HostProcess> last_;
};

class SessionsTest : public ::testing::Test {
 protected:
  SessionsTest() { signal(SIGPIPE, SIG_IGN); }
  ~SessionsTest() override {
    if (!done_) client_->Abort();
    RunUntil([&] { return done_; });
  }

  void Start(SessionRequest request) {
    done_ = false;
    asio::co_spawn(context_, sessions_.handler()(client_, std::move(request)),
                   [this](std::exception_ptr thrown) {
                     done_ = true;
                     if (thrown) ADD_FAILURE() << "the session threw";
                   });
  }
  template <typename Predicate>
  void RunUntil(Predicate predicate) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (!predicate()) {
      ASSERT_LT(absl::Now(), deadline) << "did not come to pass";
      context_.restart();
      context_.run_for(std::chrono::milliseconds(1));
    }
  }
  void RunToEnd() {
    RunUntil([&] { return done_; });
  }
  static SessionRequest Shell(const std::string& script) {
    return {.id = "c", .argv = {"sh", "-c", script}, .stdout_open = true, .stderr_open = true};
  }
  void OpenOutputs() {
    error_ = client_->Open("error");
    out_ = client_->Open("stdout");
    err_ = client_->Open("stderr");
  }
  Json Status() { return ParseJson(error_->received).value_or(Json()); }

  HostBackend backend_;
  metrics::Registry metrics_;
  Sessions sessions_{
      backend_, metrics_, {.creation_timeout = absl::Milliseconds(200), .pair_cap = 8}};
  asio::io_context context_;
  std::shared_ptr<FakeClient> client_ = std::make_shared<FakeClient>(context_.get_executor());
  std::shared_ptr<FakeStream> error_, in_, out_, err_;
  bool done_ = true;
};

TEST_F(SessionsTest, ExecGivesBothOutputsAndTheExitCode) {
  Start(Shell("echo out; echo err >&2; exit 42"));
  OpenOutputs();
  RunToEnd();
  EXPECT_EQ(out_->received, "out\n");
  EXPECT_EQ(err_->received, "err\n");
  EXPECT_TRUE(out_->write_closed && err_->write_closed && error_->write_closed);
  EXPECT_EQ(Status()["details"]["causes"][0]["message"], "42");
  EXPECT_TRUE(client_->closed);
  EXPECT_FALSE(client_->aborted);
}

TEST_F(SessionsTest, ExecFeedsStdinToItsEnd) {
  SessionRequest request = Shell("cat; echo end >&2");
  request.stdin_open = true;
  Start(request);
  OpenOutputs();
  in_ = client_->Open("stdin");
  const std::string all(300000, 'x');
  in_->Send(all);
  in_->HalfClose();
  RunToEnd();
  EXPECT_EQ(out_->received, all);
  EXPECT_EQ(err_->received, "end\n");
  EXPECT_EQ(Status()["status"], "Success");
}

TEST_F(SessionsTest, ExecThatReadsNoStdinStillEnds) {
  SessionRequest request = Shell("exec <&-; echo hi");
  request.stdin_open = true;
  Start(request);
  OpenOutputs();
  in_ = client_->Open("stdin");
  in_->Send(std::string(1 << 20, 'x'));
  RunToEnd();
  EXPECT_EQ(out_->received, "hi\n");
  EXPECT_EQ(Status()["status"], "Success");
}

TEST_F(SessionsTest, ExecErrorReachesTheClient) {
  SessionRequest request = Shell("");
  request.argv = {"/no/such/program"};
  Start(request);
  OpenOutputs();
  RunToEnd();
  EXPECT_EQ(Status()["reason"], "InternalError");
  EXPECT_THAT(Status()["message"].get<std::string>(), HasSubstr("/no/such/program"));
}

TEST_F(SessionsTest, ExecHoldsBackForASlowClientAndLosesNothing) {
  Start(Shell("head -c 500000 /dev/zero"));
  OpenOutputs();
  out_->LimitWindow(1000);
  RunUntil([&] { return out_->received.size() == 1000; });
  context_.restart();
  context_.run_for(std::chrono::milliseconds(100));
  EXPECT_EQ(out_->received.size(), 1000u);
  EXPECT_FALSE(done_);
  out_->Grow(1u << 30);
  RunToEnd();
  EXPECT_EQ(out_->received.size(), 500000u);
}

TEST_F(SessionsTest, ExecOwesWhatWasWrittenAndNotWhatAGrandchildAdds) {
  Start(Shell("(sleep 5; echo late) & head -c 50000 /dev/zero"));
  OpenOutputs();
  out_->LimitWindow(10);
  RunUntil([&] { return backend_.last() != nullptr && backend_.last()->exit_code().has_value(); });
  context_.restart();
  context_.run_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(done_) << "output is still owed";
  out_->Grow(1u << 30);
  const absl::Time start = absl::Now();
  RunToEnd();
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  EXPECT_EQ(out_->received.size(), 50000u);
  EXPECT_EQ(Status()["status"], "Success");
}

TEST_F(SessionsTest, ExecIsKilledWhenItsClientLeaves) {
  Start(Shell("echo up; sleep 100"));
  OpenOutputs();
  RunUntil([&] { return out_->received == "up\n"; });
  client_->Leave();
  RunToEnd();
  EXPECT_TRUE(backend_.last()->killed);
}

TEST_F(SessionsTest, ExecThatHasEndedIsNotKilledWhenItsClientLeaves) {
  Start(Shell("head -c 50000 /dev/zero"));
  OpenOutputs();
  out_->LimitWindow(10);
  RunUntil([&] { return backend_.last() != nullptr && backend_.last()->exit_code().has_value(); });
  context_.restart();
  context_.run_for(std::chrono::milliseconds(50));
  client_->Leave();
  RunToEnd();
  EXPECT_FALSE(backend_.last()->killed);
}

TEST_F(SessionsTest, ExecFollowsResizes) {
  SessionRequest request{.id = "c", .argv = {"sleep", "100"}, .tty = true, .stdout_open = true};
  Start(request);
  error_ = client_->Open("error");
  client_->Open("stdout");
  const auto resize = client_->Open("resize");
  resize->Send(R"({"Width":80,"Height":24})");
  RunUntil([&] { return backend_.last() != nullptr && backend_.last()->size == 24080; });
  client_->Leave();
  RunToEnd();
}

TEST_F(SessionsTest, StreamsThatDoNotComeEndTheSession) {
  Start(Shell("true"));
  client_->Open("error");
  RunToEnd();
  EXPECT_TRUE(client_->aborted);
  EXPECT_EQ(backend_.last(), nullptr);
}

TEST_F(SessionsTest, StreamsThatNobodyAskedForEndTheSession) {
  Start(Shell("true"));
  client_->Open("error");
  client_->Open("stdin");
  RunToEnd();
  EXPECT_TRUE(client_->aborted);
  EXPECT_EQ(backend_.last(), nullptr);
}

TEST_F(SessionsTest, BeforeV4TheErrorStreamIsText) {
  client_->traits_.status_json = false;
  Start(Shell("exit 3"));
  OpenOutputs();
  RunToEnd();
  EXPECT_THAT(error_->received, HasSubstr("exit code: 3"));
}

TEST_F(SessionsTest, AttachCopiesBothWaysAndEndsWithTheContainer) {
  Start({.kind = SessionRequest::Kind::kAttach,
         .id = "c",
         .tty = true,
         .stdin_open = true,
         .stdout_open = true,
         .stderr_open = true});
  OpenOutputs();
  in_ = client_->Open("stdin");
  client_->Open("resize")->Send(R"({"Width":5,"Height":7})");
  RunUntil([&] { return backend_.attached && backend_.size == 7005; });
  in_->Send("typed");
  in_->HalfClose();
  ASSERT_OK(WriteAll(backend_.out.get(), "shown", "out"));
  RunUntil([&] { return out_->received == "shown"; });
  // The end of stdin is passed on, and the session lives on.
  EXPECT_EQ(ReadFd(backend_.in.get(), "in").value_or(""), "typed");
  EXPECT_FALSE(done_);
  backend_.out.reset();
  backend_.err.reset();
  RunToEnd();
  EXPECT_EQ(Status()["status"], "Success");
}

TEST_F(SessionsTest, AttachThatIsCutOffSaysWhy) {
  backend_.why_detached = absl::ResourceExhaustedError("too slow");
  Start(
      {.kind = SessionRequest::Kind::kAttach, .id = "c", .stdout_open = true, .stderr_open = true});
  OpenOutputs();
  RunUntil([&] { return backend_.attached.load(); });
  backend_.out.reset();
  backend_.err.reset();
  RunToEnd();
  EXPECT_EQ(Status()["message"], "too slow");
}

TEST_F(SessionsTest, AttachToStdinAloneEndsWithTheContainer) {
  Start({.kind = SessionRequest::Kind::kAttach, .id = "c", .stdin_open = true});
  error_ = client_->Open("error");
  in_ = client_->Open("stdin");
  RunUntil([&] { return backend_.attached.load(); });
  in_->Send("x");
  context_.restart();
  context_.run_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(done_);
  backend_.in.reset();
  RunToEnd();
  EXPECT_EQ(Status()["status"], "Success");
}

TEST_F(SessionsTest, AttachErrorAndDeparture) {
  backend_.attach_error = absl::FailedPreconditionError("container c is not running");
  Start(
      {.kind = SessionRequest::Kind::kAttach, .id = "c", .stdout_open = true, .stderr_open = true});
  OpenOutputs();
  RunToEnd();
  EXPECT_EQ(Status()["message"], "container c is not running");

  backend_.attach_error = absl::OkStatus();
  client_ = std::make_shared<FakeClient>(context_.get_executor());
  Start(
      {.kind = SessionRequest::Kind::kAttach, .id = "c", .stdout_open = true, .stderr_open = true});
  OpenOutputs();
  RunUntil([&] { return backend_.attached.load(); });
  client_->Leave();
  RunToEnd();
  EXPECT_THAT(WriteAll(backend_.out.get(), "x", "out"), ::testing::Not(IsOk()))
      << "our end is still open";
}

// A TCP server on one loopback address.
class Listener {
 public:
  explicit Listener(int family) : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    sockaddr_in v4 = {.sin_family = AF_INET};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool six = family == AF_INET6;
    const auto* address = six ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
    EXPECT_EQ(bind(fd_.get(), address, six ? sizeof(v6) : sizeof(v4)), 0);
    EXPECT_EQ(listen(fd_.get(), 16), 0);
    sockaddr_storage bound;
    socklen_t size = sizeof(bound);
    getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&bound), &size);
    port = ntohs(six ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                     : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
    EXPECT_EQ(fcntl(fd_.get(), F_SETFL, O_NONBLOCK), 0);
  }
  bool Accept() {
    peer.reset(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return peer.valid();
  }
  int port = 0;
  UniqueFd peer;

 private:
  UniqueFd fd_;
};

class PortForwardTest : public SessionsTest {
 protected:
  void Begin() { Start({.kind = SessionRequest::Kind::kPortForward, .id = "p"}); }
  struct Streams {
    std::shared_ptr<FakeStream> data, error;
  };
  Streams OpenPair(int port, const std::string& id) {
    const Headers headers = {{kPortHeader, absl::StrCat(port)}, {kRequestIdHeader, id}};
    Streams streams;
    streams.error = client_->Open("error", headers);
    streams.data = client_->Open("data", headers);
    return streams;
  }
  void TearDown() override {
    client_->Leave();
    RunToEnd();
  }
};

TEST_F(PortForwardTest, HalfClosesBothWays) {
  for (const int family : {AF_INET, AF_INET6}) {
    Listener listener(family);
    client_ = std::make_shared<FakeClient>(context_.get_executor());
    Begin();
    const Streams pair = OpenPair(listener.port, "0");
    RunUntil([&] { return listener.Accept(); });
    pair.data->Send("question");
    pair.data->HalfClose();
    context_.restart();
    context_.run_for(std::chrono::milliseconds(50));
    EXPECT_EQ(ReadFd(listener.peer.get(), "peer").value_or(""), "question");
    ASSERT_OK(WriteAll(listener.peer.get(), "answer", "peer"));
    listener.peer.reset();
    RunUntil([&] { return pair.error->write_closed; });
    EXPECT_EQ(pair.data->received, "answer");
    EXPECT_TRUE(pair.data->write_closed);
    EXPECT_EQ(pair.error->received, "");
    client_->Leave();
    RunToEnd();
  }
}

TEST_F(PortForwardTest, OneFailingPairLeavesTheOthersAlone) {
  Listener listener(AF_INET);
  int closed_port;
  { closed_port = Listener(AF_INET).port; }
  Begin();
  const Streams good = OpenPair(listener.port, "0");
  RunUntil([&] { return listener.Accept(); });
  const Streams refused = OpenPair(closed_port, "1");
  RunUntil([&] { return refused.error->write_closed; });
  EXPECT_THAT(refused.error->received, HasSubstr("Connection refused"));
  EXPECT_TRUE(refused.data->was_reset);
  const auto unknown = client_->Open("nonsense", {{kPortHeader, "80"}, {kRequestIdHeader, "2"}});
  const auto bad_port = client_->Open("data", {{kPortHeader, "0"}, {kRequestIdHeader, "3"}});
  const auto no_id = client_->Open("data", {{kPortHeader, "80"}});
  const auto again =
      client_->Open("data", {{kPortHeader, absl::StrCat(listener.port)}, {kRequestIdHeader, "0"}});
  RunUntil([&] {
    return unknown->was_reset && bad_port->was_reset && no_id->was_reset && again->was_reset;
  });
  good.data->Send("still here");
  char buffer[32] = {};
  RunUntil([&] { return recv(listener.peer.get(), buffer, sizeof(buffer), MSG_DONTWAIT) > 0; });
  EXPECT_STREQ(buffer, "still here");
  EXPECT_FALSE(done_);
}

TEST_F(PortForwardTest, StreamsWithoutIdsArePairedInTheirOrder) {
  Listener listener(AF_INET);
  Begin();
  const std::string port = absl::StrCat(listener.port);
  for (const std::string text : {"first", "second"}) {
    const auto error = client_->Open("error", {{kPortHeader, port}});
    const auto data = client_->Open("data", {{kPortHeader, port}});
    RunUntil([&] { return listener.Accept(); });
    data->Send(text);
    char buffer[32] = {};
    RunUntil([&] { return recv(listener.peer.get(), buffer, sizeof(buffer), MSG_DONTWAIT) > 0; });
    EXPECT_EQ(buffer, text);
    EXPECT_FALSE(error->was_reset);
    const auto surplus = client_->Open("data", {{kPortHeader, port}});
    RunUntil([&] { return surplus->was_reset; });
  }
}

TEST_F(PortForwardTest, AResetByTheApplicationIsNoErrorOfTheSession) {
  Listener listener(AF_INET);
  Begin();
  const Streams pair = OpenPair(listener.port, "0");
  RunUntil([&] { return listener.Accept(); });
  const linger hard = {.l_onoff = 1, .l_linger = 0};
  setsockopt(listener.peer.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  listener.peer.reset();
  RunUntil([&] { return pair.error->write_closed; });
  EXPECT_EQ(pair.error->received, "");
  EXPECT_TRUE(pair.data->was_reset);
  EXPECT_FALSE(done_);
}

TEST_F(PortForwardTest, HalfAPairIsGivenUpAndPairsAreBounded) {
  Begin();
  std::vector<std::shared_ptr<FakeStream>> halves;
  for (int i = 0; i < 9; ++i) {
    halves.push_back(
        client_->Open("error", {{kPortHeader, "80"}, {kRequestIdHeader, absl::StrCat(i)}}));
  }
  RunUntil([&] { return halves[8]->was_reset; });
  EXPECT_FALSE(halves[0]->was_reset) << "the first eight wait for their sisters";
  RunUntil([&] { return halves[0]->was_reset && halves[7]->was_reset; });
  const auto next = client_->Open("error", {{kPortHeader, "80"}, {kRequestIdHeader, "x"}});
  context_.restart();
  context_.run_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(next->was_reset) << "given-up pairs do not count";
}

}  // namespace
}  // namespace crisp::streaming
