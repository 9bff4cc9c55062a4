// The operator's socket: pods that the kubelet's does not show, what their annotations ask for, and
// the operator's own calls.
#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/json.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "node_test.h"

namespace crisp::e2e {
namespace {

namespace admin = ::crisp::v1;
using ::testing::AnyOf;
using ::testing::HasSubstr;

class Operator : public NodeTest {
 protected:
  static void SetUpTestSuite() {
    StartNode("");
    operators_ = new Node(*daemon_, node_->image(), Socket::kOperators);
  }
  static void TearDownTestSuite() {
    delete operators_;
    NodeTest::TearDownTestSuite();
  }
  void TearDown() override {
    operators_->RemoveAll();
    NodeTest::TearDown();
  }
  // The daemon is killed, and another one is started; `meanwhile` runs between the two.
  static void Replace(const std::function<void()>& meanwhile = [] {}) {
    daemon_->Kill();
    meanwhile();
    daemon_->Start();
  }
  static PodEdit Annotated(const std::string& key, const std::string& value) {
    return [=](auto& config) { (*config.mutable_annotations())[key] = value; };
  }
  static bool Known(const std::string& pod) {
    for (const cri::PodSandbox& one : operators_->Pods()) {
      if (one.id() == pod) return true;
    }
    return false;
  }
  // As the image service of one of the sockets tells it.
  static bool Pinned(cri::ImageService::Stub& images) {
    grpc::ClientContext context;
    cri::ImageStatusRequest request;
    request.mutable_image()->set_image(node_->image());
    cri::ImageStatusResponse status;
    EXPECT_TRUE(images.ImageStatus(&context, request, &status).ok());
    grpc::ClientContext another;
    cri::ListImagesResponse list;
    EXPECT_TRUE(images.ListImages(&another, {}, &list).ok());
    EXPECT_EQ(list.images_size(), 1);
    EXPECT_EQ(list.images(0).pinned(), status.image().pinned());
    return status.image().pinned();
  }
  static grpc::Status Pause(const std::string& id) {
    grpc::ClientContext context;
    admin::PauseContainerRequest request;
    request.set_container_id(id);
    admin::PauseContainerResponse reply;
    return daemon_->admin().PauseContainer(&context, request, &reply);
  }
  static grpc::Status Unpause(const std::string& id) {
    grpc::ClientContext context;
    admin::UnpauseContainerRequest request;
    request.set_container_id(id);
    admin::UnpauseContainerResponse reply;
    return daemon_->admin().UnpauseContainer(&context, request, &reply);
  }
  static Json Explain(const std::string& id) {
    grpc::ClientContext context;
    admin::ExplainRequest request;
    request.set_id(id);
    admin::ExplainResponse reply;
    EXPECT_TRUE(daemon_->admin().Explain(&context, request, &reply).ok());
    return ParseJson(reply.json()).value_or(Json());
  }

  static inline Node* operators_ = nullptr;
};

TEST_F(Operator, TheKubeletsSocketShowsNoPodOfTheOperators) {
  struct stat info {};
  ASSERT_EQ(stat(daemon_->operator_socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_FALSE(Pinned(daemon_->images()));
  const auto config = operators_->PodConfig("hidden");
  const std::string pod = operators_->RunPod(config);
  const std::string id =
      operators_->Run(pod, config, operators_->ContainerConfig("c", {"sleep", "1000"}));
  const auto other = node_->PodConfig("shown");
  const std::string shown = node_->RunPod(other);
  for (const bool again : {false, true}) {
    if (again) Replace();
    ASSERT_EQ(node_->Pods().size(), 1u);
    EXPECT_EQ(node_->Pods()[0].id(), shown);
    EXPECT_TRUE(node_->Containers().empty());
    grpc::ClientContext one, two, three;
    cri::ListContainerStatsResponse stats;
    EXPECT_TRUE(daemon_->runtime().ListContainerStats(&one, {}, &stats).ok());
    EXPECT_EQ(stats.stats_size(), 0);
    cri::ListPodSandboxStatsResponse pod_stats;
    EXPECT_TRUE(daemon_->runtime().ListPodSandboxStats(&two, {}, &pod_stats).ok());
    ASSERT_EQ(pod_stats.stats_size(), 1);
    EXPECT_EQ(pod_stats.stats(0).attributes().id(), shown);
    // A list in parts.
    const auto reader = daemon_->runtime().StreamPodSandboxes(&three, {});
    cri::StreamPodSandboxesResponse batch;
    std::set<std::string> streamed;
    while (reader->Read(&batch)) {
      for (const auto& each : batch.pod_sandboxes()) streamed.insert(each.id());
    }
    EXPECT_EQ(streamed, std::set<std::string>{shown});
    // By their ids they are there, and the operator sees all.
    EXPECT_EQ(node_->PodStatus(pod).state(), cri::SANDBOX_READY);
    EXPECT_EQ(node_->Status(id).state(), cri::CONTAINER_RUNNING);
    EXPECT_EQ(operators_->Pods().size(), 2u);
    EXPECT_EQ(operators_->Containers().size(), 1u);
    EXPECT_EQ(operators_->Shell(id, "echo here"), "here");
    EXPECT_TRUE(Pinned(daemon_->images()));
    EXPECT_FALSE(Pinned(daemon_->operators_images()));
  }
  operators_->RemovePod(pod);
  EXPECT_FALSE(Pinned(daemon_->images()));
}

TEST_F(Operator, APodGoesWithItsLastContainerAlsoWhileTheDaemonIsAway) {
  const PodEdit leaves = Annotated("io.crisp.remove-on-exit", "true");
  const auto live = operators_->PodConfig("live", leaves);
  const std::string pod = operators_->RunPod(live);
  EXPECT_TRUE(Known(pod));
  operators_->Run(pod, live, operators_->ContainerConfig("c", {"sh", "-c", "exit 3"}));
  EXPECT_TRUE(Eventually([&] { return !Known(pod); }));
  // While nobody hears of it.
  const auto away = operators_->PodConfig("away", leaves);
  const std::string other = operators_->RunPod(away);
  const std::string id = operators_->Run(
      other, away, operators_->ContainerConfig("c", {"sh", "-c", "sleep 0.3; exit 3"}));
  Replace([&] {
    const std::string record =
        absl::StrCat(daemon_->scratch(), "/state/pods/", other, "/exits/", id);
    EXPECT_TRUE(Eventually([&] { return access(record.c_str(), F_OK) == 0; }));
  });
  EXPECT_TRUE(Eventually([&] { return !Known(other); }));
  // A kubelet's pod stays, whatever a tenant writes.
  const auto kubelets = node_->PodConfig("theirs", leaves);
  const std::string theirs = node_->RunPod(kubelets);
  const std::string ended = node_->Run(theirs, kubelets, node_->ContainerConfig("c", {"true"}));
  node_->Await(ended, cri::CONTAINER_EXITED);
  Replace();
  EXPECT_TRUE(Known(theirs));
}

TEST_F(Operator, APodWithoutANetworkHasLoopbackAlone) {
  // From the first pod on spares are attached to the network: it is to take none of them.
  const std::string first = operators_->RunPod(operators_->PodConfig("first"));
  EXPECT_NE(operators_->PodStatus(first).network().ip(), "");
  const auto config = operators_->PodConfig("alone", [](auto& c) {
    (*c.mutable_annotations())["io.crisp.network"] = "none";
    (*c.mutable_linux()->mutable_sysctls())["net.ipv4.ip_forward"] = "1";
  });
  const std::string pod = operators_->RunPod(config);
  const std::string id =
      operators_->Run(pod, config, operators_->ContainerConfig("c", {"sleep", "1000"}));
  for (const bool again : {false, true}) {
    if (again) Replace();
    EXPECT_EQ(operators_->PodStatus(pod).network().ip(), "");
    EXPECT_EQ(operators_->Shell(id, "ls /sys/class/net"), "lo");
    EXPECT_EQ(operators_->Shell(id, "cat /sys/class/net/lo/flags"), "0x9") << "it is up";
    EXPECT_EQ(operators_->Shell(id, "cat /proc/sys/net/ipv4/ip_forward"), "1");
    EXPECT_EQ(operators_->Shell(id, "ping -c 1 -W 5 127.0.0.1 >/dev/null && echo answers"),
              "answers");
  }
  operators_->StopPod(pod);
  std::string refused;
  EXPECT_EQ(
      operators_
          ->TryRunPod(operators_->PodConfig("bad", Annotated("io.crisp.network", "some")), &refused)
          .error_code(),
      grpc::INVALID_ARGUMENT);
}

TEST_F(Operator, ShmHasTheSizeThatIsAskedFor) {
  const auto config = operators_->PodConfig("shm", Annotated("io.crisp.shm-size", "3145728"));
  const std::string pod = operators_->RunPod(config);
  const std::string id =
      operators_->Run(pod, config, operators_->ContainerConfig("c", {"sleep", "1000"}));
  EXPECT_EQ(operators_->Shell(id, "df -k /dev/shm | awk 'END {print $2}'"), "3072");
}

TEST_F(Operator, UlimitsAndDeviceRatesReachTheKernel) {
  const auto config = operators_->PodConfig("limits");
  const std::string pod = operators_->RunPod(config);
  const std::string id =
      operators_->Run(pod, config, operators_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        (*c.mutable_annotations())["io.crisp.ulimits"] = "nofile=1000:1010,core=0";
      }));
  EXPECT_EQ(operators_->Shell(id, "awk '/open files/ {print $4, $5}' /proc/1/limits"), "1000 1010");
  EXPECT_EQ(operators_->Shell(id, "awk '/core file/ {print $5, $6}' /proc/self/limits"), "0 0");
  std::string refused;
  const grpc::Status status = operators_->TryCreate(
      pod, config,
      operators_->ContainerConfig(
          "much", {"true"},
          [](auto& c) { (*c.mutable_annotations())["io.crisp.ulimits"] = "nofile=1:4000000000"; }),
      &refused);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("crispd's own"));
  struct stat st {};
  if (stat("/dev/loop0", &st) != 0 || !S_ISBLK(st.st_mode)) GTEST_SKIP() << "no /dev/loop0";
  const std::string slow = operators_->Run(
      pod, config, operators_->ContainerConfig("slow", {"sleep", "1000"}, [](auto& c) {
        (*c.mutable_annotations())["io.crisp.device-read-bps"] = "/dev/loop0:3000000";
        (*c.mutable_annotations())["io.crisp.device-write-iops"] = "/dev/loop0:77";
      }));
  EXPECT_THAT(operators_->Shell(slow,
                                "cd /sys/fs/cgroup; cat io.max 2>/dev/null || (cd blkio && cat "
                                "blkio.throttle.read_bps_device blkio.throttle.write_iops_device)"),
              AnyOf("7:0 3000000\n7:0 77", "7:0 rbps=3000000 wbps=max riops=max wiops=77"));
}

TEST_F(Operator, APausedContainerStaysSoOverARestart) {
  const auto config = operators_->PodConfig("paused");
  const std::string pod = operators_->RunPod(config);
  const std::string id = operators_->Run(
      pod, config,
      operators_->ContainerConfig("c", {"sh", "-c",
                                        "trap 'exit 7' TERM; while :; do echo tick; "
                                        "sleep 0.02; done"}));
  EXPECT_TRUE(
      Eventually([&] { return absl::StrContains(operators_->Log("paused", "c"), "tick"); }));
  EXPECT_EQ(Explain(id)["paused"], false);
  ASSERT_TRUE(Pause(id).ok());
  for (const bool again : {false, true}) {
    if (again) Replace();
    EXPECT_EQ(Explain(id)["paused"], true);
    EXPECT_EQ(operators_->Status(id).state(), cri::CONTAINER_RUNNING);
    EXPECT_TRUE(Pause(id).ok());
  }
  const std::string before = operators_->Log("paused", "c");
  ASSERT_TRUE(Unpause(id).ok());
  EXPECT_TRUE(Eventually([&] { return operators_->Log("paused", "c").size() > before.size(); }));
  ASSERT_TRUE(Pause(id).ok());
  operators_->Stop(id, 60);
  EXPECT_EQ(operators_->Status(id).exit_code(), 7);
  EXPECT_EQ(Pause(id).error_code(), grpc::FAILED_PRECONDITION);
}

TEST_F(Operator, TellsWhatAContainerHasChanged) {
  const auto config = operators_->PodConfig("changes");
  const std::string pod = operators_->RunPod(config);
  const std::string id =
      operators_->Run(pod, config, operators_->ContainerConfig("c", {"sleep", "1000"}));
  operators_->Shell(id,
                    "echo x >/etc/passwd; rm /etc/group; mkdir /new; echo x >/new/file; "
                    "rm -r /var; mkdir /var; mv /root /moved 2>/dev/null || true; "
                    "ln -s /etc/shadow /link");
  grpc::ClientContext context;
  admin::ContainerChangesRequest request;
  request.set_container_id(id);
  admin::ContainerChangesResponse reply;
  const grpc::Status status = daemon_->admin().ContainerChanges(&context, request, &reply);
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::set<std::string> told;
  for (const admin::ContainerChange& change : reply.changes()) {
    told.insert(absl::StrCat(admin::ContainerChange::Kind_Name(change.kind()), " ", change.path()));
  }
  for (const char* expected :
       {"CHANGED /etc/passwd", "DELETED /etc/group", "CHANGED /etc", "ADDED /new",
        "ADDED /new/file", "CHANGED /var", "ADDED /link", "DELETED /root", "ADDED /moved"}) {
    EXPECT_TRUE(told.contains(expected)) << expected;
  }
  EXPECT_EQ(told.size(), 9u) << ::testing::PrintToString(told);
  EXPECT_FALSE(reply.truncated());
}

}  // namespace
}  // namespace crisp::e2e
