// Pods of several handlers, over a runtime that is none of crisp's: what it is given, what it
// lacks, and what becomes of its pods when it is gone.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "cri/pods/testing/fake_world.h"

namespace crisp::cri {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Code = absl::StatusCode;

constexpr char kOther[] = "recorder";  // the type

FakeRuntimeOptions Other() {
  return {.type = kOther, .features = {.verbs = runtime::VerbSet::All()}, .has_files = false};
}
// Nothing but what every runtime can do.
FakeRuntimeOptions OtherWithoutVerbs() {
  return {.type = kOther, .features = {.no_user_namespaces = "it has none"}, .has_files = false};
}
const FakeWorld::Handlers kHandlers = {{.name = "plain"}, {.name = "sandboxed", .type = kOther}};

class PodHandlersTest : public ::testing::Test {
 protected:
  explicit PodHandlersTest(FakeRuntimeOptions other = Other())
      : world_({{}, std::move(other)}, kHandlers) {}
  void TearDown() override {
    for (const PodPtr& pod : world_.pods().table().Pods()) EXPECT_OK(RemovePod(pod->id));
    EXPECT_EQ(world_.LastContradictions(), "");
    EXPECT_TRUE(world_.Empty());
  }

  static v1::RunPodSandboxRequest PodRequest(const std::string& handler) {
    v1::RunPodSandboxRequest request = FakeWorld::PodRequest();
    request.set_runtime_handler(handler);
    return request;
  }
  std::string RunPod(const std::string& handler) {
    v1::RunPodSandboxResponse reply;
    EXPECT_OK(world_.pods().RunPodSandbox(PodRequest(handler), &reply, Operation()));
    return reply.pod_sandbox_id();
  }
  std::string RunContainer(const std::string& pod) {
    v1::CreateContainerResponse reply;
    EXPECT_OK(world_.pods().CreateContainer(FakeWorld::ContainerRequest(pod), &reply, Operation()));
    v1::StartContainerRequest request;
    request.set_container_id(reply.container_id());
    EXPECT_OK(world_.pods().StartContainer(request, nullptr, Operation()));
    return reply.container_id();
  }
  absl::Status Exec(const std::string& container) {
    v1::ExecSyncRequest request;
    request.set_container_id(container);
    request.add_cmd("true");
    v1::ExecSyncResponse reply;
    return world_.pods().ExecSync(request, &reply, Operation());
  }
  absl::Status Update(const std::string& container) {
    v1::UpdateContainerResourcesRequest request;
    request.set_container_id(container);
    return world_.pods().UpdateContainerResources(request, nullptr, Operation());
  }
  absl::Status Stats(const std::string& container) {
    v1::ContainerStatsRequest request;
    request.set_container_id(container);
    v1::ContainerStatsResponse reply;
    return world_.pods().ContainerStats(request, &reply, Operation());
  }
  absl::Status Pause(const std::string& container) {
    admin::PauseContainerRequest request;
    request.set_container_id(container);
    return world_.pods().PauseContainer(request, nullptr, Operation());
  }
  absl::Status ReopenLog(const std::string& container) {
    v1::ReopenContainerLogRequest request;
    request.set_container_id(container);
    return world_.pods().ReopenContainerLog(request, nullptr, Operation());
  }
  absl::Status StopPod(const std::string& pod) {
    v1::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(pod);
    return world_.pods().StopPodSandbox(request, nullptr, Operation());
  }
  absl::Status RemovePod(const std::string& pod) {
    v1::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(pod);
    return world_.pods().RemovePodSandbox(request, nullptr, Operation());
  }
  absl::Status StopContainer(const std::string& container) {
    v1::StopContainerRequest request;
    request.set_container_id(container);
    return world_.pods().StopContainer(request, nullptr, Operation());
  }
  runtime::OciSpec SpecAt(const std::string& pod, const std::string& container) {
    return world_.live(kOther).Pods().at(pod).containers.at(container).spec;
  }

  FakeWorld world_;
};

TEST_F(PodHandlersTest, ARuntimeIsGivenThePodAndTheOciSpec) {
  const std::string pod = RunPod("sandboxed");
  const std::string container = RunContainer(pod);
  EXPECT_TRUE(world_.live().Pods().empty()) << "crisp's own runtime has nothing of it";
  const runtime::PodSpec given = world_.live(kOther).Pods().at(pod).spec;
  EXPECT_EQ(given.hostname, "web");
  EXPECT_THAT(given.state_dir, HasSubstr(absl::StrCat("/pods/", pod)));
  const runtime::OciSpec spec = SpecAt(pod, container);
  EXPECT_THAT(spec.process.args, ElementsAre("/bin/sh"));
  EXPECT_EQ(spec.linux_.cgroups_path, absl::StrCat("/crisp/", pod, "/", container));
  ASSERT_NE(spec.FindNamespace("network"), nullptr);
  EXPECT_EQ(spec.FindNamespace("network")->path, "/proc/4000000/ns/net");
  EXPECT_FALSE(spec.mounts.empty());
}

TEST_F(PodHandlersTest, WithoutAPlaceOfTheRuntimesThePodsFilesAreTheHosts) {
  const std::string pod = RunPod("sandboxed");
  const runtime::OciSpec spec = SpecAt(pod, RunContainer(pod));
  std::string hosts;
  for (const runtime::OciMount& mount : spec.mounts) {
    if (mount.destination == "/etc/hosts") hosts = mount.source;
  }
  ASSERT_THAT(hosts, StartsWith("/"));
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(hosts));
  EXPECT_THAT(text, HasSubstr("web"));
}

TEST_F(PodHandlersTest, HandlersAreToldWithTheirFeatures) {
  const std::vector<v1::RuntimeHandler> handlers = world_.pods().Handlers();
  ASSERT_EQ(handlers.size(), 3u);
  EXPECT_EQ(handlers[0].name(), "");
  EXPECT_EQ(handlers[1].name(), "plain");
  EXPECT_EQ(handlers[2].name(), "sandboxed");
  EXPECT_TRUE(handlers[1].features().recursive_read_only_mounts());
  EXPECT_FALSE(handlers[2].features().recursive_read_only_mounts());
  EXPECT_TRUE(handlers[2].features().user_namespaces());
}

TEST_F(PodHandlersTest, AnUnknownHandlerIsRefusedWithThoseThatThereAre) {
  v1::RunPodSandboxResponse reply;
  EXPECT_THAT(
      world_.pods().RunPodSandbox(PodRequest("kata"), &reply, Operation()),
      StatusIs(Code::kInvalidArgument, AllOf(HasSubstr("runtime_handler"), HasSubstr("\"kata\""),
                                             HasSubstr("\"plain\", \"sandboxed\""))));
}

TEST_F(PodHandlersTest, WhatARuntimeDoesNotDoIsRefusedBeforeAnythingIsMade) {
  const std::string pod = RunPod("sandboxed");
  v1::CreateContainerRequest request = FakeWorld::ContainerRequest(pod);
  v1::Mount* mount = request.mutable_config()->add_mounts();
  mount->set_host_path("/tmp");
  mount->set_container_path("/data");
  mount->set_readonly(true);
  mount->set_recursive_read_only(true);
  v1::CreateContainerResponse reply;
  EXPECT_THAT(world_.pods().CreateContainer(request, &reply, Operation()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("/data")));
  EXPECT_TRUE(world_.live(kOther).Pods().at(pod).containers.empty());
}

TEST_F(PodHandlersTest, APodIsAdoptedByTheRuntimeThatStartedIt) {
  const std::string pod = RunPod("sandboxed");
  const std::string container = RunContainer(pod);
  world_.Restart();
  EXPECT_OK(Exec(container));
  // The type is there, no handler names it any more.
  world_.Restart({{}, Other()}, {});
  EXPECT_OK(Exec(container));
  EXPECT_OK(Update(container));
  EXPECT_OK(StopPod(pod));
  EXPECT_TRUE(world_.live(kOther).Pods().empty());
}

TEST_F(PodHandlersTest, APodWhoseRuntimeIsGoneSaysWhatToDo) {
  const std::string pod = RunPod("sandboxed");
  const std::string container = RunContainer(pod);
  world_.Restart({{}}, {});
  const auto gone = StatusIs(Code::kFailedPrecondition,
                             AllOf(HasSubstr("type \"recorder\""), HasSubstr("runtime.handlers")));
  EXPECT_THAT(StopContainer(container), gone);
  EXPECT_THAT(StopPod(pod), gone);
  EXPECT_THAT(RemovePod(pod), gone);
  EXPECT_TRUE(world_.live(kOther).Lives(pod)) << "nothing proves that it has ended";
  v1::PodSandboxStatusRequest status;
  status.set_pod_sandbox_id(pod);
  v1::PodSandboxStatusResponse reply;
  EXPECT_OK(world_.pods().PodSandboxStatus(status, &reply, Operation()));
  EXPECT_EQ(reply.status().runtime_handler(), "sandboxed");
  // With the runtime back all is as before.
  world_.Restart({{}, Other()}, kHandlers);
  EXPECT_OK(StopPod(pod));
  EXPECT_FALSE(world_.live(kOther).Lives(pod));
}

class FewVerbsTest : public PodHandlersTest {
 protected:
  FewVerbsTest() : PodHandlersTest(OtherWithoutVerbs()) {}
};

TEST_F(FewVerbsTest, AVerbThatARuntimeLacksIsRefusedByName) {
  const std::string container = RunContainer(RunPod("sandboxed"));
  const auto lacks = [](const char* what) {
    return StatusIs(Code::kUnimplemented,
                    AllOf(HasSubstr("runtime handler \"sandboxed\""),
                          HasSubstr(absl::StrCat("\"recorder\" cannot ", what))));
  };
  EXPECT_THAT(Exec(container), lacks("run commands in a container"));
  EXPECT_THAT(Update(container), lacks("change a container's resources"));
  EXPECT_THAT(Stats(container), lacks("tell a container's usage"));
  EXPECT_THAT(ReopenLog(container), lacks("reopen a container's log"));
  EXPECT_THAT(Pause(container), lacks("pause a container"));
  // The runtime was not asked.
  EXPECT_THAT(world_.live(kOther).Asked(), Not(Contains(StartsWith("update"))));
  EXPECT_THAT(world_.live(kOther).Asked(), Not(Contains(StartsWith("stats"))));
  EXPECT_THAT(world_.live(kOther).Asked(), Not(Contains(StartsWith("pause"))));
  // The verbs that every runtime has are there.
  EXPECT_OK(StopContainer(container));
}

TEST_F(FewVerbsTest, ListsHaveItsContainersWithoutTheirUsage) {
  const std::string container = RunContainer(RunPod("sandboxed"));
  v1::ListContainerStatsResponse reply;
  ASSERT_OK(world_.pods().ListContainerStats({}, &reply, Operation()));
  ASSERT_EQ(reply.stats_size(), 1);
  EXPECT_EQ(reply.stats(0).attributes().id(), container);
  EXPECT_FALSE(reply.stats(0).has_cpu());
}

TEST_F(FewVerbsTest, UserNamespacesAreRefusedByHandler) {
  const auto with_users = [](const std::string& handler) {
    v1::RunPodSandboxRequest request = PodRequest(handler);
    v1::UserNamespace* users = request.mutable_config()
                                   ->mutable_linux()
                                   ->mutable_security_context()
                                   ->mutable_namespace_options()
                                   ->mutable_userns_options();
    users->set_mode(v1::POD);
    for (v1::IDMapping* mapping : {users->add_uids(), users->add_gids()}) {
      mapping->set_host_id(65536);
      mapping->set_length(65536);
    }
    return request;
  };
  v1::RunPodSandboxResponse reply;
  EXPECT_THAT(world_.pods().RunPodSandbox(with_users("sandboxed"), &reply, Operation()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("it has none")));
  EXPECT_FALSE(world_.pods().Handlers()[2].features().user_namespaces());
  EXPECT_TRUE(world_.pods().Handlers()[1].features().user_namespaces());
}

}  // namespace
}  // namespace crisp::cri
