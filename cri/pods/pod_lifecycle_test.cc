// Every verb in every state, with every call that it makes failing once, and with the daemon dying
// at it.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/testing/cancelled_wait.h"
#include "base/testing/eventually.h"
#include "cri/pods/testing/fake_world.h"

namespace crisp::cri {
namespace {

using Code = absl::StatusCode;

// The ids that a test works on.
struct Things {
  FakeWorld& world;
  std::string pod = std::string(64, '0');
  std::string container = std::string(64, '1');
};

absl::Status RunPod(Things& things) {
  v1::RunPodSandboxResponse reply;
  const absl::Status status =
      things.world.pods().RunPodSandbox(FakeWorld::PodRequest(), &reply, Operation());
  if (status.ok()) things.pod = reply.pod_sandbox_id();
  return status;
}
absl::Status StopPod(Things& things) {
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(things.pod);
  return things.world.pods().StopPodSandbox(request, nullptr, Operation());
}
absl::Status RemovePod(Things& things) {
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(things.pod);
  return things.world.pods().RemovePodSandbox(request, nullptr, Operation());
}
absl::Status PodStatus(Things& things) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(things.pod);
  v1::PodSandboxStatusResponse reply;
  return things.world.pods().PodSandboxStatus(request, &reply, Operation());
}
absl::Status Create(Things& things) {
  v1::CreateContainerResponse reply;
  const absl::Status status = things.world.pods().CreateContainer(
      FakeWorld::ContainerRequest(things.pod), &reply, Operation());
  if (status.ok()) things.container = reply.container_id();
  return status;
}
absl::Status Start(Things& things) {
  v1::StartContainerRequest request;
  request.set_container_id(things.container);
  return things.world.pods().StartContainer(request, nullptr, Operation());
}
absl::Status StopFor(Things& things, int64_t grace) {
  v1::StopContainerRequest request;
  request.set_container_id(things.container);
  request.set_timeout(grace);
  return things.world.pods().StopContainer(request, nullptr, Operation());
}
absl::Status StopPolitely(Things& things) { return StopFor(things, 1); }
absl::Status Kill(Things& things) { return StopFor(things, 0); }
absl::Status Remove(Things& things) {
  v1::RemoveContainerRequest request;
  request.set_container_id(things.container);
  return things.world.pods().RemoveContainer(request, nullptr, Operation());
}
absl::Status ContainerStatus(Things& things) {
  v1::ContainerStatusRequest request;
  request.set_container_id(things.container);
  v1::ContainerStatusResponse reply;
  return things.world.pods().ContainerStatus(request, &reply, Operation());
}
absl::Status Update(Things& things) {
  v1::UpdateContainerResourcesRequest request;
  request.set_container_id(things.container);
  return things.world.pods().UpdateContainerResources(request, nullptr, Operation());
}
absl::Status Exec(Things& things) {
  v1::ExecSyncRequest request;
  request.set_container_id(things.container);
  request.add_cmd("true");
  v1::ExecSyncResponse reply;
  return things.world.pods().ExecSync(request, &reply, Operation());
}
absl::Status ReopenLog(Things& things) {
  v1::ReopenContainerLogRequest request;
  request.set_container_id(things.container);
  return things.world.pods().ReopenContainerLog(request, nullptr, Operation());
}

// How things come to be in a state, from nothing.
struct State {
  const char* name;
  std::function<void(Things&)> reach;
};
void Nothing(Things&) {}
void ReadyPod(Things& things) { EXPECT_OK(RunPod(things)); }
void CreatedContainer(Things& things) {
  ReadyPod(things);
  EXPECT_OK(Create(things));
}
void RunningContainer(Things& things) {
  CreatedContainer(things);
  EXPECT_OK(Start(things));
}
void ExitedContainer(Things& things) {
  RunningContainer(things);
  things.world.live().EndContainer(things.pod, things.container, 3);
  EXPECT_OK(Kill(things));
}
void StoppedPod(Things& things) {
  RunningContainer(things);
  EXPECT_OK(StopPod(things));
}
void DeadPod(Things& things) {
  RunningContainer(things);
  things.world.live().KillPod(things.pod);
  EXPECT_OK(Kill(things));  // until the end is told
  EXPECT_EQ(things.world.LastContradictions(), "");
}

enum StateIndex { kNothing, kReady, kCreated, kRunning, kExited, kStopped, kDead, kStates };
const State kStateList[kStates] = {{"nothing", Nothing},
                                   {"a ready pod", ReadyPod},
                                   {"a created container", CreatedContainer},
                                   {"a running container", RunningContainer},
                                   {"an exited container", ExitedContainer},
                                   {"a stopped pod", StoppedPod},
                                   {"a pod whose process is dead", DeadPod}};

struct Verb {
  const char* name;
  absl::Status (*call)(Things&);
  Code codes[kStates];  // what it answers in each of the states
};
constexpr Code kOk = Code::kOk, kAbsent = Code::kNotFound, kNot = Code::kFailedPrecondition;
const Verb kVerbs[] = {
    //                 nothing  ready    created running exited  stopped dead
    {"RunPodSandbox", RunPod, {kOk, kOk, kOk, kOk, kOk, kOk, kOk}},
    {"StopPodSandbox", StopPod, {kOk, kOk, kOk, kOk, kOk, kOk, kOk}},
    {"RemovePodSandbox", RemovePod, {kOk, kOk, kOk, kOk, kOk, kOk, kOk}},
    {"PodSandboxStatus", PodStatus, {kAbsent, kOk, kOk, kOk, kOk, kOk, kOk}},
    {"CreateContainer", Create, {kAbsent, kOk, kOk, kOk, kOk, kNot, kNot}},
    {"StartContainer", Start, {kAbsent, kAbsent, kOk, kNot, kNot, kNot, kNot}},
    {"StopContainer", StopPolitely, {kOk, kOk, kOk, kOk, kOk, kOk, kOk}},
    {"StopContainer without grace", Kill, {kOk, kOk, kOk, kOk, kOk, kOk, kOk}},
    {"RemoveContainer", Remove, {kOk, kOk, kOk, kOk, kOk, kOk, kOk}},
    {"ContainerStatus", ContainerStatus, {kAbsent, kAbsent, kOk, kOk, kOk, kOk, kOk}},
    {"UpdateContainerResources", Update, {kAbsent, kAbsent, kOk, kOk, kNot, kNot, kNot}},
    {"ExecSync", Exec, {kAbsent, kAbsent, kNot, kOk, kNot, kNot, kNot}},
    {"ReopenContainerLog", ReopenLog, {kAbsent, kAbsent, kNot, kOk, kNot, kNot, kNot}},
};

std::string Words(const Verb& verb, int state) {
  return absl::StrCat(verb.name, ", ", kStateList[state].name);
}

// Whatever has happened, all that there is can be removed.
void RemoveAll(FakeWorld& world) {
  for (const PodPtr& pod : world.pods().table().Pods()) {
    Things things{.world = world, .pod = pod->id};
    EXPECT_OK(RemovePod(things));
  }
  EXPECT_EQ(world.LastContradictions(), "");
  EXPECT_TRUE(world.Empty());
}

class PodLifecycleTest : public ::testing::TestWithParam<int> {};

// Does it in the state, with its n-th call failing. True if it made so many.
bool WithOneFailure(const Verb& verb, int state, int n) {
  FakeWorld world;
  Things things{.world = world};
  kStateList[state].reach(things);
  world.faults().FailCall(n);
  const absl::Status answer = verb.call(things);
  const std::string left = world.LastContradictions();
  const std::string failed = world.faults().failed();
  world.faults().FailCall(0);
  SCOPED_TRACE(
      absl::StrCat(Words(verb, state), ", call ", n, " failed: ", failed, "; ", answer.ToString()));
  EXPECT_EQ(left, "");
  if (failed.empty()) {
    EXPECT_THAT(answer, StatusIs(verb.codes[state]));
  } else if (verb.codes[state] == kOk && verb.call != Start) {
    // A start that has failed is the container's end; everything else can be asked for again.
    EXPECT_OK(verb.call(things));
    EXPECT_EQ(world.LastContradictions(), "");
  }
  RemoveAll(world);
  return !failed.empty();
}

// The same with the daemon dying at that call, and another one coming.
void WithADeath(const Verb& verb, int state, int n) {
  FakeWorld world;
  Things things{.world = world};
  kStateList[state].reach(things);
  world.faults().FailFrom(n);
  (void)verb.call(things);
  SCOPED_TRACE(
      absl::StrCat(Words(verb, state), ", dead at call ", n, ": ", world.faults().failed()));
  world.Restart();
  EXPECT_EQ(world.LastContradictions(), "");
  RemoveAll(world);
}

TEST_P(PodLifecycleTest, WhicheverCallFailsWhatExistsIsWhatIsRecorded) {
  for (const Verb& verb : kVerbs) {
    for (int n = 1; WithOneFailure(verb, GetParam(), n); ++n) WithADeath(verb, GetParam(), n);
  }
}

INSTANTIATE_TEST_SUITE_P(States, PodLifecycleTest, ::testing::Range(0, static_cast<int>(kStates)));

TEST(PodStopTest, WhoWaitsForAnExitIsWokenByACancellation) {
  FakeWorld world;
  Things things{.world = world};
  RunningContainer(things);
  world.live().faults().FailCall(1);  // the signal: the container goes on
  EXPECT_THAT(CancelledWhileAsleep([&](const Operation& operation) {
                v1::StopContainerRequest request;
                request.set_container_id(things.container);
                request.set_timeout(86400);
                return world.pods().StopContainer(request, nullptr, operation);
              }),
              StatusIs(Code::kCancelled));
  RemoveAll(world);
}

TEST(PodSignalTest, AnOperatorsSignalReachesTheFirstProcess) {
  FakeWorld world;
  Things things{.world = world};
  RunningContainer(things);
  const auto signal = [&](const std::string& container, const std::string& name) {
    admin::SignalContainerRequest request;
    request.set_container_id(container);
    request.set_signal(name);
    return world.pods().SignalContainer(request, nullptr, Operation());
  };
  EXPECT_THAT(signal(things.container, "NONSENSE"), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(signal("nobody", "TERM"), StatusIs(Code::kNotFound));
  ASSERT_OK(signal(things.container, "SIGHUP"));
  const ContainerPtr container = *world.pods().table().FindContainer(things.container);
  EXPECT_TRUE(Eventually([&] { return container->Stage() == state::ContainerRecord::EXITED; }));
  EXPECT_EQ(container->Snapshot()->exit_code(), 128 + 1) << "the fake's container ends by it";
  EXPECT_THAT(signal(things.container, "SIGHUP"), StatusIs(Code::kFailedPrecondition));
  RemoveAll(world);
}

TEST(PodRecoveryTest, ALostConnectionIsMadeAgain) {
  FakeWorld world;
  Things things{.world = world};
  RunningContainer(things);
  world.live().BreakConnection(things.pod);
  EXPECT_TRUE(Eventually([&] { return world.live().Connected(things.pod); }));
  EXPECT_OK(Exec(things));
  EXPECT_OK(PodStatus(things));
  EXPECT_EQ(world.LastContradictions(), "");
  RemoveAll(world);
}

TEST(PodRecoveryTest, AnExitThatWasToldToNobodyIsFoundByTheNextDaemon) {
  FakeWorld world;
  Things things{.world = world};
  RunningContainer(things);
  world.live().SetObserver(nullptr);
  world.live().EndContainer(things.pod, things.container, 5);
  world.Restart();
  EXPECT_EQ(world.LastContradictions(), "");
  EXPECT_EQ((*world.pods().table().FindContainer(things.container))->Snapshot()->exit_code(), 5);
  RemoveAll(world);
}

}  // namespace
}  // namespace crisp::cri
