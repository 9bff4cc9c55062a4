// Daemons and shims of different releases: a pod's shim stays what it was when the daemon is
// upgraded, and when it is put back. The shim of each earlier release is built from the history
// (hack/old-shim.sh).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/spawn.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/shim_broker.h"
#include "runtime/client/shim_finder.h"
#include "runtime/client/shim_link.h"
#include "runtime/client/spare_shims.h"
#include "runtime/client/testing/shim_test_pod.h"
#include "runtime/wire/plan_view.h"
#include "runtime/wire/wire.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr ShimVersions kFirst = {.wire = 1, .plan = 3};
constexpr ShimVersions kThese = {.wire = kWireVersion, .plan = kPlanVersion};
constexpr uint16_t kIdle = 3 << 13;  // an I/O priority, since plan version 4

int IoPriorityOf(pid_t pid) { return static_cast<int>(syscall(SYS_ioprio_get, 1, pid)); }

class ShimVersionsTest : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    if (IsSkipped()) return;
    if (access(CRISP_OLD_SHIM, X_OK) != 0)
      GTEST_SKIP() << "this clone lacks the first release's commit";
  }
  void TearDown() override {
    ShimTest::TearDown();
    if (IsSkipped()) return;
    EXPECT_OK(KillShims(run_, "", Operation(absl::Now() + absl::Seconds(10))));
  }
  // Another daemon takes the pod over, and has shims of its own.
  void ReplaceDaemon(const char* binary, const PodPlan& pod) {
    shim_.reset();
    pool_.reset();
    ASSERT_OK_AND_ASSIGN(
        pool_,
        ShimPool::Create(
            {.shim_binary = binary, .storage_root = storage_, .spares = spares_, .usual = usual_},
            &observer_));
    ASSERT_OK_AND_ASSIGN(shim_, pool_->AdoptPod(pod.pod_id, pod.state_dir, Operation()));
  }
  std::string RunAgain(const ContainerPlan& plan, const std::string& script) {
    return RunExec(MakeExec(plan.container_id, script));
  }
  ContainerPlan RunLong() {
    ContainerPlan plan =
        MakeContainer("trap 'exit 7' TERM; while :; do echo tick; sleep 0.05; done");
    EXPECT_OK(shim_->CreateContainer(plan, Operation()));
    EXPECT_OK(shim_->StartContainer(plan.container_id, Operation()));
    return plan;
  }
  // All that a daemon may ask of a shim for a container that runs, but its end.
  void UseEveryVerb(const ContainerPlan& plan);
  void AttachTo(const ContainerPlan& plan);
  void ReopenLogOf(const ContainerPlan& plan);
  void ExecWithTerminal(const ContainerPlan& plan);
  void EndAndRemove(const ContainerPlan& plan) {
    ASSERT_OK(shim_->Signal(plan.container_id, SIGTERM));
    EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 7);
    ASSERT_OK_AND_ASSIGN(const ExitRecord record, ReadExitRecord(plan.exit_record));
    EXPECT_EQ(record.exit_code, 7);
    EXPECT_OK(shim_->RemoveContainer(plan.container_id));
  }
  void RefuseWhatItLacks();

  int spares_ = 0;
  PodPlan usual_;
};

void ShimVersionsTest::AttachTo(const ContainerPlan& plan) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  ASSERT_OK(shim_->Attach(plan.container_id, {.stdout_fd = writer.get()}));
  writer.reset();
  char text[5] = "";
  EXPECT_EQ(read(reader.get(), text, 5), 5);
  EXPECT_EQ(std::string(text, 5), "tick\n");
}

void ShimVersionsTest::ReopenLogOf(const ContainerPlan& plan) {
  const std::string rotated = plan.log_path + ".1";
  ASSERT_EQ(rename(plan.log_path.c_str(), rotated.c_str()), 0);
  ASSERT_OK(shim_->ReopenLog(plan.container_id));
  EXPECT_TRUE(AwaitLog(plan, "tick"));
}

void ShimVersionsTest::ExecWithTerminal(const ContainerPlan& plan) {
  ExecPlan exec = MakeExec(plan.container_id, "read x; stty size; echo got $x; exit 4");
  exec.process.terminal = true;
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd ours(pair[0]), theirs(pair[1]);
  ASSERT_OK(shim_->Exec(exec, {.stdin_fd = theirs.get(), .stdout_fd = theirs.get()}, Operation()));
  theirs.reset();
  ASSERT_OK(shim_->ResizeTerminal(plan.container_id, exec.exec_id, 33, 44));
  ASSERT_OK(WriteAll(ours.get(), "word\n", "terminal"));
  EXPECT_THAT(ReadFd(ours.get(), "terminal").value_or(""), HasSubstr("33 44\r\ngot word"));
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 4);
}

void ShimVersionsTest::UseEveryVerb(const ContainerPlan& plan) {
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  bool runs = false;
  for (const ContainerReport& report : reports) {
    runs |= report.container_id == plan.container_id &&
            report.state == ContainerReport::State::kRunning && report.pidfd.valid();
  }
  EXPECT_TRUE(runs);
  EXPECT_EQ(RunAgain(plan, "echo inside; hostname"), "inside\ntestpod\n");
  ExecWithTerminal(plan);
  const ExecPlan sleeping = MakeExec(plan.container_id, "sleep 100");
  ASSERT_OK(shim_->Exec(sleeping, {}, Operation()));
  ASSERT_OK(shim_->KillExec(sleeping.exec_id));
  EXPECT_EQ(observer_.WaitExec(sleeping.exec_id).exit_code, 137);
  AttachTo(plan);
  ReopenLogOf(plan);
  const UniqueFd kept(open("/dev/null", O_RDWR | O_CLOEXEC));
  ASSERT_OK(shim_->Keep({kept.get()}, Operation()));
  EXPECT_EQ(RunScript("hostname; exit 3", 3), "testpod\n") << "a second container";
}

void ShimVersionsTest::RefuseWhatItLacks() {
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("I/O priority"));
  ContainerPlan plan = MakeContainer("true");
  plan.process.io_priority = kIdle;
  EXPECT_THAT(shim_->CreateContainer(plan, Operation()), refused);
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  for (const ContainerReport& report : reports) EXPECT_NE(report.container_id, plan.container_id);
}

TEST_F(ShimVersionsTest, TheProgramsSayWhatTheyRead) {
  ASSERT_OK_AND_ASSIGN(const std::string these, ReadFile(CRISP_SHIM_BINARY, 64u << 20));
  EXPECT_EQ(VersionsIn(these), kThese);
  ASSERT_OK_AND_ASSIGN(const std::string first, ReadFile(CRISP_OLD_SHIM, 64u << 20));
  EXPECT_EQ(VersionsIn(first), kFirst);
}

TEST_F(ShimVersionsTest, AShimOfTheFirstReleaseServesThisDaemon) {
  pool_.reset();
  ASSERT_OK_AND_ASSIGN(
      pool_,
      ShimPool::Create({.shim_binary = CRISP_OLD_SHIM, .storage_root = storage_}, &observer_));
  const PodPlan pod = MakePod();
  StartPod(pod);
  ASSERT_EQ(shim_->versions(), kFirst) << "the old shim is not old";
  const ContainerPlan plan = RunLong();

  ReplaceDaemon(CRISP_SHIM_BINARY, pod);
  ASSERT_EQ(shim_->versions(), kFirst);
  UseEveryVerb(plan);
  RefuseWhatItLacks();

  // And back: a daemon of that release is played by this one with that release's program, and below
  // in its words.
  ReplaceDaemon(CRISP_OLD_SHIM, pod);
  UseEveryVerb(plan);
  EndAndRemove(plan);
  ASSERT_OK(shim_->Shutdown());
}

TEST_F(ShimVersionsTest, ThisReleasesShimsDoWhatCameLater) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  ASSERT_EQ(shim_->versions(), kThese);
  ContainerPlan plan = MakeContainer("trap 'exit 7' TERM; while :; do echo tick; sleep 0.05; done");
  plan.process.io_priority = kIdle | 4;
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess started,
                       shim_->StartContainer(plan.container_id, Operation()));
  EXPECT_EQ(IoPriorityOf(started.pid), kIdle | 4);
  // If only the program differs, the pod keeps what it has.
  ReplaceDaemon(CRISP_OLD_SHIM, pod);
  ASSERT_EQ(shim_->versions(), kThese);
  UseEveryVerb(plan);
  ExecPlan exec = MakeExec(plan.container_id, "sleep 100");
  exec.process.io_priority = 2 << 13 | 7;
  ASSERT_OK_AND_ASSIGN(const StartedProcess ran, shim_->Exec(exec, {}, Operation()));
  EXPECT_EQ(IoPriorityOf(ran.pid), 2 << 13 | 7);
  EndAndRemove(plan);
  ASSERT_OK(shim_->Shutdown());
}

// The half of an upgrade: crispd is this one, crisp-shim still the one before. New pods, spares
// among them, run.
TEST_F(ShimVersionsTest, AProgramOfTheFirstReleaseIsHandedPlansThatItReads) {
  pool_.reset();
  spares_ = 2;
  usual_.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "0"}};
  ASSERT_OK_AND_ASSIGN(pool_, ShimPool::Create({.shim_binary = CRISP_OLD_SHIM,
                                                .storage_root = storage_,
                                                .spares = spares_,
                                                .usual = usual_},
                                               &observer_));
  for (int i = 0; i < 4; ++i) {
    PodPlan pod = MakePod();
    pod.sysctls = usual_.sysctls;
    StartPod(pod);
    EXPECT_EQ(shim_->versions(), kFirst);
    RefuseWhatItLacks();
    EXPECT_EQ(RunScript("hostname"), "testpod\n");
    ASSERT_OK(shim_->Shutdown());
  }
}

// A daemon of the first release: what it says, byte for byte, and what it takes. It refuses an
// answer with anything more in it.
class FirstDaemon {
 public:
  explicit FirstDaemon(UniqueFd socket) : socket_(std::move(socket)) {}

  bool Send(MessageType type, const std::string& payload, std::vector<int> fds = {}) {
    const MessageHeader header = {.magic = 0x48534331,
                                  .version = 1,
                                  .type = static_cast<uint16_t>(type),
                                  .request_id = ++request_,
                                  .size = static_cast<uint32_t>(payload.size()),
                                  .flags = 0};
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
    bytes += payload;
    iovec vector = {.iov_base = bytes.data(), .iov_len = bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
      memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
    }
    return sendmsg(socket_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

  // The part after the status of the next answer, or an error's text.
  absl::StatusOr<std::string> Answer() {
    while (true) {
      pollfd ready = {.fd = socket_.get(), .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, 10000) != 1) return absl::DeadlineExceededError("no answer");
      char bytes[4096];
      const ssize_t size = recv(socket_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
      if (size <= 0) return absl::UnavailableError("the shim has gone");
      MessageHeader header;
      memcpy(&header, bytes, sizeof(header));
      if (header.version != 1)
        return absl::InternalError("a header that the first release does not read");
      if (header.type != static_cast<uint16_t>(MessageType::kReply)) continue;
      const std::string payload(bytes + sizeof(header), header.size);
      CRISP_ASSIGN_OR_RETURN(const ReplyStatus reply, ParseReply(payload));
      CRISP_RETURN_IF_ERROR(reply.status);
      return std::string(reply.rest);
    }
  }
  absl::StatusOr<std::string> Ask(MessageType type, const std::string& payload) {
    if (!Send(type, payload)) return absl::UnavailableError("the shim takes nothing");
    return Answer();
  }
  // "" when it is one that the first release takes, and of that pod.
  std::string WrongGreeting(const absl::StatusOr<std::string>& rest, const std::string& pod_id) {
    if (!rest.ok()) return rest.status().ToString();
    PlanReader reader(rest->data(), rest->data() + rest->size());
    Str id;
    int32_t pid = 0;
    uint32_t fds = 0;
    reader(id);
    reader(pid);
    reader(fds);
    if (!reader.ok() || !reader.at_end())
      return absl::StrCat("a greeting of ", rest->size(), " bytes");
    return id == pod_id.c_str() ? "" : "of another pod";
  }
  int socket() const { return socket_.get(); }

 private:
  UniqueFd socket_;
  uint64_t request_ = 0;
};

absl::StatusOr<FirstDaemon> ConnectTo(const PodPlan& pod) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  CRISP_ASSIGN_OR_RETURN(const UniqueFd directory, Open(pod.state_dir, O_PATH));
  const std::string path = absl::StrCat("/proc/self/fd/", directory.get(), "/shim.sock");
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::UnavailableError("connect");
  }
  return FirstDaemon(std::move(socket));
}

TEST_F(ShimVersionsTest, ADaemonOfTheFirstReleaseIsServedByThisShim) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  const ContainerPlan plan = RunLong();
  shim_.reset();
  pool_.reset();

  ASSERT_OK_AND_ASSIGN(FirstDaemon daemon, ConnectTo(pod));
  EXPECT_EQ(daemon.WrongGreeting(daemon.Ask(MessageType::kHello, ""), pod.pod_id), "");
  ASSERT_OK_AND_ASSIGN(const std::string report, daemon.Ask(MessageType::kReport, ""));
  ASSERT_OK_AND_ASSIGN(const auto reports, ParseReport(report));
  ASSERT_EQ(reports.size(), 1u);
  ASSERT_OK_AND_ASSIGN(const std::string exec,
                       EncodePlan(MakeExec(plan.container_id, "sleep 1"), 3));
  ASSERT_OK_AND_ASSIGN(const std::string started, daemon.Ask(MessageType::kExec, exec));
  EXPECT_OK(ParseStart(started));
  ContainerPlan second = MakeContainer("exit 0");
  ASSERT_OK_AND_ASSIGN(const std::string create, EncodePlan(second, 3));
  EXPECT_OK(daemon.Ask(MessageType::kCreate, create));
  const std::string id = PayloadWriter().String(second.container_id).Take();
  ASSERT_OK_AND_ASSIGN(const std::string began, daemon.Ask(MessageType::kStart, id));
  EXPECT_OK(ParseStart(began));
  const std::string first = PayloadWriter().String(plan.container_id).Take();
  EXPECT_OK(daemon.Ask(MessageType::kReopenLog, first));
  const std::string term =
      PayloadWriter().String(plan.container_id).Number<int32_t>(SIGTERM).Take();
  EXPECT_OK(daemon.Ask(MessageType::kSignal, term));
  ASSERT_TRUE(Eventually([&] { return ReadExitRecord(plan.exit_record).ok(); }));
  EXPECT_EQ(ReadExitRecord(plan.exit_record)->exit_code, 7);
  EXPECT_OK(daemon.Ask(MessageType::kRemove, first));

  // A later daemon's plan, which this shim cannot read, is refused as what it is.
  std::string later = EncodePlan(MakeExec(plan.container_id, "true"));
  ++later[offsetof(PlanHeader, version)];
  EXPECT_THAT(daemon.Ask(MessageType::kExec, later),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("later version")));
  EXPECT_TRUE(Eventually([&] { return ReadExitRecord(second.exit_record).ok(); }));
  EXPECT_OK(daemon.Ask(MessageType::kShutdown, ""));
}

// Its crispd starts this release's crisp-shim: the other half of an upgrade. `arguments` are what
// it says behind --broker.
void StartsPods(const std::string& storage,
                const PodPlan& pod,
                bool spare,
                std::vector<std::string> arguments) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd program, Open(CRISP_SHIM_BINARY, O_RDONLY));
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  FirstDaemon broker{UniqueFd(ends[0])};
  UniqueFd theirs(ends[1]);
  std::vector<std::string> argv = {"crisp-shim", "--broker", storage};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  ASSERT_OK_AND_ASSIGN(const pid_t pid,
                       Spawn({.argv = argv, .program = program.get(), .fds = {{theirs.get(), 3}}}));
  theirs.reset();
  ASSERT_OK_AND_ASSIGN(SocketPair control, MakeShimSockets());
  PodPlan usual;
  ASSERT_OK_AND_ASSIGN(const std::string plan, EncodePlan(pod, 3));
  ASSERT_OK_AND_ASSIGN(const std::string first, EncodePlan(spare ? usual : pod, 3));
  ASSERT_TRUE(broker.Send(spare ? MessageType::kStartSpare : MessageType::kStartPod, first,
                          {control.theirs.get()}));
  control.theirs.reset();
  FirstDaemon shim(std::move(control.ours));
  ASSERT_TRUE(!spare || shim.Send(MessageType::kStartPod, plan));
  EXPECT_EQ(shim.WrongGreeting(shim.Answer(), pod.pod_id), "");
  EXPECT_OK(shim.Ask(MessageType::kShutdown, ""));
  broker = FirstDaemon(UniqueFd());
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
}

TEST_F(ShimVersionsTest, ADaemonOfTheFirstReleaseStartsThisShim) {
  StartsPods(storage_, MakePod(), false, {"0"});
  StartsPods(storage_, MakePod(), true, {"0"});
  StartsPods(storage_, MakePod(), false, {});
  StartsPods(storage_, MakePod(), false, {"0", "what comes later"});
}

TEST_F(ShimVersionsTest, AProgramThatIsNoBrokerIsNamed) {
  pool_.reset();
  for (const auto& [program, why] :
       {std::pair{"/bin/false", "exit status 1"}, std::pair{"/bin/true", "exit status 0"}}) {
    ASSERT_OK_AND_ASSIGN(
        pool_, ShimPool::Create({.shim_binary = program, .storage_root = storage_}, &observer_));
    const absl::Status status = pool_->StartPod(MakePod(), Operation()).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr(program)));
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
    pool_.reset();
  }
}

}  // namespace
}  // namespace crisp::runtime
