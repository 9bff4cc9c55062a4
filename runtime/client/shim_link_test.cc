// The wire, version by version: what shims and daemons of earlier releases say and read.
#include "runtime/client/shim_link.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "absl/strings/escaping.h"
#include "base/testing/cancelled_wait.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/shim_broker.h"
#include "runtime/client/shim_connection.h"
#include "runtime/wire/plan_schema.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

// The greetings of pod "p1", pid 0x1234, with a network namespace, its netlink socket, a pidfd and
// files.
constexpr char kGreeting1[] =
    "02000000"
    "703100"
    "34120000"
    "1b000000";
constexpr char kGreeting2[] =
    "02000000"
    "703100"
    "34120000"
    "1b000000"
    "0200"
    "0400";
// The answer to a start: pid 0x1234, at 0x0123456789abcdef.
constexpr char kStarted1[] =
    "34120000"
    "efcdab8967452301";
// Of container "c1": 137 by signal 9 at 0x0123456789abcdef, its log cut.
constexpr char kExit1[] =
    "02000000"
    "633100"
    "89000000"
    "09000000"
    "efcdab8967452301"
    "01";
// The same container, exited, started at 1.
constexpr char kReport1[] =
    "01000000"
    "02000000"
    "633100"
    "0200"
    "00000000"
    "0100000000000000"
    "89000000"
    "09000000"
    "efcdab8967452301"
    "01";

TEST(ShimLink, GreetingsOfEveryVersionAreRead) {
  ASSERT_OK_AND_ASSIGN(const HelloReply first, ParseHello(absl::HexStringToBytes(kGreeting1)));
  EXPECT_EQ(first.pod_id, "p1");
  EXPECT_EQ(first.pid, 0x1234);
  EXPECT_EQ(first.fds, uint32_t{kNetnsFd | kRtnlFd | kPidFd | kFilesFd});
  EXPECT_EQ(first.versions, (ShimVersions{.wire = 1, .plan = 3}));
  ASSERT_OK_AND_ASSIGN(const HelloReply second, ParseHello(absl::HexStringToBytes(kGreeting2)));
  EXPECT_EQ(second.pod_id, "p1");
  EXPECT_EQ(second.versions, (ShimVersions{.wire = 2, .plan = 4}));
  for (const char* bad : {"0200",
                          "02000400"
                          "00",
                          "00000400", "02000200"}) {
    EXPECT_FALSE(ParseHello(absl::HexStringToBytes(std::string(kGreeting1) + bad)).ok()) << bad;
  }
}

TEST(ShimLink, AnswersOfTheFirstVersionAreRead) {
  ASSERT_OK_AND_ASSIGN(const StartReply started, ParseStart(absl::HexStringToBytes(kStarted1)));
  EXPECT_EQ(started.pid, 0x1234);
  EXPECT_EQ(absl::ToUnixNanos(started.started_at), 0x0123456789abcdef);
  ASSERT_OK_AND_ASSIGN(const ExitEvent exit, ParseExitEvent(absl::HexStringToBytes(kExit1)));
  EXPECT_EQ(exit.id, "c1");
  EXPECT_EQ(exit.record.exit_code, 137);
  EXPECT_EQ(exit.record.signal, 9);
  EXPECT_TRUE(exit.record.log_truncated);
  ASSERT_OK_AND_ASSIGN(const auto reports, ParseReport(absl::HexStringToBytes(kReport1)));
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].state, ContainerReport::State::kExited);
  EXPECT_EQ(reports[0].exit.exit_code, 137);
}

TEST(ShimLink, AProgramWithoutAStampIsOfTheFirstRelease) {
  EXPECT_EQ(VersionsIn("\x7f"
                       "ELF"),
            (ShimVersions{.wire = 1, .plan = 3}));
  VersionStamp stamp = kVersionStamp;
  stamp.wire = 7;
  stamp.plan = 9;
  const std::string bytes(reinterpret_cast<const char*>(&stamp), sizeof(stamp));
  EXPECT_EQ(VersionsIn("\x7f"
                       "ELF" +
                       bytes + "end"),
            (ShimVersions{.wire = 7, .plan = 9}));
  EXPECT_EQ(VersionsIn("\x7f"
                       "ELF" +
                       bytes.substr(0, bytes.size() - 1)),
            (ShimVersions{.wire = 1, .plan = 3}));
}

TEST(ShimLink, RequestsThatCameLaterAreNotAsked) {
  for (const MessageType type :
       {MessageType::kCreate, MessageType::kExec, MessageType::kKeep, MessageType::kAssemble}) {
    EXPECT_OK(KnowsRequest({.wire = kFirstWireVersion}, type));
    EXPECT_THAT(KnowsRequest({.wire = 0}, type),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("came with version 1")));
  }
}

// A shim of which only the socket is there. Answers whatever comes, and greets as it is told.
class ScriptedShim {
 public:
  explicit ScriptedShim(int socket, std::string greeting)
      : socket_(socket), greeting_(std::move(greeting)), thread_([this] { Run(); }) {}
  ~ScriptedShim() {
    (void)shutdown(socket_, SHUT_RDWR);
    thread_.join();
  }
  // Header and payload of the last request of this type; empty: none came.
  std::string Last(MessageType type) {
    absl::MutexLock lock(&mutex_);
    return last_[static_cast<uint16_t>(type)];
  }

 private:
  void Run() {
    char buffer[kMaxMessage];
    while (true) {
      const ssize_t size = recv(socket_, buffer, sizeof(buffer), 0);
      if (size < static_cast<ssize_t>(sizeof(MessageHeader))) return;
      MessageHeader header;
      memcpy(&header, buffer, sizeof(header));
      {
        absl::MutexLock lock(&mutex_);
        last_[header.type] = std::string(buffer, static_cast<size_t>(size));
      }
      WireMessage reply{.type = MessageType::kReply, .request_id = header.request_id};
      reply.payload = PayloadWriter().Number(uint32_t{0}).Number(int32_t{0}).String("").Take();
      const auto type = static_cast<MessageType>(header.type);
      const UniqueFd self(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
      if (type == MessageType::kHello) reply.payload += greeting_;
      if (type == MessageType::kExec) reply.payload += absl::HexStringToBytes(kStarted1);
      const bool passes = type == MessageType::kHello || type == MessageType::kExec;
      (void)SendMessage(socket_, reply, passes ? std::vector<int>{self.get()} : std::vector<int>{},
                        Operation());
    }
  }

  const int socket_;
  const std::string greeting_;
  absl::Mutex mutex_;
  std::map<uint16_t, std::string> last_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

class Silent : public ShimObserver {
  void OnContainerExit(absl::string_view, absl::string_view, const ExitRecord&) override {}
  void OnExecExit(absl::string_view, absl::string_view, const ExitRecord&) override {}
  void OnShimDeath(absl::string_view) override {}
};

// A connection to a shim that greets with these bytes and nothing but a pidfd.
class ShimOfVersion : public ::testing::Test {
 protected:
  void Connect(const std::string& versions) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    theirs_.reset(ends[1]);
    connection_ = std::make_shared<ShimConnection>("p1", UniqueFd(ends[0]));
    const std::string greeting =
        PayloadWriter().String("p1").Number(int32_t{getpid()}).Number(uint32_t{kPidFd}).Take();
    shim_ =
        std::make_unique<ScriptedShim>(theirs_.get(), greeting + absl::HexStringToBytes(versions));
    receiver_ = std::thread([this] {
      while (!stop_) {
        pollfd ready = {.fd = connection_->socket(), .events = POLLIN, .revents = 0};
        if (poll(&ready, 1, 20) == 1 && !connection_->Receive(&observer_)) return;
      }
    });
    ASSERT_OK(connection_->GreetAdopted(Operation(absl::Now() + absl::Seconds(10))));
  }
  void TearDown() override {
    stop_ = true;
    if (receiver_.joinable()) receiver_.join();
  }
  static uint16_t PlanVersionIn(const std::string& message) {
    PlanHeader header;
    if (message.size() < sizeof(MessageHeader) + sizeof(header)) return 0;
    memcpy(&header, message.data() + sizeof(MessageHeader), sizeof(header));
    return header.version;
  }

  UniqueFd theirs_;
  Silent observer_;
  std::atomic<bool> stop_{false};
  std::shared_ptr<ShimConnection> connection_;
  std::unique_ptr<ScriptedShim> shim_;
  std::thread receiver_;
};

ContainerPlan SomeContainer() {
  ContainerPlan plan;
  plan.container_id = "c1";
  plan.process.argv = {"true"};
  return plan;
}

TEST_F(ShimOfVersion, AnOldOneGetsOldPlansAndIsNotAskedForWhatItLacks) {
  Connect("");
  EXPECT_EQ(connection_->versions(), (ShimVersions{.wire = 1, .plan = 3}));
  // As daemons of the first release asked, but for what old shims do not look at.
  MessageHeader hello;
  ASSERT_EQ(shim_->Last(MessageType::kHello).size(), sizeof(hello));
  memcpy(&hello, shim_->Last(MessageType::kHello).data(), sizeof(hello));
  EXPECT_EQ(hello.version, 1);
  EXPECT_EQ(hello.type, 2);
  EXPECT_EQ(hello.flags & 0xffff, 0u);
  EXPECT_EQ(Speaks(hello), kWireVersion);

  ContainerPlan plan = SomeContainer();
  ASSERT_OK(connection_->CreateContainer(plan, -1, Operation(), nullptr));
  EXPECT_EQ(PlanVersionIn(shim_->Last(MessageType::kCreate)), 3);
  ExecPlan exec;
  exec.exec_id = "first";
  exec.process.argv = {"true"};
  ASSERT_OK(connection_->Exec(exec, {}, Operation()));
  EXPECT_EQ(PlanVersionIn(shim_->Last(MessageType::kExec)), 3);

  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("ioPriority"));
  plan.container_id = "not sent";
  plan.process.io_priority = 1;
  const absl::Status created = connection_->CreateContainer(plan, -1, Operation(), nullptr);
  EXPECT_THAT(created, refused);
  EXPECT_THAT(std::string(created.message()), HasSubstr("shim of pod p1"));
  EXPECT_THAT(shim_->Last(MessageType::kCreate), ::testing::Not(HasSubstr("not sent")));
  exec.exec_id = "not sent";
  exec.process.io_priority = 1;
  EXPECT_THAT(connection_->Exec(exec, {}, Operation()), refused);
  EXPECT_THAT(shim_->Last(MessageType::kExec), ::testing::Not(HasSubstr("not sent")));
}

TEST_F(ShimOfVersion, ALaterOneGetsOurs) {
  Connect("ff000f00");
  EXPECT_EQ(connection_->versions(), (ShimVersions{.wire = 255, .plan = 15}));
  ContainerPlan plan = SomeContainer();
  plan.process.io_priority = 1;
  ASSERT_OK(connection_->CreateContainer(plan, -1, Operation(), nullptr));
  EXPECT_EQ(PlanVersionIn(shim_->Last(MessageType::kCreate)), kPlanVersion);
}

// Two ends of a shim's socket, the other one silent.
class SilentShim : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ours_.reset(ends[0]);
    theirs_.reset(ends[1]);
  }
  UniqueFd ours_, theirs_;
};

TEST_F(SilentShim, WhoWaitsForAnAnswerIsWokenByACancellation) {
  ShimConnection connection("p1", std::move(ours_));
  EXPECT_THAT(CancelledWhileAsleep(
                  [&](const Operation& operation) { return connection.GreetAdopted(operation); }),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(SilentShim, WhoWaitsForRoomIsWokenByACancellation) {
  EXPECT_THAT(CancelledWhileAsleep([&](const Operation& operation) {
                const WireMessage message{.type = MessageType::kHello,
                                          .payload = std::string(1000, 'x')};
                absl::Status sent;
                while (sent.ok()) sent = SendMessage(ours_.get(), message, {}, operation);
                return sent;
              }),
              StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace crisp::runtime
