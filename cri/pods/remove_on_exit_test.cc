#include "cri/pods/remove_on_exit.h"

#include <string>
#include <vector>

#include "base/testing/eventually.h"
#include "cri/api/operator_annotations.h"
#include "cri/pods/testing/fake_world.h"

namespace crisp::cri {
namespace {

using Record = state::ContainerRecord;

Record In(Record::Stage stage, const std::string& reason = "") {
  Record record;
  record.set_stage(stage);
  if (stage == Record::RUNNING || stage == Record::EXITED) record.set_started_at(1);
  record.set_reason(reason);
  return record;
}

TEST(RemoveOnExitTest, APodGoesWhenAllHasEndedAndSomethingHadRun) {
  const Record created = In(Record::CREATED), running = In(Record::RUNNING),
               exited = In(Record::EXITED, "Error"), never = In(Record::EXITED, kStartError);
  EXPECT_FALSE(HasRunItsCourse(true, false, {})) << "a pod that waits for its first container";
  EXPECT_FALSE(HasRunItsCourse(true, false, {created}));
  EXPECT_FALSE(HasRunItsCourse(true, false, {running}));
  EXPECT_FALSE(HasRunItsCourse(true, false, {never})) << "its client sees why";
  EXPECT_TRUE(HasRunItsCourse(true, false, {exited}));
  EXPECT_TRUE(HasRunItsCourse(true, false, {exited, never}));
  EXPECT_FALSE(HasRunItsCourse(true, false, {exited, running}));
  EXPECT_FALSE(HasRunItsCourse(true, false, {exited, created})) << "it is about to be started";
  EXPECT_TRUE(HasRunItsCourse(false, false, {exited, created})) << "it can never be";
  EXPECT_FALSE(HasRunItsCourse(false, false, {created}));
  EXPECT_TRUE(HasRunItsCourse(true, true, {})) << "its containers have been removed";
  EXPECT_FALSE(HasRunItsCourse(true, true, {created}));
}

class RemovedPodTest : public ::testing::Test {
 protected:
  // Makes a pod that goes with its last container.
  std::string MakePod(PodApi& api) {
    v1::RunPodSandboxRequest request = FakeWorld::PodRequest();
    (*request.mutable_config()->mutable_annotations())[kRemoveOnExitAnnotation] = "true";
    v1::RunPodSandboxResponse reply;
    EXPECT_OK(api.RunPodSandbox(request, &reply, Operation()));
    return reply.pod_sandbox_id();
  }
  std::string CreateIn(const std::string& pod, const std::string& name = "main") {
    v1::CreateContainerRequest request = FakeWorld::ContainerRequest(pod);
    request.mutable_config()->mutable_metadata()->set_name(name);
    v1::CreateContainerResponse reply;
    EXPECT_OK(Pods().CreateContainer(request, &reply, Operation()));
    return reply.container_id();
  }
  void StartOne(const std::string& id) {
    v1::StartContainerRequest request;
    request.set_container_id(id);
    EXPECT_OK(Pods().StartContainer(request, nullptr, Operation()));
  }
  void RemoveOne(const std::string& id) {
    v1::RemoveContainerRequest request;
    request.set_container_id(id);
    EXPECT_OK(Pods().RemoveContainer(request, nullptr, Operation()));
  }
  PodApi& Pods() { return world_.operators_pods(); }
  bool Shown(const std::string& pod) { return world_.pods().table().FindPod(pod).ok(); }

  FakeWorld world_;
};

TEST_F(RemovedPodTest, GoesWithItsLastContainer) {
  const std::string pod = MakePod(Pods());
  const std::string one = CreateIn(pod), other = CreateIn(pod, "other");
  StartOne(one);
  StartOne(other);
  world_.live().EndContainer(pod, one, 3);
  EXPECT_TRUE(
      Eventually([&] { return world_.pods().queries().ContainersIn(Record::EXITED) == 1; }));
  EXPECT_TRUE(Shown(pod)) << "another container runs";
  world_.live().EndContainer(pod, other, 0);
  EXPECT_TRUE(Eventually([&] { return world_.Empty(); }));
  EXPECT_EQ(world_.LastContradictions(), "");
}

TEST_F(RemovedPodTest, GoesAlsoIfTheContainerThatRanIsRemovedFirst) {
  const std::string pod = MakePod(Pods());
  const std::string one = CreateIn(pod), other = CreateIn(pod, "other");
  StartOne(one);
  RemoveOne(one);
  EXPECT_TRUE(Shown(pod)) << "another container is about to be started";
  world_.Restart();
  RemoveOne(other);
  EXPECT_TRUE(Eventually([&] { return world_.Empty(); }));
}

TEST_F(RemovedPodTest, GoesIfItsContainerExitedWhileTheDaemonWasAway) {
  const std::string pod = MakePod(Pods());
  const std::string one = CreateIn(pod);
  StartOne(one);
  world_.Restart([&] { world_.live().EndContainer(pod, one, 3); });
  EXPECT_TRUE(Eventually([&] { return world_.Empty(); }));
}

TEST_F(RemovedPodTest, GoesIfTheDaemonDiedBetweenTheExitAndTheRemoval) {
  for (int n = 1; n < 8; ++n) {
    const std::string pod = MakePod(Pods());
    const std::string one = CreateIn(pod);
    StartOne(one);
    world_.faults().FailFrom(n);
    world_.live().EndContainer(pod, one, 3);
    EXPECT_TRUE(Eventually([&] { return !world_.faults().failed().empty(); }));
    const std::string failed = world_.faults().failed();
    world_.Restart();
    EXPECT_TRUE(Eventually([&] { return world_.Empty(); })) << failed;
  }
}

TEST_F(RemovedPodTest, GoesIfItsProcessIsKilled) {
  const std::string pod = MakePod(Pods());
  StartOne(CreateIn(pod));
  world_.live().KillPod(pod);
  EXPECT_TRUE(Eventually([&] { return world_.Empty(); }));
}

TEST_F(RemovedPodTest, GoesWhicheverCallFails) {
  for (int n = 1; n < 60; ++n) {
    const std::string pod = MakePod(Pods());
    const std::string one = CreateIn(pod);
    StartOne(one);
    world_.faults().FailCall(n);
    world_.live().EndContainer(pod, one, 3);
    EXPECT_TRUE(Eventually([&] { return world_.Empty(); })) << world_.faults().failed();
    EXPECT_EQ(world_.LastContradictions(), "") << world_.faults().failed();
    if (world_.faults().failed().empty()) return;
  }
  FAIL() << "there is no end of calls";
}

// Tenants can write annotations.
TEST_F(RemovedPodTest, APodOfTheKubeletsStays) {
  const std::string pod = MakePod(world_.pods());
  const std::string one = CreateIn(pod);
  StartOne(one);
  world_.live().EndContainer(pod, one, 3);
  EXPECT_TRUE(
      Eventually([&] { return world_.pods().queries().ContainersIn(Record::EXITED) == 1; }));
  world_.Restart();
  EXPECT_TRUE(Shown(pod));
}

TEST_F(RemovedPodTest, ABadAnnotationIsRefusedForTheOperatorAlone) {
  v1::RunPodSandboxRequest request = FakeWorld::PodRequest();
  (*request.mutable_config()->mutable_annotations())[kRemoveOnExitAnnotation] = "please";
  v1::RunPodSandboxResponse reply;
  EXPECT_THAT(Pods().RunPodSandbox(request, &reply, Operation()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_OK(world_.pods().RunPodSandbox(request, &reply, Operation()));
}

TEST_F(RemovedPodTest, APodWithoutANetworkIsAttachedToNone) {
  v1::RunPodSandboxRequest request = FakeWorld::PodRequest();
  (*request.mutable_config()->mutable_annotations())[kNetworkAnnotation] = kNetworkNone;
  (*request.mutable_config()->mutable_annotations())[kShmSizeAnnotation] = "8192";
  v1::RunPodSandboxResponse reply;
  ASSERT_OK(Pods().RunPodSandbox(request, &reply, Operation()));
  const std::string pod = reply.pod_sandbox_id();
  EXPECT_EQ(world_.LastContradictions(), "");
  EXPECT_EQ(world_.live().Pods().at(pod).spec.shm_bytes, 8192u);
  v1::PodSandboxStatusRequest status;
  status.set_pod_sandbox_id(pod);
  v1::PodSandboxStatusResponse told;
  ASSERT_OK(Pods().PodSandboxStatus(status, &told, Operation()));
  EXPECT_EQ(told.status().network().ip(), "");
  // Over the CRI's socket neither counts.
  ASSERT_OK(world_.pods().RunPodSandbox(request, &reply, Operation()));
  EXPECT_EQ(world_.live().Pods().at(reply.pod_sandbox_id()).spec.shm_bytes, 64u << 20);
  EXPECT_EQ(world_.LastContradictions(), "");
}

}  // namespace
}  // namespace crisp::cri
