// The fate of pods when a shim hangs, loses its connection or its socket, dies in a bad moment, or
// when requests cross each other.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/testing/cancelled_wait.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "cri/pods/testing/pod_faults_fixture.h"

namespace crisp::cri {
namespace {

using ::testing::HasSubstr;

TEST_F(PodFaultsTest, AShimThatHangsKeepsNobodyAlive) {
  const std::string pod = RunPod("hung"), other = RunPod("other");
  const std::string deaf = RunContainer(pod, "deaf", "trap '' TERM; while true; do sleep 1; done");
  const std::string polite = RunContainer(pod, "polite", "sleep 1000");
  const std::string created = Create(ContainerRequest(pod, "created", "true"));
  const std::string elsewhere = RunContainer(other, "elsewhere", "sleep 1000");
  ASSERT_EQ(::kill(ShimOf(pod), SIGSTOP), 0);
  absl::Time begin = absl::Now();
  EXPECT_THAT(Exec(deaf, "true", 1), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4));
  begin = absl::Now();
  EXPECT_OK(StopOne(deaf, 1));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(8));
  EXPECT_TRUE(Dead(pod, deaf));
  EXPECT_EQ(StatusOf(deaf).exit_code(), 137);
  ASSERT_OK_AND_ASSIGN(const v1::ExecSyncResponse reply, Exec(elsewhere, "echo fine", 5));
  EXPECT_EQ(reply.stdout(), "fine\n");
  begin = absl::Now();
  EXPECT_OK(StopPod(pod));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(15));
  EXPECT_TRUE(Dead(pod, polite));
  EXPECT_FALSE(HasShim(pod));
  EXPECT_OK(RemovePod(pod));
  EXPECT_TRUE(GroupsGone(pod));
}

TEST_F(PodFaultsTest, AShimThatHangsDelaysNoStart) {
  const std::string pod = RunPod("hung"), other = RunPod("other");
  const std::string inside = RunContainer(pod, "inside", "sleep 1000");
  const std::string elsewhere = RunContainer(other, "elsewhere", "sleep 1000");
  const pid_t shim = ShimOf(pod);
  ASSERT_EQ(::kill(shim, SIGSTOP), 0);
  End();
  absl::Time begin = absl::Now();
  Start();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  EXPECT_OK(Exec(elsewhere, "true", 5));
  EXPECT_EQ(PodStatusOf(pod).state(), v1::SANDBOX_READY);
  EXPECT_EQ(StatusOf(inside).state(), v1::CONTAINER_RUNNING);
  ASSERT_EQ(::kill(shim, SIGCONT), 0);
  absl::StatusOr<v1::ExecSyncResponse> reply;
  ASSERT_TRUE(Eventually([&] {
    reply = Exec(inside, "echo again", 10);
    return reply.ok();
  })) << reply.status();
  EXPECT_EQ(reply->stdout(), "again\n");
}

TEST_F(PodFaultsTest, AShimThatNeverAnswersAfterARestartIsEndedWithItsPod) {
  const std::string pod = RunPod("hung");
  const std::string inside = RunContainer(pod, "inside", "sleep 1000");
  ASSERT_EQ(::kill(ShimOf(pod), SIGSTOP), 0);
  End();
  Start();
  const absl::Time begin = absl::Now();
  EXPECT_OK(StopPod(pod));
  EXPECT_OK(RemovePod(pod));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(15));
  EXPECT_FALSE(HasShim(pod));
  EXPECT_TRUE(GroupsGone(pod));
  // Nothing writes its row again.
  End();
  Start();
  EXPECT_EQ(manager_->PodCount(), 0);
}

TEST_F(PodFaultsTest, ABrokenConnectionIsMadeAgain) {
  const std::string pod = RunPod("cut");
  const std::string inside = RunContainer(pod, "inside", "sleep 1000");
  const std::string ending = RunContainer(pod, "ending", "sleep 0.3; exit 9");
  End();
  Start();
  BreakConnection(ShimOf(pod));
  EXPECT_EQ(AwaitExited(ending).exit_code(), 9);
  ASSERT_OK_AND_ASSIGN(const v1::ExecSyncResponse reply, Exec(inside, "echo again", 10));
  EXPECT_EQ(reply.stdout(), "again\n");
  EXPECT_EQ(PodStatusOf(pod).state(), v1::SANDBOX_READY);
  const std::string more = RunContainer(pod, "more", "exit 4");
  EXPECT_EQ(AwaitExited(more).exit_code(), 4);
  EXPECT_OK(StopOne(inside, 0));
  EXPECT_OK(StopPod(pod));
  EXPECT_FALSE(HasShim(pod));
}

TEST_F(PodFaultsTest, AMissingSocketProvesNoDeath) {
  const std::string pod = RunPod("lost");
  const std::string inside = RunContainer(pod, "inside", "sleep 1000");
  End();
  ASSERT_EQ(::unlink(absl::StrCat(dir_.path(), "/state/pods/", pod, "/shim.sock").c_str()), 0);
  Start();
  EXPECT_TRUE(Eventually([&] { return PodStatusOf(pod).state() == v1::SANDBOX_NOTREADY; }));
  EXPECT_EQ(StatusOf(inside).state(), v1::CONTAINER_RUNNING);
  EXPECT_FALSE(Dead(pod, inside));
  EXPECT_TRUE(HasShim(pod));
  EXPECT_OK(RemovePod(pod));
  EXPECT_FALSE(HasShim(pod));
  EXPECT_TRUE(GroupsGone(pod));
}

TEST_F(PodFaultsTest, AContainerThatIsBeingMadeIsNoGhostOfAStoppedPod) {
  const std::string pod = RunPod("crossed");
  absl::Notification making, go_on;
  images_->on_prepare = [&] {
    making.Notify();
    go_on.WaitForNotification();
  };
  absl::Status made;
  std::thread maker([&] {
    v1::CreateContainerResponse reply;
    made = manager_->CreateContainer(ContainerRequest(pod, "late", "true"), &reply, Operation());
  });
  making.WaitForNotification();
  EXPECT_OK(StopPod(pod));
  EXPECT_OK(RemovePod(pod));
  EXPECT_TRUE(Stays([&] { return !HasShim(pod); }));
  go_on.Notify();
  maker.join();
  images_->on_prepare = nullptr;
  EXPECT_FALSE(made.ok());
  EXPECT_EQ(Containers(), 0u);
  EXPECT_TRUE(GroupsGone(pod));
  EXPECT_OK(RemoveEveryPod());
  // Nor does one begin afterwards.
  v1::CreateContainerResponse reply;
  EXPECT_FALSE(
      manager_->CreateContainer(ContainerRequest(pod, "later", "true"), &reply, Operation()).ok());
}

TEST_F(PodFaultsTest, ACreationThatEndsAfterTheStopSaysSo) {
  const std::string pod = RunPod("crossed");
  absl::Notification making;
  images_->on_prepare = [&] {
    making.Notify();
    EXPECT_TRUE(Eventually([&] { return PodStatusOf(pod).state() == v1::SANDBOX_NOTREADY; }));
  };
  absl::Status made;
  std::thread maker([&] {
    v1::CreateContainerResponse reply;
    made = manager_->CreateContainer(ContainerRequest(pod, "late", "true"), &reply, Operation());
  });
  making.WaitForNotification();
  EXPECT_OK(StopPod(pod));
  maker.join();
  images_->on_prepare = nullptr;
  EXPECT_THAT(made, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not ready")));
  EXPECT_EQ(Containers(), 0u);
}

TEST_F(PodFaultsTest, AStartOfWhatIsBeingStoppedSaysSo) {
  const std::string pod = RunPod("crossed");
  const std::string id = Create(ContainerRequest(pod, "one", "sleep 1000"));
  ASSERT_EQ(::kill(ShimOf(pod), SIGSTOP), 0);
  absl::Status started;
  std::thread starter([&] { started = StartOne(id); });
  EXPECT_TRUE(Eventually([&] { return IsStarting(id); }));
  const absl::Time begin = absl::Now();
  EXPECT_OK(StopPod(pod));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(15));
  starter.join();
  EXPECT_THAT(started, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("stopped")));
  EXPECT_TRUE(Dead(pod, id));
}

TEST_F(PodFaultsTest, AStopDuringAStartIsSignalled) {
  v1::RunPodSandboxResponse made;
  // In a PID namespace of its own its first process would overlook the signal.
  ASSERT_OK(manager_->RunPodSandbox(SharedPidRequest("early"), &made, Operation()));
  const std::string& pod = made.pod_sandbox_id();
  v1::CreateContainerRequest request = ContainerRequest(pod, "one", "sleep 1000");
  request.mutable_config()
      ->mutable_linux()
      ->mutable_security_context()
      ->mutable_namespace_options()
      ->set_pid(v1::POD);
  const std::string id = Create(request);
  ASSERT_OK_AND_ASSIGN(const auto shim, manager_->table().FindReadyPod(pod));
  ASSERT_EQ(::kill(shim->pid(), SIGSTOP), 0);
  absl::Status started;
  std::thread starter([&] { started = StartOne(id); });
  EXPECT_TRUE(Eventually([&] { return IsStarting(id); }));
  absl::Status stopped;
  std::thread stopper([&] { stopped = StopOne(id, 20); });
  EXPECT_TRUE(Eventually([&] { return IsBeingStopped(id); }));
  const absl::Time begin = absl::Now();
  ASSERT_EQ(::kill(shim->pid(), SIGCONT), 0);
  starter.join();
  stopper.join();
  EXPECT_OK(started);
  EXPECT_OK(stopped);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  EXPECT_EQ(AwaitExited(id).exit_code(), 128 + SIGTERM);
}

TEST_F(PodFaultsTest, APodWhoseShimDiesWhileItIsMadeIsNotReady) {
  network_.on_attach = [this](const network::AttachRequest& request) {
    pid_t shim = 0;
    ASSERT_TRUE(
        absl::SimpleAtoi(request.netns_path.substr(6, request.netns_path.find("/ns") - 6), &shim));
    ASSERT_EQ(::kill(shim, SIGKILL), 0);
    EXPECT_TRUE(Eventually([&] { return !HasShim(""); }));
  };
  v1::RunPodSandboxResponse reply;
  const absl::Status made = manager_->RunPodSandbox(PodRequest("short"), &reply, Operation());
  network_.on_attach = nullptr;
  if (!made.ok()) return;
  EXPECT_TRUE(Eventually(
      [&] { return PodStatusOf(reply.pod_sandbox_id()).state() == v1::SANDBOX_NOTREADY; }));
}

TEST_F(PodFaultsTest, AnEventStreamEndsWhenTheDaemonDoes) {
  absl::Status ended;
  std::atomic<pid_t> id{0};
  std::thread reader([&] {
    id = gettid();
    ended = manager_->GetContainerEvents(
        {}, [](const v1::ContainerEventResponse&) { return true; }, Operation());
  });
  EXPECT_TRUE(Eventually([&] { return id != 0; }));
  EXPECT_TRUE(SleepsUndisturbed(id));
  manager_->EndStreams();  // a reader that is not woken never ends
  reader.join();
  EXPECT_THAT(ended, StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace crisp::cri
