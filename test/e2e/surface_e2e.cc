// The parts of the CRI beside the life cycle: events, streamed lists, statistics, metrics, updates.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "node_test.h"

namespace crisp::e2e {
namespace {

class Surface : public NodeTest {};

TEST_F(Surface, EventsCarryThePodAndItsContainers) {
  grpc::ClientContext context;
  absl::Mutex mutex;
  std::vector<cri::ContainerEventResponse> events;
  const auto deleted = [&](absl::string_view name) {
    absl::MutexLock lock(&mutex);
    return std::any_of(events.begin(), events.end(), [&](const auto& event) {
      return event.container_event_type() == cri::CONTAINER_DELETED_EVENT &&
             event.pod_sandbox_status().metadata().name() == name &&
             event.container_id() == event.pod_sandbox_status().id();
    });
  };
  auto reader = daemon_->runtime().GetContainerEvents(&context, {});
  std::thread listener([&] {
    cri::ContainerEventResponse event;
    while (reader->Read(&event)) {
      absl::MutexLock lock(&mutex);
      events.push_back(event);
    }
  });
  // Until the daemon knows the reader: what came before is told to nobody.
  EXPECT_TRUE(Eventually([&] {
    const std::string pod = node_->RunPod(node_->PodConfig("early"));
    node_->StopPod(pod);
    node_->RemovePod(pod);
    return deleted("early");
  }));
  const auto config = node_->PodConfig("events");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}));
  node_->Stop(id, 0);
  node_->Remove(id);
  node_->StopPod(pod);
  node_->RemovePod(pod);
  EXPECT_TRUE(Eventually([&] { return deleted("events"); }));
  context.TryCancel();
  listener.join();
  std::multiset<std::pair<std::string, int>> seen;
  for (const auto& event : events) {
    if (event.pod_sandbox_status().metadata().name() == "early") continue;
    seen.emplace(event.container_id(), event.container_event_type());
    EXPECT_EQ(event.pod_sandbox_status().metadata().name(), "events");
    EXPECT_GT(event.created_at(), 0);
    if (event.container_id() == id &&
        event.container_event_type() == cri::CONTAINER_STARTED_EVENT) {
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

// As a kubelet with EventedPLEG has to have it.
TEST_F(Surface, ThePodsStatusHasTheNewestAttemptFirst) {
  const auto config = node_->PodConfig("attempts");
  const std::string pod = node_->RunPod(config);
  auto container = node_->ContainerConfig("c", {"true"});
  std::vector<std::string> ids;
  for (int attempt = 0; attempt < 4; ++attempt) {
    container.mutable_metadata()->set_attempt(attempt);
    ids.insert(ids.begin(), node_->Run(pod, config, container));
    node_->Stop(ids.front(), 0);
  }
  grpc::ClientContext context;
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  cri::PodSandboxStatusResponse reply;
  ASSERT_TRUE(daemon_->runtime().PodSandboxStatus(&context, request, &reply).ok());
  std::vector<std::string> listed;
  for (const auto& status : reply.containers_statuses()) listed.push_back(status.id());
  EXPECT_EQ(listed, ids);
  EXPECT_EQ(reply.timestamp(), 0);
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
    while (stream->Read(&batch))
      for (const auto& item : batch.pod_sandboxes()) pods.push_back(item.id());
    EXPECT_TRUE(stream->Finish().ok());
  }
  {
    grpc::ClientContext context;
    cri::StreamContainersResponse batch;
    auto stream = daemon_->runtime().StreamContainers(&context, {});
    while (stream->Read(&batch))
      for (const auto& item : batch.containers()) containers.push_back(item.id());
    EXPECT_TRUE(stream->Finish().ok());
  }
  {
    grpc::ClientContext context;
    cri::StreamContainerStatsRequest request;
    request.mutable_filter()->set_id(id.substr(0, 13));
    cri::StreamContainerStatsResponse batch;
    auto stream = daemon_->runtime().StreamContainerStats(&context, request);
    while (stream->Read(&batch))
      for (const auto& item : batch.container_stats()) stats.push_back(item.attributes().id());
    EXPECT_TRUE(stream->Finish().ok());
  }
  EXPECT_THAT(pods, ::testing::ElementsAre(pod));
  EXPECT_THAT(containers, ::testing::ElementsAre(id));
  EXPECT_THAT(stats, ::testing::ElementsAre(id));
}

TEST_F(Surface, StreamedStatisticsMetricsAndImagesEqualTheUnaryOnes) {
  const auto config =
      node_->PodConfig("streams", [](auto& c) { (*c.mutable_labels())["which"] = "one"; });
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}));
  const std::string other = node_->RunPod(node_->PodConfig("other"));
  std::multiset<std::string> stats, metrics, images;
  {
    grpc::ClientContext context;
    cri::StreamPodSandboxStatsRequest request;
    (*request.mutable_filter()->mutable_label_selector())["which"] = "one";
    cri::StreamPodSandboxStatsResponse batch;
    auto stream = daemon_->runtime().StreamPodSandboxStats(&context, request);
    while (stream->Read(&batch))
      for (const auto& s : batch.pod_sandbox_stats()) stats.insert(s.attributes().id());
    EXPECT_TRUE(stream->Finish().ok());
  }
  {
    grpc::ClientContext context;
    cri::StreamPodSandboxMetricsResponse batch;
    auto stream = daemon_->runtime().StreamPodSandboxMetrics(&context, {});
    while (stream->Read(&batch)) {
      for (const auto& m : batch.pod_sandbox_metrics()) {
        metrics.insert(m.pod_sandbox_id());
        for (const auto& c : m.container_metrics()) metrics.insert(c.container_id());
      }
    }
    EXPECT_TRUE(stream->Finish().ok());
  }
  {
    grpc::ClientContext context;
    cri::StreamImagesResponse batch;
    auto stream = daemon_->images().StreamImages(&context, {});
    while (stream->Read(&batch))
      for (const auto& i : batch.images()) images.insert(i.id());
    EXPECT_TRUE(stream->Finish().ok());
  }
  cri::ListImagesResponse all;
  grpc::ClientContext context;
  ASSERT_TRUE(daemon_->images().ListImages(&context, {}, &all).ok());
  std::multiset<std::string> unary;
  for (const auto& i : all.images()) unary.insert(i.id());
  EXPECT_THAT(stats, ::testing::ElementsAre(pod));
  EXPECT_THAT(metrics, ::testing::UnorderedElementsAre(pod, id, other));
  EXPECT_EQ(images, unary);
  EXPECT_EQ(images.size(), 1u);
}

TEST_F(Surface, AStreamOfNothingEndsAtOnce) {
  const auto drained = [](auto stream, auto batch) {
    EXPECT_FALSE(stream->Read(&batch));
    EXPECT_TRUE(stream->Finish().ok());
  };
  grpc::ClientContext contexts[6];
  drained(daemon_->runtime().StreamPodSandboxes(&contexts[0], {}),
          cri::StreamPodSandboxesResponse());
  drained(daemon_->runtime().StreamContainers(&contexts[1], {}), cri::StreamContainersResponse());
  drained(daemon_->runtime().StreamContainerStats(&contexts[2], {}),
          cri::StreamContainerStatsResponse());
  drained(daemon_->runtime().StreamPodSandboxStats(&contexts[3], {}),
          cri::StreamPodSandboxStatsResponse());
  drained(daemon_->runtime().StreamPodSandboxMetrics(&contexts[4], {}),
          cri::StreamPodSandboxMetricsResponse());
  cri::StreamImagesRequest absent;
  absent.mutable_filter()->mutable_image()->set_image("no.such/image:1");
  drained(daemon_->images().StreamImages(&contexts[5], absent), cri::StreamImagesResponse());
}

TEST_F(Surface, TheFirstStatisticsAreComplete) {
  const auto config = node_->PodConfig("stats");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(
      pod, config, node_->ContainerConfig("c", {"sh", "-c", "while :; do :; done"}, [](auto& c) {
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
  // Their number the kernel brings up to date every two seconds.
  EXPECT_TRUE(stats.memory().has_page_faults());
  EXPECT_TRUE(Eventually([&] {
    grpc::ClientContext again;
    cri::ContainerStatsResponse later;
    EXPECT_TRUE(daemon_->runtime().ContainerStats(&again, request, &later).ok());
    return later.stats().memory().page_faults().value() > 0;
  }));
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

// The names that dashboards know from the kubelet's /metrics/cadvisor, without "container_".
TEST_F(Surface, EveryNameOfCadvisorIsSampled) {
  const auto config = node_->PodConfig("cadvisor");
  const std::string pod = node_->RunPod(config);
  const std::string id =
      node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        c.mutable_linux()->mutable_resources()->set_cpu_quota(20000);
        c.mutable_linux()->mutable_resources()->set_cpu_period(100000);
        c.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
      }));
  cri::ListMetricDescriptorsResponse descriptors;
  grpc::ClientContext context;
  ASSERT_TRUE(daemon_->runtime().ListMetricDescriptors(&context, {}, &descriptors).ok());
  std::set<std::string> described, sampled;
  for (const auto& d : descriptors.descriptors()) described.insert(d.name());
  cri::ListPodSandboxMetricsResponse metrics;
  grpc::ClientContext metrics_context;
  ASSERT_TRUE(daemon_->runtime().ListPodSandboxMetrics(&metrics_context, {}, &metrics).ok());
  ASSERT_EQ(metrics.pod_metrics_size(), 1);
  for (const auto& sample : metrics.pod_metrics(0).metrics()) sampled.insert(sample.name());
  for (const auto& container : metrics.pod_metrics(0).container_metrics()) {
    for (const auto& sample : container.metrics()) sampled.insert(sample.name());
  }
  const std::vector<std::string> always = {"cpu_cfs_periods_total",
                                           "cpu_cfs_throttled_periods_total",
                                           "cpu_cfs_throttled_seconds_total",
                                           "cpu_system_seconds_total",
                                           "cpu_usage_seconds_total",
                                           "cpu_user_seconds_total",
                                           "creation_time_seconds",
                                           "file_descriptors",
                                           "fs_inodes_free",
                                           "fs_inodes_total",
                                           "fs_limit_bytes",
                                           "fs_usage_bytes",
                                           "last_seen",
                                           "memory_cache",
                                           "memory_failcnt",
                                           "memory_failures_total",
                                           "memory_kernel_usage",
                                           "memory_mapped_file",
                                           "memory_max_usage_bytes",
                                           "memory_rss",
                                           "memory_swap",
                                           "memory_usage_bytes",
                                           "memory_working_set_bytes",
                                           "network_receive_bytes_total",
                                           "network_receive_errors_total",
                                           "network_receive_packets_dropped_total",
                                           "network_receive_packets_total",
                                           "network_transmit_bytes_total",
                                           "network_transmit_errors_total",
                                           "network_transmit_packets_dropped_total",
                                           "network_transmit_packets_total",
                                           "oom_events_total",
                                           "processes",
                                           "sockets",
                                           "spec_cpu_period",
                                           "spec_cpu_quota",
                                           "spec_cpu_shares",
                                           "spec_memory_limit_bytes",
                                           "spec_memory_reservation_limit_bytes",
                                           "spec_memory_swap_limit_bytes",
                                           "start_time_seconds",
                                           "threads",
                                           "threads_max",
                                           "ulimits_soft"};
  // Those of a container that does no block IO, or of a kernel that does not count them.
  std::vector<std::string> sometimes = {"blkio_device_usage_total", "fs_reads_bytes_total",
                                        "fs_reads_total", "fs_writes_bytes_total",
                                        "fs_writes_total"};
  const auto in_group = [&](const std::string& file) {
    return node_->Shell(id, "ls /sys/fs/cgroup/" + file +
                                " >/dev/null 2>&1 && echo yes || echo no") == "yes";
  };
  const auto expect_if = [&](bool there, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      EXPECT_EQ(sampled.count("container_" + name), there ? 1u : 0u) << name;
      sometimes.push_back(name);
    }
  };
  expect_if(in_group("cpu.pressure"),
            {"pressure_cpu_stalled_seconds_total", "pressure_cpu_waiting_seconds_total",
             "pressure_io_stalled_seconds_total", "pressure_io_waiting_seconds_total",
             "pressure_memory_stalled_seconds_total", "pressure_memory_waiting_seconds_total"});
  expect_if(in_group("hugetlb.2MB.current") || in_group("hugetlb/hugetlb.2MB.usage_in_bytes"),
            {"hugetlb_usage_bytes"});
  expect_if(in_group("hugetlb/hugetlb.2MB.max_usage_in_bytes"), {"hugetlb_max_usage_bytes"});
  for (const std::string& name : always) {
    EXPECT_TRUE(sampled.contains("container_" + name)) << name << " has no sample";
    EXPECT_TRUE(described.contains("container_" + name)) << name << " has no descriptor";
  }
  for (const std::string& name : sometimes)
    EXPECT_TRUE(described.contains("container_" + name)) << name;
}

TEST_F(Surface, AmbientCapabilitiesReachAProgramThatIsNotRoot) {
  const auto config = node_->PodConfig("ambient");
  const std::string pod = node_->RunPod(config);
  const std::string id =
      node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
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
  if (!node_->RunsUserNamespaces()) GTEST_SKIP() << "no user namespaces on this node";
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
  const std::string id =
      node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [&](auto& c) {
        mapped(c.mutable_linux()->mutable_security_context()->mutable_namespace_options());
      }));
  EXPECT_EQ(node_->Shell(id, "cat /proc/self/uid_map | tr -s ' '"), " 0 200000 65536");
  EXPECT_EQ(
      node_->Shell(id, absl::StrCat("test -e /sys/class/net/", daemon_->bridge(), " && echo yes")),
      "yes");
  EXPECT_EQ(node_->PodStatus(pod).network().ip(), "");
}

TEST_F(Surface, MountOptionsHold) {
  const std::string host = daemon_->scratch() + "/options";
  ASSERT_OK(MakeDirs(host));
  const auto config = node_->PodConfig("options");
  const std::string pod = node_->RunPod(config);
  const std::string id =
      node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [&](auto& c) {
        auto* mount = c.add_mounts();
        mount->set_host_path(host);
        mount->set_container_path("/options");
        mount->add_mount_options("noexec");
        mount->add_mount_options("nosuid");
      }));
  EXPECT_EQ(
      node_->Shell(id, "cp /bin/busybox /options/busybox && /bin/busybox true && echo copied"),
      "copied");
  EXPECT_EQ(node_->Shell(id, "/options/busybox true 2>/dev/null || echo refused"), "refused");
}

TEST_F(Surface, TheStopSignalOfTheConfigIsSent) {
  const auto config = node_->PodConfig("signal");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(
      pod, config,
      node_->ContainerConfig(
          "c",
          {"sh", "-c", "trap 'exit 7' USR1; trap '' TERM; echo set; while :; do sleep 0.05; done"},
          [](auto& c) { c.set_stop_signal(cri::SIGNAL_SIGUSR1); }));
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(node_->Log("signal", "c"), "set"); }));
  node_->Stop(id, 10);
  EXPECT_EQ(node_->Await(id, cri::CONTAINER_EXITED).exit_code(), 7);
  EXPECT_EQ(node_->Status(id).stop_signal(), cri::SIGNAL_SIGUSR1);
}

TEST_F(Surface, AnUpdateRaisesTheOomScore) {
  const auto config = node_->PodConfig("oom");
  const std::string pod = node_->RunPod(config);
  const auto update = [&](const std::string& id, int64_t score) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    request.mutable_linux()->set_oom_score_adj(score);
    cri::UpdateContainerResourcesResponse response;
    grpc::ClientContext context;
    return daemon_->runtime().UpdateContainerResources(&context, request, &response);
  };
  const auto with_score = [](auto& c) {
    c.mutable_linux()->mutable_resources()->set_oom_score_adj(100);
  };
  const std::string id = node_->Run(
      pod, config,
      node_->ContainerConfig(
          "c", {"sh", "-c", "(echo 900 >/proc/self/oom_score_adj; exec sleep 1000) & sleep 1001"},
          with_score));
  constexpr char kScores[] =
      "for p in $(pidof sleep); do echo $(tr '\\0' ' ' </proc/$p/cmdline) $(cat "
      "/proc/$p/oom_score_adj); done | sort";
  EXPECT_TRUE(
      Eventually([&] { return node_->Shell(id, kScores) == "sleep 1000 900\nsleep 1001 100"; }));
  const grpc::Status raised = update(id, 500);
  ASSERT_TRUE(raised.ok()) << raised.error_message();
  EXPECT_EQ(node_->Shell(id, kScores), "sleep 1000 900\nsleep 1001 500")
      << "only those that had the old one";
  EXPECT_EQ(node_->Shell(id, "cat /proc/self/oom_score_adj"), "500") << "execs, too";
  EXPECT_EQ(node_->Status(id).resources().linux().oom_score_adj(), 500);
  EXPECT_EQ(update(id, 1001).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(node_->Status(id).resources().linux().oom_score_adj(), 500);

  const std::string created =
      node_->Create(pod, config, node_->ContainerConfig("d", {"sleep", "1000"}, with_score));
  ASSERT_TRUE(update(created, 600).ok());
  node_->StartContainer(created);
  EXPECT_EQ(node_->Shell(created, "cat /proc/1/oom_score_adj"), "600");
}

TEST_F(Surface, AnUpdateThatFailsChangesNothing) {
  const auto config = node_->PodConfig("rollback");
  const std::string pod = node_->RunPod(config);
  const std::string id =
      node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        c.mutable_linux()->mutable_resources()->set_cpu_shares(300);
      }));
  const auto shares_of = [&](const std::string& group) {
    auto shares = ReadFile("/sys/fs/cgroup/cpu" + group + "/cpu.shares");
    if (!shares.ok()) shares = ReadFile("/sys/fs/cgroup" + group + "/cpu.weight");
    return shares.value_or("none");
  };
  const std::string group = daemon_->cgroup_parent();
  cri::UpdatePodSandboxResourcesRequest of_pod;
  of_pod.set_pod_sandbox_id(pod);
  of_pod.mutable_resources()->set_cpu_shares(512);
  const auto update_pod = [&] {
    cri::UpdatePodSandboxResourcesResponse response;
    grpc::ClientContext context;
    return daemon_->runtime().UpdatePodSandboxResources(&context, of_pod, &response);
  };
  const grpc::Status first = update_pod();
  ASSERT_TRUE(first.ok()) << first.error_message();
  const std::string before = shares_of(group);
  ASSERT_NE(before, "none");
  // The first of these can be written, the second cannot.
  of_pod.mutable_resources()->set_cpu_shares(700);
  of_pod.mutable_resources()->set_cpuset_cpus("100000");
  const grpc::Status refused = update_pod();
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(refused.error_code(), grpc::StatusCode::INTERNAL) << refused.error_message();
  EXPECT_EQ(shares_of(group), before);
  cri::PodSandboxStatusRequest status_request;
  status_request.set_pod_sandbox_id(pod);
  status_request.set_verbose(true);
  cri::PodSandboxStatusResponse status;
  grpc::ClientContext status_context;
  ASSERT_TRUE(daemon_->runtime().PodSandboxStatus(&status_context, status_request, &status).ok());
  EXPECT_THAT(status.info().at("info"), ::testing::HasSubstr("\"cpuShares\":512"));

  const std::string shares =
      "cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || cat /sys/fs/cgroup/cpu.weight";
  const std::string container_before = node_->Shell(id, shares);
  cri::UpdateContainerResourcesRequest of_container;
  of_container.set_container_id(id);
  *of_container.mutable_linux() = of_pod.resources();
  cri::UpdateContainerResourcesResponse response;
  grpc::ClientContext context;
  EXPECT_FALSE(daemon_->runtime().UpdateContainerResources(&context, of_container, &response).ok());
  EXPECT_EQ(node_->Shell(id, shares), container_before);
  EXPECT_EQ(node_->Status(id).resources().linux().cpu_shares(), 300);
}

TEST_F(Surface, UpdatesOfPodAndContainerReachTheKernel) {
  const auto config = node_->PodConfig("update");
  const std::string pod = node_->RunPod(config);
  const std::string id =
      node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        c.mutable_linux()->mutable_resources()->set_cpu_quota(50000);
        c.mutable_linux()->mutable_resources()->set_cpu_period(100000);
      }));
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  request.mutable_linux()->set_cpu_period(200000);
  cri::UpdateContainerResourcesResponse response;
  grpc::ClientContext context;
  const grpc::Status updated =
      daemon_->runtime().UpdateContainerResources(&context, request, &response);
  ASSERT_TRUE(updated.ok()) << updated.error_message();
  const std::string now =
      node_->Shell(id,
                   "cat /sys/fs/cgroup/cpu.max 2>/dev/null || (cd /sys/fs/cgroup/cpu; cat "
                   "cpu.cfs_quota_us cpu.cfs_period_us)");
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
