// What an operator asks for beyond the CRI, with real shims.
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "cri/api/operator_annotations.h"
#include "cri/pods/operator_view.h"
#include "cri/pods/testing/pod_manager_fixture.h"

namespace crisp::cri {
namespace {

using Code = absl::StatusCode;
using ::testing::HasSubstr;

class OperatorPodTest : public PodManagerTest {
 protected:
  v1::RunPodSandboxRequest Asking(const std::string& name,
                                  const std::string& annotation,
                                  const std::string& value) {
    v1::RunPodSandboxRequest request = PodRequest(name);
    (*request.mutable_config()->mutable_annotations())[annotation] = value;
    return request;
  }
  std::string RunForOperator(const v1::RunPodSandboxRequest& request) {
    v1::RunPodSandboxResponse reply;
    EXPECT_OK(OperatorView(*manager_).RunPodSandbox(request, &reply, Operation()));
    return reply.pod_sandbox_id();
  }
  bool Known(const std::string& pod) { return manager_->table().FindPod(pod).ok(); }
  absl::Status Pause(const std::string& id) {
    admin::PauseContainerRequest request;
    request.set_container_id(id);
    return manager_->PauseContainer(request, nullptr, Operation());
  }
  absl::Status Unpause(const std::string& id) {
    admin::UnpauseContainerRequest request;
    request.set_container_id(id);
    return manager_->UnpauseContainer(request, nullptr, Operation());
  }
  bool SaysPaused(const std::string& id) {
    const absl::StatusOr<Json> explained = manager_->Explain(id);
    EXPECT_OK(explained);
    v1::ContainerStatusRequest request;
    request.set_container_id(id);
    request.set_verbose(true);
    v1::ContainerStatusResponse reply;
    EXPECT_OK(manager_->ContainerStatus(request, &reply, Operation()));
    const bool told = absl::StrContains(reply.info().at("info"), "\"paused\":true");
    EXPECT_EQ(told, explained.ok() && (*explained)["paused"] == true);
    EXPECT_EQ(reply.status().state(), v1::CONTAINER_RUNNING);
    return told;
  }
};

TEST_F(OperatorPodTest, APodGoesWithItsLastContainer) {
  const std::string pod = RunForOperator(Asking("web", kRemoveOnExitAnnotation, "true"));
  const std::string id = RunContainer(pod, "one", "echo done; sleep 1000");
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(Log("one"), "done"); }));
  EXPECT_TRUE(Known(pod));
  ASSERT_OK(StopOne(id, 0));
  EXPECT_TRUE(Eventually([&] { return !Known(pod); }));
  EXPECT_THAT(Log("one"), HasSubstr("done")) << "its log is the client's";
}

TEST_F(OperatorPodTest, APodGoesAlsoIfThatWasWhileTheDaemonWasAway) {
  const std::string pod = RunForOperator(Asking("web", kRemoveOnExitAnnotation, "true"));
  const std::string go = dir_.path() + "/logs/go";
  v1::CreateContainerRequest request =
      ContainerRequest(pod, "one", "while ! test -e /logs/go; do sleep 0.01; done");
  v1::Mount* const mount = request.mutable_config()->add_mounts();
  mount->set_host_path(dir_.path() + "/logs");
  mount->set_container_path("/logs");
  const std::string id = Create(request);
  ASSERT_OK(StartOne(id));
  End();
  ASSERT_OK(AtomicWriteFile(go, "", 0644, Durability::kNone));
  EXPECT_TRUE(Eventually(
      [&] { return Exists(absl::StrCat(dir_.path(), "/state/pods/", pod, "/exits/", id)); }));
  Start();
  EXPECT_TRUE(Eventually([&] { return !Known(pod); }));
}

TEST_F(OperatorPodTest, APodWithoutANetworkIsNotAttached) {
  const std::string pod = RunForOperator(Asking("web", kNetworkAnnotation, kNetworkNone));
  EXPECT_EQ(network_.attached, 0);
  EXPECT_EQ(network_.isolated, 1);
  EXPECT_EQ(PodStatusOf(pod).network().ip(), "");
  RunContainer(pod, "one", "sleep 1000");
  EXPECT_OK(RemovePod(pod));
  EXPECT_EQ(network_.detached, 0);
}

TEST_F(OperatorPodTest, ShmHasTheSizeThatIsAskedFor) {
  for (const bool spares : {false, true}) {
    if (spares) {
      End();
      spare_pods_ = 2;
      Start();
      manager_->WarmUp();
    }
    const std::string pod =
        RunForOperator(Asking(spares ? "spare" : "web", kShmSizeAnnotation, "1048576"));
    const std::string name = spares ? "two" : "one";
    RunContainer(pod, name,
                 "dd if=/dev/zero of=/dev/shm/f bs=1024 count=1024 && echo fits; dd if=/dev/zero "
                 "of=/dev/shm/g bs=1 count=1 || echo full; echo end");
    EXPECT_TRUE(Eventually([&] { return absl::StrContains(Log(name), "end"); }));
    EXPECT_THAT(Log(name), AllOf(HasSubstr("F fits"), HasSubstr("F full")));
  }
}

TEST_F(OperatorPodTest, UlimitsReachTheContainerAndItsExecs) {
  const std::string pod = RunForOperator(PodRequest("web"));
  v1::CreateContainerRequest request =
      ContainerRequest(pod, "one", "ulimit -Sn; ulimit -Hn; ulimit -c; sleep 1000");
  (*request.mutable_config()->mutable_annotations())[kUlimitsAnnotation] = "nofile=99:199,core=0";
  const std::string id = Create(request);
  ASSERT_OK(StartOne(id));
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(Log("one"), "F 199"); })) << Log("one");
  EXPECT_THAT(Log("one"), HasSubstr("F 99\n"));
  ASSERT_OK_AND_ASSIGN(const v1::ExecSyncResponse exec, Exec(id, "ulimit -Hn", 10));
  EXPECT_EQ(exec.stdout(), "199\n");
  // On a pod of the kubelet's it is overlooked.
  request.set_pod_sandbox_id(RunPod("theirs"));
  request.mutable_config()->set_log_path("two.log");
  ASSERT_OK(StartOne(Create(request)));
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(Log("two"), "F 0\n") || absl::StrContains(Log("two"), "unlimited");
  }));
  EXPECT_THAT(Log("two"), Not(HasSubstr("F 199\n")));
}

TEST_F(OperatorPodTest, BadLimitsOfAContainerAreRefused) {
  const std::string pod = RunForOperator(PodRequest("web"));
  const std::pair<const char*, const char*> cases[] = {
      {kUlimitsAnnotation, "files=1"},
      {kUlimitsAnnotation, "nofile=99999999999"},
      {kDeviceReadBpsAnnotation, "/dev/none-of-this-name:1"},
      {kDeviceWriteIopsAnnotation, "/dev/null:1"}};
  for (const auto& [annotation, value] : cases) {
    v1::CreateContainerRequest request = ContainerRequest(pod, "one", "true");
    (*request.mutable_config()->mutable_annotations())[annotation] = value;
    v1::CreateContainerResponse reply;
    EXPECT_THAT(manager_->CreateContainer(request, &reply, Operation()),
                StatusIs(Code::kInvalidArgument, HasSubstr(annotation)))
        << value;
  }
}

TEST_F(OperatorPodTest, APausedContainerStandsStillAlsoOverARestart) {
  const std::string id = RunContainer(RunForOperator(PodRequest("web")), "one",
                                      "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done");
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(Log("one"), "F 3\n"); }));
  EXPECT_FALSE(SaysPaused(id));
  ASSERT_OK(Pause(id));
  ASSERT_OK(Pause(id)) << "paused is paused";
  EXPECT_TRUE(SaysPaused(id));
  EXPECT_THAT(Exec(id, "true", 1), StatusIs(Code::kFailedPrecondition, HasSubstr("paused")));
  End();
  Start();
  EXPECT_TRUE(SaysPaused(id));
  ASSERT_OK(Unpause(id));
  ASSERT_OK(Unpause(id));
  EXPECT_FALSE(SaysPaused(id));
  const size_t before = Log("one").size();
  EXPECT_TRUE(Eventually([&] { return Log("one").size() > before; }));
}

TEST_F(OperatorPodTest, APausedContainerHearsItsStopSignalAndIsRemoved) {
  const std::string pod = RunForOperator(PodRequest("web"));
  const std::string polite = RunContainer(
      pod, "polite", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done");
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(Log("polite"), "up"); }));
  ASSERT_OK(Pause(polite));
  ASSERT_OK(StopOne(polite, 60));
  EXPECT_EQ(StatusOf(polite).exit_code(), 7);
  EXPECT_THAT(Pause(polite), StatusIs(Code::kFailedPrecondition));
  EXPECT_THAT(Unpause(polite), StatusIs(Code::kFailedPrecondition));
  // Killed, and with its pod.
  const std::string killed = RunContainer(pod, "killed", "sleep 1000");
  ASSERT_OK(Pause(killed));
  ASSERT_OK(StopOne(killed, 0));
  EXPECT_EQ(StatusOf(killed).exit_code(), 137);
  const std::string removed = RunContainer(pod, "removed", "sleep 1000");
  ASSERT_OK(Pause(removed));
  EXPECT_OK(RemovePod(pod));
  EXPECT_THAT(Pause("0123456789abcdef"), StatusIs(Code::kNotFound));
}

}  // namespace
}  // namespace crisp::cri
