// Requests with missing or absurd fields: a clear code, nothing left, the daemon serves on.
#include <grpcpp/grpcpp.h>

#include <climits>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/testing/status_matchers.h"
#include "node_test.h"

namespace crisp::e2e {
namespace {

class BadInput : public NodeTest {
 protected:
  void TearDown() override {
    NodeTest::TearDown();
    cri::VersionResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(daemon_->runtime().Version(&context, {}, &response).ok());
  }
  static void ExpectRefusedPod(const cri::PodSandboxConfig& config, const char* why) {
    std::string id;
    const grpc::Status status = node_->TryRunPod(config, &id);
    EXPECT_FALSE(status.ok()) << why;
    EXPECT_NE(status.error_code(), grpc::StatusCode::INTERNAL)
        << why << ": " << status.error_message();
    EXPECT_NE(status.error_message(), "") << why;
    EXPECT_THAT(node_->Pods(), ::testing::IsEmpty()) << why;
  }
};

TEST_F(BadInput, PodsThatCannotBe) {
  ExpectRefusedPod({}, "no metadata");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) { c.mutable_metadata()->set_name(""); }),
                   "no name");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) { c.set_hostname(std::string(300, 'h')); }),
                   "long hostname");
  ExpectRefusedPod(
      node_->PodConfig(
          "p",
          [](auto& c) { (*c.mutable_linux()->mutable_sysctls())["kernel.core_pattern"] = "|/x"; }),
      "a sysctl of the host");
  ExpectRefusedPod(
      node_->PodConfig("p",
                       [](auto& c) {
                         (*c.mutable_linux()->mutable_sysctls())["net.ipv4.ip_forward"] = "1\n+x=y";
                       }),
      "a sysctl with a newline");
  ExpectRefusedPod(
      node_->PodConfig(
          "p", [](auto& c) { c.mutable_dns_config()->add_servers("1.1.1.1\nsearch evil"); }),
      "a DNS server with a newline");
  ExpectRefusedPod(
      node_->PodConfig("p", [](auto& c) { c.mutable_linux()->set_cgroup_parent("/../../etc"); }),
      "cgroup_parent upwards");
  ExpectRefusedPod(node_->PodConfig("p",
                                    [](auto& c) {
                                      auto* m = c.add_port_mappings();
                                      m->set_host_port(70000);
                                      m->set_container_port(80);
                                    }),
                   "port out of range");
  ExpectRefusedPod(
      node_->PodConfig(
          "p",
          [](auto& c) {
            c.mutable_linux()->mutable_security_context()->mutable_run_as_group()->set_value(5);
          }),
      "group without user");
  ExpectRefusedPod(node_->PodConfig("p",
                                    [](auto& c) {
                                      auto* u = c.mutable_linux()
                                                    ->mutable_security_context()
                                                    ->mutable_namespace_options()
                                                    ->mutable_userns_options();
                                      u->set_mode(cri::NamespaceMode::POD);
                                      u->add_uids()->set_length(0);
                                      u->add_gids()->set_length(0);
                                    }),
                   "empty id mapping");
}

TEST_F(BadInput, UnknownRuntimeHandler) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = node_->PodConfig("handler");
  request.set_runtime_handler("no-such");
  cri::RunPodSandboxResponse response;
  grpc::ClientContext context;
  EXPECT_FALSE(daemon_->runtime().RunPodSandbox(&context, request, &response).ok());
}

TEST_F(BadInput, ContainersThatCannotBe) {
  const auto pod_config = node_->PodConfig("pod");
  const std::string pod = node_->RunPod(pod_config);
  const auto refuse = [&](const char* why, const ContainerEdit& edit) {
    std::string id;
    const grpc::Status status =
        node_->TryCreate(pod, pod_config, node_->ContainerConfig("c", {"true"}, edit), &id);
    EXPECT_FALSE(status.ok()) << why;
    EXPECT_NE(status.error_code(), grpc::StatusCode::INTERNAL)
        << why << ": " << status.error_message();
    EXPECT_THAT(node_->Containers(), ::testing::IsEmpty()) << why;
  };
  refuse("no metadata", [](auto& c) { c.clear_metadata(); });
  refuse("absent image", [](auto& c) { c.mutable_image()->set_image("no.such/image:1"); });
  refuse("no image", [](auto& c) { c.clear_image(); });
  refuse("unknown capability that is to be dropped", [](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_capabilities()->add_drop_capabilities(
        "FLY");
  });
  refuse("absent seccomp profile", [](auto& c) {
    auto* s = c.mutable_linux()->mutable_security_context()->mutable_seccomp();
    s->set_profile_type(cri::SecurityProfile::Localhost);
    s->set_localhost_ref("/no/such/profile.json");
  });
  refuse("negative user", [](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(-1);
  });
  refuse("user beyond 32 bits", [](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(1ll << 32);
  });
  refuse("relative mount target", [](auto& c) {
    c.add_mounts()->set_host_path("/tmp");
    c.mutable_mounts(0)->set_container_path("relative");
  });
  refuse("log path upwards", [](auto& c) { c.set_log_path("../../escape.log"); });
  refuse("NUL in argv", [](auto& c) { c.add_args(std::string("a\0b", 3)); });
  refuse("privileged in a plain pod",
         [](auto& c) { c.mutable_linux()->mutable_security_context()->set_privileged(true); });
  refuse("absent target", [](auto& c) {
    auto* o = c.mutable_linux()->mutable_security_context()->mutable_namespace_options();
    o->set_pid(cri::NamespaceMode::TARGET);
    o->set_target_id(std::string(64, 'a'));
  });
  refuse("bad cpuset",
         [](auto& c) { c.mutable_linux()->mutable_resources()->set_cpuset_cpus("0-99999;x"); });
}

// A megabyte, NULs, slashes, integers at their ends and enums from the future. Some of it is legal
// (a name may hold anything): then it must work; what is refused must say InvalidArgument, or what
// else is said here.
TEST_F(BadInput, ExtremesOfAPod) {
  const std::string nul("a\0b", 3), mib(1 << 20, 'x');
  const auto any = [](const char* what, const PodEdit& edit,
                      std::vector<grpc::StatusCode> allowed) {
    std::string id;
    const grpc::Status status = node_->TryRunPod(node_->PodConfig("extreme", edit), &id);
    EXPECT_THAT(allowed, ::testing::Contains(status.error_code()))
        << what << ": " << status.error_message();
    EXPECT_EQ(node_->Pods().size(), status.ok() ? 1u : 0u) << what;
    node_->RemoveAll();
  };
  const auto refuse = [&](const char* what, const PodEdit& edit) {
    any(what, edit, {grpc::INVALID_ARGUMENT});
  };
  const auto accept = [&](const char* what, const PodEdit& edit) { any(what, edit, {grpc::OK}); };
  accept("slashes in the name", [](auto& c) { c.mutable_metadata()->set_name("../../etc"); });
  refuse("NUL in the name", [&](auto& c) { c.mutable_metadata()->set_name(nul); });
  refuse("NUL in the namespace", [&](auto& c) { c.mutable_metadata()->set_namespace_(nul); });
  refuse("NUL in the uid", [&](auto& c) { c.mutable_metadata()->set_uid(nul); });
  accept("the last attempt", [](auto& c) { c.mutable_metadata()->set_attempt(UINT32_MAX); });
  accept("a long name", [&](auto& c) { c.mutable_metadata()->set_name(mib); });
  accept("a long annotation", [&](auto& c) { (*c.mutable_annotations())["a"] = mib; });
  accept("a label without a name", [](auto& c) { (*c.mutable_labels())[""] = ""; });
  refuse("a long hostname", [&](auto& c) { c.set_hostname(mib); });
  refuse("a hostname with a NUL", [&](auto& c) { c.set_hostname(nul); });
  refuse("a hostname with a newline", [](auto& c) { c.set_hostname("a\n127.0.0.1 evil"); });
  refuse("a log directory with a NUL", [&](auto& c) { c.set_log_directory("/" + nul); });
  refuse("a relative log directory", [](auto& c) { c.set_log_directory("logs"); });
  refuse("a long log directory", [&](auto& c) { c.set_log_directory("/" + mib); });
  refuse("a cgroup parent with a NUL",
         [&](auto& c) { c.mutable_linux()->set_cgroup_parent("/" + nul); });
  refuse("a long cgroup parent", [&](auto& c) { c.mutable_linux()->set_cgroup_parent("/" + mib); });
  refuse("a DNS option with a NUL", [&](auto& c) { c.mutable_dns_config()->add_options(nul); });
  refuse("a long sysctl",
         [&](auto& c) { (*c.mutable_linux()->mutable_sysctls())["kernel." + mib] = "1"; });
  refuse("a sysctl with a NUL",
         [&](auto& c) { (*c.mutable_linux()->mutable_sysctls())["kernel." + nul] = "1"; });
  for (const int port : {-1, INT32_MIN}) {
    accept("a host port below 1 is none", [port](auto& c) {
      c.add_port_mappings()->set_host_port(port);
      c.mutable_port_mappings(0)->set_container_port(80);
    });
    refuse("a container port below 1", [port](auto& c) {
      c.add_port_mappings()->set_host_port(45000);
      c.mutable_port_mappings(0)->set_container_port(port);
    });
  }
  refuse("a protocol of the future", [](auto& c) {
    auto* m = c.add_port_mappings();
    m->set_protocol(static_cast<cri::Protocol>(77));
    m->set_host_port(45000);
    m->set_container_port(80);
  });
  refuse("a host IP that is none", [&](auto& c) {
    auto* m = c.add_port_mappings();
    m->set_host_ip(nul);
    m->set_host_port(45000);
    m->set_container_port(80);
  });
  const auto namespaces = [](auto& c) {
    return c.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  };
  refuse("a network mode of the future",
         [&](auto& c) { namespaces(c)->set_network(static_cast<cri::NamespaceMode>(77)); });
  refuse("a PID mode of the future",
         [&](auto& c) { namespaces(c)->set_pid(static_cast<cri::NamespaceMode>(-1)); });
  refuse("an IPC mode of the future",
         [&](auto& c) { namespaces(c)->set_ipc(static_cast<cri::NamespaceMode>(77)); });
  refuse("a user namespace mode of the future", [&](auto& c) {
    namespaces(c)->mutable_userns_options()->set_mode(static_cast<cri::NamespaceMode>(77));
  });
}

TEST_F(BadInput, ExtremesOfAContainer) {
  const std::string nul("a\0b", 3), mib(1 << 20, 'x');
  const auto pod_config = node_->PodConfig("pod");
  const std::string pod = node_->RunPod(pod_config);
  const auto any = [&](const char* what, const ContainerEdit& edit,
                       std::vector<grpc::StatusCode> allowed) {
    std::string id;
    const grpc::Status status =
        node_->TryCreate(pod, pod_config, node_->ContainerConfig("c", {"true"}, edit), &id);
    EXPECT_THAT(allowed, ::testing::Contains(status.error_code()))
        << what << ": " << status.error_message();
    EXPECT_EQ(node_->Containers().size(), status.ok() ? 1u : 0u) << what;
    for (const auto& container : node_->Containers()) node_->Remove(container.id());
  };
  const auto refuse = [&](const char* what, const ContainerEdit& edit) {
    any(what, edit, {grpc::INVALID_ARGUMENT});
  };
  const auto accept = [&](const char* what, const ContainerEdit& edit) {
    any(what, edit, {grpc::OK});
  };
  accept("slashes in the name", [](auto& c) { c.mutable_metadata()->set_name("../../etc"); });
  refuse("NUL in the name", [&](auto& c) { c.mutable_metadata()->set_name(nul); });
  any("NUL in the image", [&](auto& c) { c.mutable_image()->set_image(nul); },
      {grpc::INVALID_ARGUMENT, grpc::NOT_FOUND});
  any("a long image", [&](auto& c) { c.mutable_image()->set_image(mib); },
      {grpc::INVALID_ARGUMENT, grpc::NOT_FOUND});
  accept("a long annotation", [&](auto& c) { (*c.mutable_annotations())["a"] = mib; });
  refuse("NUL in a variable", [&](auto& c) {
    c.add_envs()->set_key("A");
    c.mutable_envs(0)->set_value(nul);
  });
  refuse("a variable without a name", [](auto& c) { c.add_envs()->set_value("x"); });
  refuse("a log path with a NUL", [&](auto& c) { c.set_log_path(nul); });
  refuse("a long log path", [&](auto& c) { c.set_log_path(mib); });
  refuse("a working directory with a NUL", [&](auto& c) { c.set_working_dir("/" + nul); });
  refuse("a relative working directory", [](auto& c) { c.set_working_dir("home"); });
  refuse("a stop signal of the future",
         [](auto& c) { c.set_stop_signal(static_cast<cri::Signal>(9999)); });
  const auto mount = [&](auto& c, const std::string& host, const std::string& target) {
    c.add_mounts()->set_host_path(host);
    c.mutable_mounts(0)->set_container_path(target);
    return c.mutable_mounts(0);
  };
  refuse("a mount target with a NUL", [&](auto& c) { mount(c, "/tmp", "/" + nul); });
  refuse("a mount source with a NUL", [&](auto& c) { mount(c, "/" + nul, "/x"); });
  refuse("a long mount target", [&](auto& c) { mount(c, "/tmp", "/" + mib); });
  refuse("a long mount source", [&](auto& c) { mount(c, "/" + mib, "/x"); });
  refuse("a propagation of the future", [&](auto& c) {
    mount(c, "/tmp", "/x")->set_propagation(static_cast<cri::MountPropagation>(77));
  });
  refuse("an image mount without a name", [&](auto& c) { mount(c, "", "/x")->mutable_image(); });
  refuse("a device with a NUL", [&](auto& c) { c.add_devices()->set_host_path("/dev/" + nul); });
  refuse("a device without anything", [](auto& c) { c.add_devices(); });
  refuse("a device that is a directory upwards",
         [](auto& c) { c.add_devices()->set_host_path("/dev/../etc/passwd"); });
  const auto security = [](auto& c) { return c.mutable_linux()->mutable_security_context(); };
  refuse("a negative group", [&](auto& c) { security(c)->add_supplemental_groups(-1); });
  refuse("a group beyond 32 bits",
         [&](auto& c) { security(c)->add_supplemental_groups(INT64_MAX); });
  refuse("the smallest user",
         [&](auto& c) { security(c)->mutable_run_as_user()->set_value(INT64_MIN); });
  any("a user name with a NUL", [&](auto& c) { security(c)->set_run_as_username(nul); },
      {grpc::INVALID_ARGUMENT, grpc::NOT_FOUND});
  refuse("a groups policy of the future", [&](auto& c) {
    security(c)->set_supplemental_groups_policy(static_cast<cri::SupplementalGroupsPolicy>(77));
  });
  refuse("a seccomp type of the future", [&](auto& c) {
    security(c)->mutable_seccomp()->set_profile_type(
        static_cast<cri::SecurityProfile::ProfileType>(77));
  });
  refuse("an AppArmor type of the future", [&](auto& c) {
    security(c)->mutable_apparmor()->set_profile_type(
        static_cast<cri::SecurityProfile::ProfileType>(77));
  });
  refuse("a relative masked path", [&](auto& c) { security(c)->add_masked_paths("proc"); });
  refuse("a masked path with a NUL", [&](auto& c) { security(c)->add_masked_paths("/" + nul); });
  refuse("a PID mode of the future", [&](auto& c) {
    security(c)->mutable_namespace_options()->set_pid(static_cast<cri::NamespaceMode>(77));
  });
}

TEST_F(BadInput, ExtremesOfResources) {
  const auto pod_config = node_->PodConfig("pod");
  const std::string pod = node_->RunPod(pod_config);
  const std::string running =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}));
  using Edit = std::function<void(cri::LinuxContainerResources&)>;
  const auto check = [&](const char* what, const Edit& edit, bool fine) {
    std::string id;
    const grpc::Status made = node_->TryCreate(
        pod, pod_config,
        node_->ContainerConfig("d", {"true"},
                               [&](auto& c) { edit(*c.mutable_linux()->mutable_resources()); }),
        &id);
    EXPECT_EQ(made.error_code(), fine ? grpc::OK : grpc::INVALID_ARGUMENT)
        << what << ": " << made.error_message();
    if (made.ok()) node_->Remove(id);
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(running);
    edit(*request.mutable_linux());
    cri::UpdateContainerResourcesResponse response;
    grpc::ClientContext context;
    const grpc::Status updated =
        daemon_->runtime().UpdateContainerResources(&context, request, &response);
    EXPECT_EQ(updated.error_code(), fine ? grpc::OK : grpc::INVALID_ARGUMENT)
        << "update: " << what << ": " << updated.error_message();
  };
  check(
      "all of memory", [](auto& r) { r.set_memory_limit_in_bytes(INT64_MAX); }, true);
  check(
      "no limit of memory", [](auto& r) { r.set_memory_limit_in_bytes(-1); }, true);
  check(
      "negative memory", [](auto& r) { r.set_memory_limit_in_bytes(-2); }, false);
  check(
      "the smallest memory", [](auto& r) { r.set_memory_limit_in_bytes(INT64_MIN); }, false);
  check(
      "negative swap", [](auto& r) { r.set_memory_swap_limit_in_bytes(-2); }, false);
  check(
      "swap below memory",
      [](auto& r) {
        r.set_memory_limit_in_bytes(64 << 20);
        r.set_memory_swap_limit_in_bytes(32 << 20);
      },
      false);
  check(
      "no quota", [](auto& r) { r.set_cpu_quota(-1); }, true);
  check(
      "negative quota", [](auto& r) { r.set_cpu_quota(-2); }, false);
  check(
      "the smallest quota", [](auto& r) { r.set_cpu_quota(INT64_MIN); }, false);
  check(
      "negative period", [](auto& r) { r.set_cpu_period(-1); }, false);
  check(
      "the largest period", [](auto& r) { r.set_cpu_period(INT64_MAX); }, false);
  check(
      "negative shares", [](auto& r) { r.set_cpu_shares(-1); }, false);
  check(
      "the largest shares are cut to the kernel's", [](auto& r) { r.set_cpu_shares(INT64_MAX); },
      true);
  check(
      "oom_score_adj above", [](auto& r) { r.set_oom_score_adj(INT64_MAX); }, false);
  check(
      "oom_score_adj below", [](auto& r) { r.set_oom_score_adj(INT64_MIN); }, false);
  check(
      "oom_score_adj that would be 0 in 32 bits", [](auto& r) { r.set_oom_score_adj(1ll << 32); },
      false);
  check(
      "cpuset with a NUL", [](auto& r) { r.set_cpuset_cpus(std::string("0\0", 2)); }, false);
  check(
      "cpuset of a megabyte", [](auto& r) { r.set_cpuset_cpus(std::string(1 << 20, '0')); }, false);
  check(
      "mems that are not a list", [](auto& r) { r.set_cpuset_mems("x"); }, false);
  check(
      "huge pages of no size",
      [](auto& r) {
        r.add_hugepage_limits()->set_page_size("../../x");
        r.mutable_hugepage_limits(0)->set_limit(UINT64_MAX);
      },
      false);
  check(
      "unified upwards", [](auto& r) { (*r.mutable_unified())["../x.y"] = "1"; }, false);
}

TEST_F(BadInput, FiltersAndIdsOfAnySort) {
  const std::string pod = node_->RunPod(node_->PodConfig("pod"));
  for (const std::string& junk :
       {std::string(1 << 20, 'f'), std::string("a\0b", 3), std::string("../.."),
        std::string("%s%n"), std::string("\xc3\xa9")}) {
    cri::ListContainersRequest containers;
    containers.mutable_filter()->set_id(junk);
    containers.mutable_filter()->set_pod_sandbox_id(junk);
    containers.mutable_filter()->mutable_state()->set_state(static_cast<cri::ContainerState>(77));
    (*containers.mutable_filter()->mutable_label_selector())[junk] = junk;
    cri::ListContainersResponse containers_reply;
    grpc::ClientContext containers_context;
    EXPECT_TRUE(
        daemon_->runtime().ListContainers(&containers_context, containers, &containers_reply).ok());
    cri::ListPodSandboxRequest pods;
    pods.mutable_filter()->set_id(junk);
    cri::ListPodSandboxResponse pods_reply;
    grpc::ClientContext pods_context;
    EXPECT_TRUE(daemon_->runtime().ListPodSandbox(&pods_context, pods, &pods_reply).ok());
    EXPECT_EQ(pods_reply.items_size(), 0);
    cri::ListContainerStatsRequest stats;
    stats.mutable_filter()->set_id(junk);
    cri::ListContainerStatsResponse stats_reply;
    grpc::ClientContext stats_context;
    EXPECT_TRUE(daemon_->runtime().ListContainerStats(&stats_context, stats, &stats_reply).ok());
    cri::ImageStatusRequest image;
    image.mutable_image()->set_image(junk);
    cri::ImageStatusResponse image_reply;
    grpc::ClientContext image_context;
    const grpc::Status found = daemon_->images().ImageStatus(&image_context, image, &image_reply);
    EXPECT_TRUE(found.ok() || found.error_code() == grpc::INVALID_ARGUMENT)
        << found.error_message();
    EXPECT_FALSE(image_reply.has_image());
    cri::ContainerStatusRequest status;
    status.set_container_id(junk);
    cri::ContainerStatusResponse status_reply;
    grpc::ClientContext status_context;
    EXPECT_EQ(
        daemon_->runtime().ContainerStatus(&status_context, status, &status_reply).error_code(),
        grpc::NOT_FOUND);
  }
  // Without a config, an image, a spec: what is absent is as good as empty.
  cri::CreateContainerResponse created;
  cri::CreateContainerRequest create;
  create.set_pod_sandbox_id(pod);
  grpc::ClientContext contexts[8];
  EXPECT_EQ(daemon_->runtime().CreateContainer(&contexts[0], create, &created).error_code(),
            grpc::INVALID_ARGUMENT);
  cri::RunPodSandboxResponse ran;
  EXPECT_EQ(daemon_->runtime().RunPodSandbox(&contexts[1], {}, &ran).error_code(),
            grpc::INVALID_ARGUMENT);
  cri::PullImageResponse pulled;
  EXPECT_EQ(daemon_->images().PullImage(&contexts[2], {}, &pulled).error_code(),
            grpc::INVALID_ARGUMENT);
  cri::ImageStatusResponse image_status;
  EXPECT_EQ(daemon_->images().ImageStatus(&contexts[3], {}, &image_status).error_code(),
            grpc::INVALID_ARGUMENT);
  cri::RemoveImageResponse removed;
  EXPECT_EQ(daemon_->images().RemoveImage(&contexts[4], {}, &removed).error_code(),
            grpc::INVALID_ARGUMENT);
  cri::UpdateRuntimeConfigResponse updated;
  EXPECT_TRUE(daemon_->runtime().UpdateRuntimeConfig(&contexts[5], {}, &updated).ok());
  cri::UpdateRuntimeConfigRequest cidr;
  cidr.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.0.0.0/99,junk");
  EXPECT_EQ(daemon_->runtime().UpdateRuntimeConfig(&contexts[6], cidr, &updated).error_code(),
            grpc::INVALID_ARGUMENT);
  cri::ExecSyncResponse executed;
  EXPECT_EQ(daemon_->runtime().ExecSync(&contexts[7], {}, &executed).error_code(),
            grpc::INVALID_ARGUMENT);
}

TEST_F(BadInput, ExecsAndStopsWithOddNumbers) {
  const auto config = node_->PodConfig("pod");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}));
  const auto exec = [&](const std::vector<std::string>& argv, int64_t timeout) {
    cri::ExecSyncRequest request;
    request.set_container_id(id);
    request.set_timeout(timeout);
    for (const std::string& word : argv) request.add_cmd(word);
    cri::ExecSyncResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return daemon_->runtime().ExecSync(&context, request, &response);
  };
  EXPECT_EQ(exec({}, 1).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(exec({std::string("a\0b", 3)}, 1).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_TRUE(exec({"true"}, INT64_MAX).ok());
  const grpc::Status negative = exec({"true"}, -5);
  EXPECT_TRUE(negative.ok() || negative.error_code() == grpc::INVALID_ARGUMENT)
      << negative.error_message();
  const grpc::Status long_word = exec({"true", std::string(1 << 20, 'x')}, 5);
  EXPECT_FALSE(long_word.ok()) << "the kernel takes words of 128 KiB";
  EXPECT_NE(long_word.error_code(), grpc::INTERNAL) << long_word.error_message();
  EXPECT_TRUE(node_->TryStop(id, INT64_MIN).ok());
  EXPECT_EQ(node_->Status(id).state(), cri::CONTAINER_EXITED);
}

TEST_F(BadInput, UnknownIds) {
  EXPECT_TRUE(node_->TryStopPod(std::string(64, 'f')).ok());
  EXPECT_TRUE(node_->TryRemovePod(std::string(64, 'f')).ok());
  EXPECT_TRUE(node_->TryStop(std::string(64, 'f'), 0).ok());
  EXPECT_TRUE(node_->TryRemove(std::string(64, 'f')).ok());
  EXPECT_EQ(node_->TryStart(std::string(64, 'f')).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(node_->TryStart("../../etc").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(node_->TryStart("").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(BadInput, HostPortTakenTwiceNamesTheOwner) {
  const int port = 45000 + getpid() % 10000;
  const auto publish = [&](auto& c) {
    auto* m = c.add_port_mappings();
    m->set_host_port(port);
    m->set_container_port(80);
  };
  node_->RunPod(node_->PodConfig("first", publish));
  std::string id;
  const grpc::Status status = node_->TryRunPod(node_->PodConfig("second", publish), &id);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr(absl::StrCat(port)));
  EXPECT_THAT(node_->Pods(), ::testing::SizeIs(1));
}

}  // namespace
}  // namespace crisp::e2e
