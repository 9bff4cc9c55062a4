// What the shim answers to each request in each state of a container. The kernel is not the real
// one.

#include "runtime/shim/server.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/client/shim_link.h"
#include "runtime/plan/launch_plan.h"
#include "runtime/shim/connection.h"
#include "runtime/shim/container.h"
#include "runtime/shim/log_stream.h"
#include "runtime/shim/loop.h"
#include "runtime/shim/message.h"
#include "runtime/shim/testing/fake_kernel.h"

namespace crisp::shim {
namespace {

using ::testing::HasSubstr;

struct Answer {
  absl::Status status;
  std::string rest;
  std::vector<UniqueFd> fds;
};

class DispatchTest : public ::testing::Test {
 protected:
  DispatchTest() {
    g_kernel = FakeKernel();
    g_kernel.step = 1000;
    // There is a ring as in every shim, and nobody who takes from it.
    g_kernel.log_writers = false;
    EXPECT_TRUE(StartLoop());
    EXPECT_FALSE(StartLogWriter());
    Connect();
  }
  ~DispatchTest() override { ForgetEverything(); }

  void Connect() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    daemon_.reset(ends[0]);
    UseConnection(ends[1], Dispatch);
  }
  void Send(MessageType type,
            std::string payload,
            const std::vector<int>& fds = {},
            uint32_t flags = 0) {
    WireMessage message{.type = type, .request_id = ++request_, .flags = flags};
    message.payload = std::move(payload);
    EXPECT_OK(SendMessage(daemon_.get(), message, fds, Operation()));
  }
  // Unavailable: the shim has closed the connection. NotFound without a text: it does not answer.
  Answer Receive() {
    for (int turn = 0; turn < 20; ++turn) {
      TakeTurn();
      absl::StatusOr<WireMessage> message = ReceiveMessage(daemon_.get());
      if (absl::IsNotFound(message.status())) continue;
      if (!message.ok()) return {message.status(), "", {}};
      if (message->request_id != request_) continue;  // news
      const absl::StatusOr<ReplyStatus> reply = ParseReply(message->payload);
      if (!reply.ok()) return {reply.status(), "", {}};
      return {reply->status, std::string(reply->rest), std::move(message->fds)};
    }
    return {absl::NotFoundError(""), "", {}};
  }
  Answer Ask(MessageType type,
             std::string payload,
             const std::vector<int>& fds = {},
             uint32_t flags = 0) {
    Send(type, std::move(payload), fds, flags);
    return Receive();
  }
  absl::Status AskOf(MessageType type, const std::string& id) {
    return Ask(type, PayloadWriter().String(id).Take()).status;
  }
  absl::Status Signal(const std::string& id, int signal) {
    return Ask(MessageType::kSignal, PayloadWriter().String(id).Number<int32_t>(signal).Take())
        .status;
  }
  // With a root that is mounted already.
  absl::Status Create(const std::string& id, const ContainerPlan& base = {}) {
    ContainerPlan plan = base;
    plan.container_id = id;
    plan.process.argv = {"true"};
    const UniqueFd root(open("/dev/null", O_PATH | O_CLOEXEC));
    const auto bytes = EncodePlan(plan, kPlanVersion);
    EXPECT_OK(bytes);
    return Ask(MessageType::kCreate, *bytes, {root.get()}, kRootFd).status;
  }
  // They run for whoever does not look at their processes.
  void StartRunning(const std::string& id) {
    ASSERT_OK(Create(id));
    ASSERT_OK(AskOf(MessageType::kStart, id));
  }

  UniqueFd daemon_;
  uint64_t request_ = 0;
};

TEST_F(DispatchTest, AContainerGoesFromStateToState) {
  const std::string id = "c1";
  ASSERT_OK(Create(id));
  EXPECT_THAT(Create(id), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Signal(id, 15), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(AskOf(MessageType::kReopenLog, id), StatusIs(absl::StatusCode::kFailedPrecondition));
  const Answer started = Ask(MessageType::kStart, PayloadWriter().String(id).Take());
  ASSERT_OK(started.status);
  ASSERT_EQ(started.fds.size(), 1u);
  EXPECT_THAT(AskOf(MessageType::kStart, id), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(AskOf(MessageType::kRemove, id), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(Signal(id, 15));
  // Its process has ended: whoever looks finds that out.
  const auto report = Ask(MessageType::kReport, "");
  ASSERT_OK(report.status);
  const auto containers = ParseReport(report.rest);
  ASSERT_OK(containers);
  ASSERT_EQ(containers->size(), 1u);
  EXPECT_EQ(containers->front().state, ContainerReport::State::kExited);
  EXPECT_EQ(containers->front().exit.exit_code, 255);
  EXPECT_OK(Signal(id, 9));
  EXPECT_THAT(AskOf(MessageType::kStart, id), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(AskOf(MessageType::kRemove, id));
  EXPECT_OK(AskOf(MessageType::kRemove, id));
  EXPECT_EQ(g_containers, nullptr);
}

TEST_F(DispatchTest, OneThatIsAssembledAheadIsTheOneThatStarts) {
  ASSERT_OK(Create("c1"));
  EXPECT_EQ(g_kernel.clones, 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(AskOf(MessageType::kAssemble, "c1"), StatusIs(absl::StatusCode::kNotFound, ""));
    EXPECT_EQ(g_kernel.clones, 1);
  }
  // It has ended, and left no error behind.
  EXPECT_THAT(AskOf(MessageType::kAssemble, "unknown"), StatusIs(absl::StatusCode::kNotFound, ""));
  (void)AskOf(MessageType::kStart, "c1");
  EXPECT_EQ(g_kernel.clones, 1);
}

TEST_F(DispatchTest, WhatIsNotAssembledAheadSaysWhyAtItsStart) {
  ASSERT_OK(Create("c1"));
  g_kernel.clone_error = EAGAIN;
  EXPECT_THAT(AskOf(MessageType::kAssemble, "c1"), StatusIs(absl::StatusCode::kNotFound, ""));
  const absl::Status started = AskOf(MessageType::kStart, "c1");
  EXPECT_THAT(std::string(started.message()), HasSubstr("create the container's process"));
  ASSERT_NE(g_containers, nullptr);
  EXPECT_EQ(g_containers->state, State::kExited);
  EXPECT_EQ(g_containers->ending.exit_code, 128);
}

TEST_F(DispatchTest, NobodyIsFoundByAnUnknownName) {
  for (const MessageType type : {MessageType::kStart, MessageType::kReopenLog}) {
    EXPECT_THAT(AskOf(type, "nobody"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nobody")));
  }
  EXPECT_THAT(Signal("nobody", 9), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nobody")));
  // What is not there needs no end.
  EXPECT_OK(AskOf(MessageType::kRemove, "nobody"));
  EXPECT_OK(AskOf(MessageType::kKillExec, "nobody"));
  EXPECT_FALSE(AskOf(MessageType::kAttach, "nobody").ok());
}

TEST_F(DispatchTest, ArgumentsAreWholeAndNothingFollows) {
  const auto malformed = StatusIs(absl::StatusCode::kInvalidArgument, "malformed request");
  for (const MessageType type :
       {MessageType::kStart, MessageType::kSignal, MessageType::kRemove, MessageType::kReopenLog,
        MessageType::kKillExec, MessageType::kAttach, MessageType::kResize,
        MessageType::kAssemble}) {
    const int number = static_cast<int>(type);
    EXPECT_THAT(Ask(type, "").status, malformed) << number;
    EXPECT_THAT(Ask(type, std::string("\xff\xff\xff\x7f"
                                      "abc",
                                      7))
                    .status,
                malformed)
        << number;
    // No NUL behind the name.
    EXPECT_THAT(Ask(type, std::string("\1\0\0\0ab", 6)).status, malformed) << number;
    EXPECT_THAT(Ask(type, PayloadWriter().String("a").String("b").String("c").Take()).status,
                malformed)
        << number;
  }
  for (const MessageType type : {MessageType::kCreate, MessageType::kExec}) {
    EXPECT_THAT(Ask(type, "no plan").status, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(Ask(type, "", {}, kPlanInMemfd).status,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without its memfd")));
    const UniqueFd open_end(memfd_create("plan", MFD_CLOEXEC));
    EXPECT_THAT(Ask(type, "", {open_end.get()}, kPlanInMemfd).status,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unsealed")));
  }
}

TEST_F(DispatchTest, WhatIsNoRequestOfAShimIsRefused) {
  for (const int type : {0, 1, 14, 16, 39, 41, 100, 103, 65535}) {
    EXPECT_THAT(AskOf(static_cast<MessageType>(type), "x"),
                StatusIs(absl::StatusCode::kInvalidArgument, "unknown request"))
        << type;
  }
}

TEST_F(DispatchTest, WhoIsNoDaemonIsHeardNoMore) {
  for (const std::string& bytes :
       {std::string("short"), std::string(24, '\0'), std::string(70000, 'x')}) {
    ASSERT_EQ(send(daemon_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    EXPECT_THAT(Receive().status, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_FALSE(Connected());
    Connect();
  }
  EXPECT_OK(AskOf(MessageType::kRemove, "x"));
}

TEST_F(DispatchTest, KeepsWhatItIsGiven) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  ASSERT_OK(Ask(MessageType::kKeep, "", {writer.get()}).status);
  writer.reset();
  char byte;
  EXPECT_EQ(read(reader.get(), &byte, 1), -1);  // and no end
  EXPECT_EQ(errno, EAGAIN);
  // Of what no request wants nothing is kept.
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd other(ends[0]);
  writer.reset(ends[1]);
  EXPECT_FALSE(Ask(MessageType::kRemove, "", {writer.get()}).status.ok());
  writer.reset();
  EXPECT_EQ(read(other.get(), &byte, 1), 0);
}

TEST_F(DispatchTest, GreetsEachDaemonInItsWords) {
  const auto greet = [this](uint32_t speaks) {
    const MessageHeader header = {.magic = kWireMagic,
                                  .version = kHeaderForm,
                                  .type = static_cast<uint16_t>(MessageType::kHello),
                                  .request_id = ++request_,
                                  .size = 0,
                                  .flags = speaks << kSpeaksShift};
    EXPECT_EQ(send(daemon_.get(), &header, sizeof(header), 0), ssize_t{sizeof(header)});
    const auto hello = ParseHello(Receive().rest);
    EXPECT_OK(hello);
    return hello.ok() ? hello->versions : ShimVersions();
  };
  EXPECT_EQ(greet(0), (ShimVersions{.wire = kFirstWireVersion, .plan = kFirstPlanVersion}));
  EXPECT_EQ(greet(2), (ShimVersions{.wire = kWireVersion, .plan = kPlanVersion}));
  EXPECT_EQ(greet(99), (ShimVersions{.wire = kWireVersion, .plan = kPlanVersion}));
}

TEST_F(DispatchTest, AnExecThatDoesNotReachItsProgramIsToldAndForgotten) {
  ASSERT_OK(Create("c1"));
  const auto exec = [this](const std::string& container) {
    ExecPlan plan;
    plan.exec_id = "e1";
    plan.container_id = container;
    plan.process.argv = {"true"};
    return Ask(MessageType::kExec, *EncodePlan(plan, kPlanVersion)).status;
  };
  EXPECT_THAT(exec("nobody"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(exec("c1"), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(AskOf(MessageType::kStart, "c1"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(exec("c1"),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("died before its program")));
    TakeTurn();
    EXPECT_EQ(g_execs, nullptr);
  }
}

// True when `ask` ends the shim. A function of its own has no variable that the jump could spoil.
[[gnu::noinline]] bool EndsTheShim(const std::function<void()>& ask) {
  jmp_buf end;
  g_kernel.end = &end;
  if (setjmp(end) != 0) return true;
  ask();
  return false;
}

TEST_F(DispatchTest, EndsWhenNothingRuns) {
  StartRunning("c1");
  // Of a process that has ended the shim has not heard, but it looks.
  EXPECT_TRUE(EndsTheShim([this] { (void)Ask(MessageType::kShutdown, ""); }));
  absl::StatusOr<WireMessage> news = ReceiveMessage(daemon_.get());
  while (news.ok() && news->type != MessageType::kReply) news = ReceiveMessage(daemon_.get());
  EXPECT_OK(news);
}

TEST_F(DispatchTest, AnExitIsRecordedAndTold) {
  const TempDir dir;
  ContainerPlan plan;
  plan.exit_record = dir.path() + "/exit";
  ASSERT_OK(Create("c1", plan));
  ASSERT_OK(AskOf(MessageType::kStart, "c1"));
  ASSERT_OK(Ask(MessageType::kReport, "").status);
  const auto record = ReadExitRecord(plan.exit_record);
  ASSERT_OK(record);
  EXPECT_EQ(record->exit_code, 255);
  EXPECT_TRUE(g_containers->announced);
}

}  // namespace
}  // namespace crisp::shim
