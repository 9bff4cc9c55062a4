#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/database.h"
#include "base/file.h"
#include "base/id.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/test_time.h"
#include "cri/pods/testing/pod_manager_fixture.h"
#include "google/protobuf/util/message_differencer.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/handler/detached_overlay.h"

namespace crisp::cri {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

TEST_F(PodManagerTest, AContainerLivesAndEnds) {
  const std::string pod = RunPod("web");
  EXPECT_EQ(PodStatusOf(pod).state(), v1::SANDBOX_READY);
  EXPECT_EQ(PodStatusOf(pod).network().ip(), "10.1.2.3");
  const std::string id = RunContainer(pod, "one", "echo hello $HOSTNAME; exit 3");
  const v1::ContainerStatus status = AwaitExited(id);
  EXPECT_EQ(status.exit_code(), 3);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_GT(status.finished_at(), status.started_at());
  EXPECT_THAT(Log("one"), HasSubstr("stdout F hello web"));
  EXPECT_THAT(StartOne(id), StatusIs(absl::StatusCode::kFailedPrecondition));
  // A prefix is an id.
  EXPECT_EQ(StatusOf(id.substr(0, 13)).id(), id);
  // A stopped pod has no address, not even in the daemon's next life.
  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(pod);
  ASSERT_OK(manager_->StopPodSandbox(stop, nullptr, Operation()));
  for (const bool again : {false, true}) {
    if (again) End(), Start();
    EXPECT_EQ(PodStatusOf(pod).network().ip(), "");
    EXPECT_EQ(PodStatusOf(pod).network().additional_ips_size(), 0);
  }
}

// The holder of a pod's host ports lives as long as the pod, whatever becomes of the daemon.
TEST_F(PodManagerTest, HostPortsAreHeldWhileTheDaemonIsDown) {
  UniqueFd hold, theirs;
  {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    hold.reset(ends[0]), theirs.reset(ends[1]);
  }
  const auto held = [&] {  // the end of the stream comes when nobody has the other side
    char byte;
    return read(theirs.get(), &byte, 1) < 0 && errno == EAGAIN;
  };
  network_.GiveToNextPod(std::move(hold));
  auto request = PodRequest("web");
  v1::PortMapping* port = request.mutable_config()->add_port_mappings();
  port->set_container_port(80);
  port->set_host_port(8080);
  v1::RunPodSandboxResponse reply;
  ASSERT_OK(manager_->RunPodSandbox(request, &reply, Operation()));
  EXPECT_TRUE(held());
  End();
  EXPECT_TRUE(held());
  Start();
  RunContainer(reply.pod_sandbox_id(), "one", "sleep 1000");
  EXPECT_TRUE(held());
  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(reply.pod_sandbox_id());
  ASSERT_OK(manager_->StopPodSandbox(stop, nullptr, Operation()));
  EXPECT_FALSE(held());
}

TEST_F(PodManagerTest, AStartLeavesTheContainersLayerEmpty) {
  const std::string id = RunContainer(RunPod("web"), "one", "echo > /mine; ls /etc; sleep 1000");
  const std::string upper = absl::StrCat(dir_.path(), "/root/c/", id, "/upper");
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(Log("one"), "resolv.conf"); }));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, ListDir(upper));
  EXPECT_THAT(names, ::testing::ElementsAre("mine"));
}

// Linux 6.8 takes an overlay's layers one by one.
bool KernelMountsDetachedOverlays(const std::string& dir) {
  for (const char* name : {"/lower", "/upper", "/work"}) EXPECT_OK(MakeDirs(dir + name));
  const absl::StatusOr<UniqueFd> mount =
      runtime::MountDetachedOverlay({dir + "/lower"}, dir + "/upper", dir + "/work");
  if (mount.ok()) return true;
  EXPECT_THAT(mount, StatusIs(absl::StatusCode::kUnimplemented));
  return false;
}

TEST_F(PodManagerTest, ContainersTakeOverlaysThatWereMountedAhead) {
  End();
  spare_roots_ = 2;
  Start();
  const auto spares = [&](size_t count) {
    std::vector<std::string> keys;
    EXPECT_TRUE(Eventually([&] {
      keys = images_->PinnedKeys();
      std::erase_if(keys, [](const std::string& key) { return !absl::StartsWith(key, "spare-"); });
      return keys.size() == count;
    })) << keys.size();
    return keys;
  };
  const std::string pod = RunPod("ahead");
  RunContainer(pod, "first", "sleep 1000");
  if (!KernelMountsDetachedOverlays(dir_.path() + "/probe")) {
    spares(0);
    GTEST_SKIP() << "containers mount their own here";
  }
  const std::vector<std::string> made = spares(2);
  const std::string second =
      RunContainer(pod, "second", "echo mine >/file; stat -c %n /etc/hosts; sleep 1000");
  EXPECT_TRUE(Eventually([&] {
    return std::any_of(made.begin(), made.end(), [&](const std::string& key) {
      const std::string upper = absl::StrCat(dir_.path(), "/root/c/", key, "/upper");
      return ReadFile(upper + "/file").value_or("") == "mine\n";
    });
  })) << "it took none of them";
  spares(2);
  // A restart of the daemon leaves the container its directories, and nobody's spares.
  End();
  Start();
  EXPECT_EQ(StatusOf(second).state(), v1::CONTAINER_RUNNING);
  spares(0);
  EXPECT_FALSE(Create(ContainerRequest(pod, "third", "true")).empty());
  spares(2);
  manager_->ForgetImage(images_->Find("busybox:1")->id);
  spares(0);
}

TEST_F(PodManagerTest, ExplainTellsHowLongTheStepsTook) {
  const std::string pod = RunPod("timing");
  const std::string id = RunContainer(pod, "c", "sleep 1000");
  ASSERT_OK(StopOne(id, 0));
  const auto steps_of = [&](const std::string& of) {
    const absl::StatusOr<Json> explained = manager_->Explain(of);
    EXPECT_OK(explained);
    std::vector<std::string> steps;
    for (const Json& step : explained.value_or(Json::object()).value("timing", Json::array())) {
      steps.push_back(step["operation"].get<std::string>() + "/" + step["step"].get<std::string>());
      EXPECT_GE(step["microseconds"].get<int64_t>(), 0);
    }
    return steps;
  };
  EXPECT_THAT(steps_of(pod),
              ::testing::ElementsAre("RunPodSandbox/record", "RunPodSandbox/directories",
                                     "RunPodSandbox/shim", "RunPodSandbox/network",
                                     "RunPodSandbox/hosts", "RunPodSandbox/publish"));
  EXPECT_THAT(steps_of(id),
              ::testing::ElementsAre(
                  "CreateContainer/record", "CreateContainer/storage", "CreateContainer/resolve",
                  "CreateContainer/spec", "CreateContainer/cgroup", "CreateContainer/plan",
                  "CreateContainer/limits", "CreateContainer/shim", "CreateContainer/publish",
                  "StartContainer/shim", "StartContainer/publish", "StopContainer/signal",
                  "StopContainer/exit"));
  EXPECT_THAT(manager_->Explain(std::string(64, 'f')), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PodManagerTest, ARetryFindsWhatTheFirstMade) {
  const std::string pod = RunPod("again");
  EXPECT_EQ(RunPod("again"), pod);
  EXPECT_EQ(network_.attached, 1);
  const v1::CreateContainerRequest request = ContainerRequest(pod, "one", "sleep 100");
  const std::string id = Create(request);
  EXPECT_EQ(Create(request), id);
  std::vector<std::string> ids(4);
  std::vector<std::thread> threads;
  for (std::string& made : ids) {
    threads.emplace_back([&] { made = Create(ContainerRequest(pod, "many", "sleep 100")); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& made : ids) EXPECT_EQ(made, ids[0]);
  // Another configuration replaces one that was never started.
  const std::string other = Create(ContainerRequest(pod, "one", "sleep 200"));
  EXPECT_NE(other, id);
}

TEST_F(PodManagerTest, AFailedAttachLeavesNothing) {
  network_.fail = true;
  v1::RunPodSandboxResponse reply;
  EXPECT_THAT(manager_->RunPodSandbox(PodRequest("bad"), &reply, Operation()),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(manager_->PodCount(), 0);
  EXPECT_GE(network_.detached, 1);
  EXPECT_TRUE(ListDir(dir_.path() + "/state/pods")->empty());
  network_.fail = false;
  EXPECT_FALSE(RunPod("bad").empty());
}

TEST_F(PodManagerTest, AnUnwrittenRecordHoldsNoClaimOnItsCgroup) {
  ASSERT_OK_AND_ASSIGN(runtime::CgroupLayout layout, runtime::DetectCgroups());
  const std::string parent = absl::StrCat("/crisp-claim-", ::getpid());
  const runtime::Cgroup group(std::make_shared<const runtime::CgroupLayout>(std::move(layout)),
                              parent);
  v1::RunPodSandboxRequest request = PodRequest("claim");
  request.mutable_config()->mutable_linux()->set_cgroup_parent(parent);
  ASSERT_OK_AND_ASSIGN(const auto rows,
                       Database::Open(dir_.path() + "/state/state.db", Database::Sync::kOff, ""));
  ASSERT_OK(
      rows->Execute(
              "CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(FAIL, 'full'); END")
          .status());
  v1::RunPodSandboxResponse reply;
  EXPECT_THAT(manager_->RunPodSandbox(request, &reply, Operation()).message(), HasSubstr("full"));
  ASSERT_OK(rows->Execute("DROP TRIGGER full").status());
  // The next pod that claims it is the last one to leave it, too.
  ASSERT_OK(manager_->RunPodSandbox(request, &reply, Operation()));
  EXPECT_EQ(::access(group.PrimaryDir().c_str(), F_OK), 0);
  v1::RemovePodSandboxRequest removal;
  removal.set_pod_sandbox_id(reply.pod_sandbox_id());
  EXPECT_OK(manager_->RemovePodSandbox(removal, nullptr, Operation()));
  // In the background.
  EXPECT_TRUE(Eventually([&] { return !Exists(group.PrimaryDir()); })) << group.PrimaryDir();
}

TEST_F(PodManagerTest, AMissingProgramIsAStartError) {
  const std::string pod = RunPod("web");
  v1::CreateContainerRequest request = ContainerRequest(pod, "one", "");
  request.mutable_config()->clear_command();
  request.mutable_config()->add_command("/no/such");
  const std::string id = Create(request);
  const absl::Status failed = StartOne(id);
  EXPECT_FALSE(failed.ok());
  const std::string text(failed.message());
  // The client has named the container, and says it again around this text.
  EXPECT_EQ(text.find(id), std::string::npos) << text;
  EXPECT_EQ(text.find("start"), text.rfind("start")) << text;
  const v1::ContainerStatus status = StatusOf(id);
  EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 128);
  EXPECT_EQ(status.reason(), "StartError");
  EXPECT_THAT(status.message(), HasSubstr("/no/such"));
}

// A container may write to these files without asking, so they do not lie where the daemon keeps
// its records.
TEST_F(PodManagerTest, APodsFilesAreNotOnTheDaemonsFileSystem) {
  for (const bool userns : {false, true}) {
    v1::RunPodSandboxRequest request = PodRequest(userns ? "mapped" : "plain");
    request.mutable_config()->mutable_dns_config()->add_servers("192.0.2.53");
    if (userns) {
      v1::UserNamespace* maps = request.mutable_config()
                                    ->mutable_linux()
                                    ->mutable_security_context()
                                    ->mutable_namespace_options()
                                    ->mutable_userns_options();
      maps->set_mode(v1::POD);
      for (v1::IDMapping* map : {maps->add_uids(), maps->add_gids()}) {
        map->set_host_id(200000);
        map->set_length(65536);
      }
    }
    v1::RunPodSandboxResponse reply;
    ASSERT_OK(manager_->RunPodSandbox(request, &reply, Operation()));
    const std::string pod = reply.pod_sandbox_id();
    const std::string name = request.config().metadata().name();
    // With a volume above them as well.
    ASSERT_OK(MakeDirs(absl::StrCat(dir_.path(), "/etc-", name)));
    v1::CreateContainerRequest container =
        ContainerRequest(pod, name,
                         "cat /etc/hostname /etc/resolv.conf /etc/hosts; echo >>/etc/hosts && echo "
                         "wrote; sleep 1000");
    v1::Mount* mount = container.mutable_config()->add_mounts();
    mount->set_container_path("/etc");
    mount->set_host_path(absl::StrCat(dir_.path(), "/etc-", name));
    if (userns) {
      for (v1::IDMapping* map : {mount->add_uidmappings(), mount->add_gidmappings()}) {
        map->set_host_id(200000);
        map->set_length(65536);
      }
    }
    const std::string id = Create(container);
    ASSERT_OK(StartOne(id));
    EXPECT_TRUE(Eventually([&] { return absl::StrContains(Log(name), "wrote"); })) << Log(name);
    EXPECT_THAT(Log(name), HasSubstr(absl::StrCat("F ", name, "\n")));
    EXPECT_THAT(Log(name), HasSubstr("F nameserver 192.0.2.53\n"));
    EXPECT_THAT(Log(name), HasSubstr(absl::StrCat("10.1.2.3\t", name)));
    EXPECT_THAT(Log(name), HasSubstr("F wrote\n"));
    const auto filled =
        Exec(id, "dd if=/dev/zero of=/etc/resolv.conf bs=64k count=100 2>&1; true", 10);
    ASSERT_OK(filled);
    EXPECT_THAT(filled->stdout(), HasSubstr("No space left"));
    const auto usage = MeasureTree(dir_.path() + "/state/pods");
    ASSERT_OK(usage);
    EXPECT_LT(usage->bytes, 256u << 10);
  }
}

TEST_F(PodManagerTest, APodWithAUserNamespaceIsRefusedWhereNoneCanRun) {
  End();
  no_user_namespaces_ = "its kernel has no id-mapped tmpfs";
  Start();
  v1::RunPodSandboxRequest request = PodRequest("mapped");
  v1::UserNamespace* maps = request.mutable_config()
                                ->mutable_linux()
                                ->mutable_security_context()
                                ->mutable_namespace_options()
                                ->mutable_userns_options();
  maps->set_mode(v1::POD);
  for (v1::IDMapping* map : {maps->add_uids(), maps->add_gids()}) map->set_length(65536);
  v1::RunPodSandboxResponse reply;
  EXPECT_THAT(manager_->RunPodSandbox(request, &reply, Operation()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("its kernel has no id-mapped tmpfs")));
  RunPod("plain");
}

TEST_F(PodManagerTest, AShorterStopShortensALongerOne) {
  const std::string pod = RunPod("web");
  const std::string id =
      RunContainer(pod, "deaf", "trap '' TERM; echo deaf; while true; do sleep 1; done");
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(Log("deaf"), "deaf"); }));
  EXPECT_THAT(StopOne(id, 86400, Operation(absl::Now() + absl::Milliseconds(300))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(StatusOf(id).state(), v1::CONTAINER_RUNNING);
  const absl::Time begin = absl::Now();
  EXPECT_OK(StopOne(id, 1));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  EXPECT_EQ(StatusOf(id).exit_code(), 137);
  EXPECT_OK(StopOne(id, 1));
  EXPECT_OK(StopOne(std::string(64, 'f'), 1));
}

TEST_F(PodManagerTest, ExecSyncSeesOutputCodeAndTime) {
  const std::string pod = RunPod("web");
  const std::string id = RunContainer(pod, "one", "sleep 1000");
  ASSERT_OK_AND_ASSIGN(const v1::ExecSyncResponse reply,
                       Exec(id, "echo out; echo err >&2; exit 7", 10));
  EXPECT_EQ(reply.stdout(), "out\n");
  EXPECT_EQ(reply.stderr(), "err\n");
  EXPECT_EQ(reply.exit_code(), 7);
  EXPECT_THAT(Exec(id, "sleep 4242 & sleep 4343", 1),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_OK_AND_ASSIGN(const v1::ExecSyncResponse ps, Exec(id, "ps", 10));
  EXPECT_FALSE(absl::StrContains(ps.stdout(), "4242")) << ps.stdout();
  EXPECT_FALSE(absl::StrContains(ps.stdout(), "4343")) << ps.stdout();
  // A daemon that keeps the pipe does not keep the call.
  const absl::Time begin = absl::Now();
  ASSERT_OK_AND_ASSIGN(const v1::ExecSyncResponse daemon, Exec(id, "sleep 50 & echo started", 10));
  EXPECT_EQ(daemon.stdout(), "started\n");
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  EXPECT_THAT(Exec(std::string(64, 'f'), "true", 1), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PodManagerTest, ARestartChangesNothing) {
  const std::string pod = RunPod("web");
  const std::string running = RunContainer(pod, "running", "sleep 1000");
  const std::string created = Create(ContainerRequest(pod, "created", "echo later"));
  const std::string ended = RunContainer(pod, "ended", "exit 4");
  AwaitExited(ended);
  const std::string ending = RunContainer(pod, "ending", "sleep 0.5; exit 5");
  const v1::PodSandboxStatus pod_before = PodStatusOf(pod);
  const v1::ContainerStatus running_before = StatusOf(running), ended_before = StatusOf(ended);
  End();
  EXPECT_TRUE(Eventually(
      [&] { return Exists(absl::StrCat(dir_.path(), "/state/pods/", pod, "/exits/", ending)); }));
  Start();
  EXPECT_TRUE(MessageDifferencer::Equals(PodStatusOf(pod), pod_before));
  EXPECT_TRUE(MessageDifferencer::Equals(StatusOf(running), running_before));
  EXPECT_TRUE(MessageDifferencer::Equals(StatusOf(ended), ended_before));
  EXPECT_EQ(AwaitExited(ending).exit_code(), 5);
  EXPECT_OK(StartOne(created));
  EXPECT_EQ(AwaitExited(created).exit_code(), 0);
  ASSERT_OK_AND_ASSIGN(const v1::ExecSyncResponse reply, Exec(running, "echo still here", 5));
  EXPECT_EQ(reply.stdout(), "still here\n");
  EXPECT_EQ(RunPod("web"), pod);
}

TEST_F(PodManagerTest, ADeadShimMakesThePodNotReady) {
  const std::string pod = RunPod("web");
  const std::string id = RunContainer(pod, "one", "sleep 1000");
  ASSERT_OK_AND_ASSIGN(const auto shim, manager_->table().FindReadyPod(pod));
  ASSERT_EQ(::kill(shim->pid(), SIGKILL), 0);
  const v1::ContainerStatus status = AwaitExited(id);
  EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
  EXPECT_NE(status.exit_code(), 0);
  EXPECT_EQ(PodStatusOf(pod).state(), v1::SANDBOX_NOTREADY);
  // The name is free for the kubelet's next attempt, whatever its number.
  EXPECT_NE(RunPod("web"), pod);
}

TEST_F(PodManagerTest, TheUserIsWhoTheConfigSays) {
  const std::string pod = RunPod("web");
  v1::CreateContainerRequest request = ContainerRequest(pod, "who", "id -u; id -g; id -G");
  auto* context = request.mutable_config()->mutable_linux()->mutable_security_context();
  context->set_run_as_username("web");
  context->add_supplemental_groups(1234);
  const std::string id = Create(request);
  ASSERT_OK(StartOne(id));
  const v1::ContainerStatus status = AwaitExited(id);
  EXPECT_THAT(Log("who"), HasSubstr("F 33\n"));
  EXPECT_THAT(Log("who"), HasSubstr("F 34\n"));
  EXPECT_THAT(Log("who"), HasSubstr("1234"));
  EXPECT_EQ(status.user().linux().uid(), 33);
  EXPECT_EQ(status.user().linux().gid(), 34);
}

TEST_F(PodManagerTest, RemovingAPodRemovesAll) {
  const std::string pod = RunPod("web");
  const std::string id = RunContainer(pod, "one", "sleep 1000");
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  EXPECT_OK(manager_->RemovePodSandbox(request, nullptr, Operation()));
  EXPECT_OK(manager_->RemovePodSandbox(request, nullptr, Operation()));
  v1::ContainerStatusRequest container;
  container.set_container_id(id);
  v1::ContainerStatusResponse reply;
  EXPECT_THAT(manager_->ContainerStatus(container, &reply, Operation()),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(RemoveEveryPod());
  EXPECT_TRUE(ListDir(dir_.path() + "/state/pods")->empty());
}

TEST_F(PodManagerTest, StartingIsQuick) {
  RunContainer(RunPod("warm"), "warm", "sleep 100");
  absl::Duration best = absl::InfiniteDuration();
  for (int i = 0; i < 10; ++i) {
    const absl::Time begin = absl::Now();
    RunContainer(RunPod(absl::StrCat("p", i)), "one", "sleep 100");
    best = std::min(best, absl::Now() - begin);
  }
  RecordProperty("best", absl::FormatDuration(best));
  // The budget is 12 ms; a loaded machine gets some grace in the best of ten.
  EXPECT_LT(best, Patience(absl::Milliseconds(50))) << best;
}

}  // namespace
}  // namespace crisp::cri
