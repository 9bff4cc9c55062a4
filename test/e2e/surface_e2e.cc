// The parts of the CRI beside the life cycle: events, streamed lists, statistics, metrics, updates.
#include <grpcpp/grpcpp.h>

#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_matchers.h"
#include "daemon.h"
#include "node.h"

namespace crisp::e2e {
namespace {

class Surface : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    daemon_ = new Daemon();
    daemon_->Start();
    node_ = new Node(*daemon_, daemon_->ImportImage());
  }
  static void TearDownTestSuite() {
    delete node_;
    delete daemon_;
  }
  void TearDown() override { node_->RemoveAll(); }
  static Daemon* daemon_;
  static Node* node_;
};
Daemon* Surface::daemon_;
Node* Surface::node_;

TEST_F(Surface, EventsCarryThePodAndItsContainers) {
  grpc::ClientContext context;
  std::vector<cri::ContainerEventResponse> events;
  auto reader = daemon_->runtime().GetContainerEvents(&context, {});
  std::thread listener([&] {
    cri::ContainerEventResponse event;
    while (reader->Read(&event)) events.push_back(event);
  });
  absl::SleepFor(absl::Milliseconds(300));  // until the daemon knows the reader
  const auto config = node_->PodConfig("events");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}));
  node_->Stop(id, 0);
  node_->Remove(id);
  node_->StopPod(pod);
  node_->RemovePod(pod);
  absl::SleepFor(absl::Milliseconds(300));
  context.TryCancel();
  listener.join();
  std::multiset<std::pair<std::string, int>> seen;
  for (const auto& event : events) {
    seen.emplace(event.container_id(), event.container_event_type());
    EXPECT_EQ(event.pod_sandbox_status().metadata().name(), "events");
    EXPECT_GT(event.created_at(), 0);
    if (event.container_id() == id && event.container_event_type() == cri::CONTAINER_STARTED_EVENT) {
      ASSERT_EQ(event.containers_statuses_size(), 1);
      EXPECT_EQ(event.containers_statuses(0).state(), cri::CONTAINER_RUNNING);
    }
  }
  for (const std::string& which : {pod, id}) {
    for (const int type : {cri::CONTAINER_CREATED_EVENT, cri::CONTAINER_STARTED_EVENT,
                           cri::CONTAINER_STOPPED_EVENT, cri::CONTAINER_DELETED_EVENT}) {
      EXPECT_EQ(seen.count({which, type}), 1u) << which << " " << type;
    }
  }
}

TEST_F(Surface, StreamedListsEqualTheUnaryOnes) {
  const auto config = node_->PodConfig("lists");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}));
  std::vector<std::string> pods, containers, stats;
  {
    grpc::ClientContext context;
    cri::StreamPodSandboxesResponse batch;
    auto stream = daemon_->runtime().StreamPodSandboxes(&context, {});
    while (stream->Read(&batch)) for (const auto& item : batch.pod_sandboxes()) pods.push_back(item.id());
    EXPECT_TRUE(stream->Finish().ok());
  }
  {
    grpc::ClientContext context;
    cri::StreamContainersResponse batch;
    auto stream = daemon_->runtime().StreamContainers(&context, {});
    while (stream->Read(&batch)) for (const auto& item : batch.containers()) containers.push_back(item.id());
    EXPECT_TRUE(stream->Finish().ok());
  }
  {
    grpc::ClientContext context;
    cri::StreamContainerStatsRequest request;
    request.mutable_filter()->set_id(id.substr(0, 13));
    cri::StreamContainerStatsResponse batch;
    auto stream = daemon_->runtime().StreamContainerStats(&context, request);
    while (stream->Read(&batch)) for (const auto& item : batch.container_stats()) stats.push_back(item.attributes().id());
    EXPECT_TRUE(stream->Finish().ok());
  }
  EXPECT_THAT(pods, ::testing::ElementsAre(pod));
  EXPECT_THAT(containers, ::testing::ElementsAre(id));
  EXPECT_THAT(stats, ::testing::ElementsAre(id));
}

TEST_F(Surface, TheFirstStatisticsAreComplete) {
  const auto config = node_->PodConfig("stats");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sh", "-c", "while :; do :; done"}, [](auto& c) {
    c.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
  }));
  absl::SleepFor(absl::Milliseconds(500));
  cri::ContainerStatsRequest request;
  request.set_container_id(id);
  cri::ContainerStatsResponse reply;
  grpc::ClientContext context;
  ASSERT_TRUE(daemon_->runtime().ContainerStats(&context, request, &reply).ok());
  const cri::ContainerStats& stats = reply.stats();
  EXPECT_GT(stats.cpu().usage_nano_cores().value(), 0u) << "the first call tells no rate";
  EXPECT_GT(stats.cpu().usage_core_nano_seconds().value(), 0u);
  EXPECT_GT(stats.memory().usage_bytes().value(), 0u);
  EXPECT_LE(stats.memory().working_set_bytes().value(), stats.memory().usage_bytes().value());
  EXPECT_GT(stats.memory().available_bytes().value(), 0u);
  EXPECT_GT(stats.memory().page_faults().value(), 0u);
  EXPECT_TRUE(stats.has_swap());
  EXPECT_NE(stats.writable_layer().fs_id().mountpoint(), "");

  cri::PodSandboxStatsRequest of_pod;
  of_pod.set_pod_sandbox_id(pod);
  cri::PodSandboxStatsResponse pod_reply;
  grpc::ClientContext pod_context;
  ASSERT_TRUE(daemon_->runtime().PodSandboxStats(&pod_context, of_pod, &pod_reply).ok());
  EXPECT_EQ(pod_reply.stats().linux().network().default_interface().name(), "eth0");
  EXPECT_EQ(pod_reply.stats().linux().containers_size(), 1);
  EXPECT_GE(pod_reply.stats().linux().process().process_count().value(), 1u);
}

TEST_F(Surface, EverySampleHasItsDescriptor) {
  const auto config = node_->PodConfig("metrics");
  const std::string pod = node_->RunPod(config);
  node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}));
  cri::ListMetricDescriptorsResponse descriptors;
  grpc::ClientContext context;
  ASSERT_TRUE(daemon_->runtime().ListMetricDescriptors(&context, {}, &descriptors).ok());
  std::map<std::string, int> labels;
  for (const auto& d : descriptors.descriptors()) labels[d.name()] = d.label_keys_size();
  cri::ListPodSandboxMetricsResponse metrics;
  grpc::ClientContext metrics_context;
  ASSERT_TRUE(daemon_->runtime().ListPodSandboxMetrics(&metrics_context, {}, &metrics).ok());
  ASSERT_EQ(metrics.pod_metrics_size(), 1);
  ASSERT_EQ(metrics.pod_metrics(0).container_metrics_size(), 1);
  for (const auto& sample : metrics.pod_metrics(0).container_metrics(0).metrics()) {
    EXPECT_EQ(labels[sample.name()], sample.label_values_size()) << sample.name();
  }
}

TEST_F(Surface, AmbientCapabilitiesReachAProgramThatIsNotRoot) {
  const auto config = node_->PodConfig("ambient");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
    auto* security = c.mutable_linux()->mutable_security_context();
    security->mutable_run_as_user()->set_value(1234);
    security->mutable_capabilities()->add_drop_capabilities("ALL");
    security->mutable_capabilities()->add_add_ambient_capabilities("NET_BIND_SERVICE");
  }));
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_EQ(node_->Shell(id, absl::StrCat("grep ", set, " /proc/1/status")),
              absl::StrCat(set, ":\t0000000000000400"));
  }
}

TEST_F(Surface, AUserNamespaceMayUseTheHostsNetwork) {
  const auto mapped = [](auto* options) {
    options->set_network(cri::NODE);
    auto* userns = options->mutable_userns_options();
    userns->set_mode(cri::POD);
    for (auto* map : {userns->add_uids(), userns->add_gids()}) {
      map->set_host_id(200000);
      map->set_length(65536);
    }
  };
  const auto config = node_->PodConfig("usernet", [&](auto& c) {
    c.clear_hostname();
    mapped(c.mutable_linux()->mutable_security_context()->mutable_namespace_options());
  });
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [&](auto& c) {
    mapped(c.mutable_linux()->mutable_security_context()->mutable_namespace_options());
  }));
  EXPECT_EQ(node_->Shell(id, "cat /proc/self/uid_map | tr -s ' '"), " 0 200000 65536");
  EXPECT_EQ(node_->Shell(id, absl::StrCat("test -e /sys/class/net/", daemon_->bridge(), " && echo yes")), "yes");
  EXPECT_EQ(node_->PodStatus(pod).network().ip(), "");
}

TEST_F(Surface, MountOptionsHold) {
  const std::string host = daemon_->scratch() + "/options";
  ASSERT_OK(MakeDirs(host));
  const auto config = node_->PodConfig("options");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [&](auto& c) {
    auto* mount = c.add_mounts();
    mount->set_host_path(host);
    mount->set_container_path("/options");
    mount->add_mount_options("noexec");
    mount->add_mount_options("nosuid");
  }));
  EXPECT_EQ(node_->Shell(id, "cp /bin/busybox /options/busybox && /bin/busybox true && echo copied"), "copied");
  EXPECT_EQ(node_->Shell(id, "/options/busybox true 2>/dev/null || echo refused"), "refused");
}

TEST_F(Surface, TheStopSignalOfTheConfigIsSent) {
  const auto config = node_->PodConfig("signal");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(
      pod, config,
      node_->ContainerConfig("c", {"sh", "-c", "trap 'exit 7' USR1; trap '' TERM; while :; do sleep 0.05; done"},
                             [](auto& c) { c.set_stop_signal(cri::SIGNAL_SIGUSR1); }));
  absl::SleepFor(absl::Milliseconds(300));  // until the traps are set
  node_->Stop(id, 10);
  EXPECT_EQ(node_->Await(id, cri::CONTAINER_EXITED).exit_code(), 7);
  EXPECT_EQ(node_->Status(id).stop_signal(), cri::SIGNAL_SIGUSR1);
}

TEST_F(Surface, UpdatesOfPodAndContainerReachTheKernel) {
  const auto config = node_->PodConfig("update");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
    c.mutable_linux()->mutable_resources()->set_cpu_quota(50000);
    c.mutable_linux()->mutable_resources()->set_cpu_period(100000);
  }));
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  request.mutable_linux()->set_cpu_period(200000);
  cri::UpdateContainerResourcesResponse response;
  grpc::ClientContext context;
  const grpc::Status updated = daemon_->runtime().UpdateContainerResources(&context, request, &response);
  ASSERT_TRUE(updated.ok()) << updated.error_message();
  const std::string now = node_->Shell(
      id, "cat /sys/fs/cgroup/cpu.max 2>/dev/null || (cd /sys/fs/cgroup/cpu; cat cpu.cfs_quota_us cpu.cfs_period_us)");
  EXPECT_TRUE(now == "50000 200000" || now == "50000\n200000") << now;

  cri::UpdatePodSandboxResourcesRequest of_pod;
  of_pod.set_pod_sandbox_id(pod);
  of_pod.mutable_resources()->set_memory_limit_in_bytes(256 << 20);
  cri::UpdatePodSandboxResourcesResponse of_pod_response;
  grpc::ClientContext pod_context;
  const grpc::Status pod_updated =
      daemon_->runtime().UpdatePodSandboxResources(&pod_context, of_pod, &of_pod_response);
  ASSERT_TRUE(pod_updated.ok()) << pod_updated.error_message();
  const std::string group = daemon_->cgroup_parent();
  auto limit = ReadFile("/sys/fs/cgroup/memory" + group + "/memory.limit_in_bytes");
  if (!limit.ok()) limit = ReadFile("/sys/fs/cgroup" + group + "/memory.max");
  EXPECT_EQ(limit.value_or("none"), "268435456\n");
}

}  // namespace
}  // namespace crisp::e2e
