// Limits: what the kernel enforces, and what the container can read of it.
#include <grpcpp/grpcpp.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/testing/status_matchers.h"
#include "node_test.h"

namespace crisp::e2e {
namespace {

class Limits : public NodeTest {
 protected:
  // A file of the container's own cgroup, by its v1 or v2 name, read inside.
  static std::string Inside(const std::string& id, const std::string& v1, const std::string& v2) {
    return node_->Shell(
        id, absl::StrCat("cat /sys/fs/cgroup/", v1, " 2>/dev/null || cat /sys/fs/cgroup/", v2));
  }
};

TEST_F(Limits, AreReadableInsideAndInTheStatus) {
  const auto pod_config = node_->PodConfig("limits");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        auto* resources = c.mutable_linux()->mutable_resources();
        resources->set_memory_limit_in_bytes(64 << 20);
        resources->set_cpu_quota(50000);
        resources->set_cpu_period(100000);
        resources->set_cpu_shares(512);
        resources->set_cpuset_cpus("0");
      }));
  EXPECT_EQ(Inside(id, "memory/memory.limit_in_bytes", "memory.max"), "67108864");
  const std::string quota = Inside(id, "cpu/cpu.cfs_quota_us", "cpu.max");
  EXPECT_TRUE(quota == "50000" || quota == "50000 100000") << quota;
  EXPECT_EQ(Inside(id, "cpuset/cpuset.cpus", "cpuset.cpus"), "0");
  const auto resources = node_->Status(id).resources().linux();
  EXPECT_EQ(resources.memory_limit_in_bytes(), 64 << 20);
  EXPECT_EQ(resources.cpu_quota(), 50000);

  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  request.mutable_linux()->set_memory_limit_in_bytes(96 << 20);
  cri::UpdateContainerResourcesResponse response;
  grpc::ClientContext context;
  const grpc::Status status =
      daemon_->runtime().UpdateContainerResources(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Inside(id, "memory/memory.limit_in_bytes", "memory.max"), "100663296");
  EXPECT_EQ(node_->Status(id).resources().linux().cpu_quota(), 50000)
      << "an unset field was changed";
}

TEST_F(Limits, HugePagesReachTheKernel) {
  const std::string controllers = ReadFile("/sys/fs/cgroup/cgroup.controllers").value_or("");
  if (!absl::StrContains(controllers, "hugetlb") &&
      !ReadFile("/sys/fs/cgroup/hugetlb/tasks").ok()) {
    GTEST_SKIP() << "no hugetlb controller";
  }
  const auto pod_config = node_->PodConfig("huge");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        auto* limit = c.mutable_linux()->mutable_resources()->add_hugepage_limits();
        limit->set_page_size("2MB");
        limit->set_limit(4 << 20);
      }));
  EXPECT_EQ(Inside(id, "hugetlb/hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"), "4194304");
  EXPECT_EQ(node_->Status(id).resources().linux().hugepage_limits(0).limit(), 4u << 20);
}

TEST_F(Limits, UnifiedIsWrittenAsItIsOnV2AndRefusedOnV1) {
  const bool v2 = ReadFile("/sys/fs/cgroup/cgroup.controllers").ok();
  const auto pod_config = node_->PodConfig("unified");
  const std::string pod = node_->RunPod(pod_config);
  const auto with = [](const std::string& key, const std::string& value) {
    return
        [=](auto& c) { (*c.mutable_linux()->mutable_resources()->mutable_unified())[key] = value; };
  };
  const std::vector<std::string> disks = ListDir("/sys/block").value_or(std::vector<std::string>());
  ASSERT_FALSE(disks.empty());
  const std::string disk(absl::StripAsciiWhitespace(
      ReadFile(absl::StrCat("/sys/block/", disks[0], "/dev")).value_or("")));
  std::string id;
  const grpc::Status known =
      node_->TryCreate(pod, pod_config,
                       node_->ContainerConfig("known", {"sleep", "1000"},
                                              with("io.max", absl::StrCat(disk, " rbps=1048576"))),
                       &id);
  EXPECT_EQ(known.ok(), v2) << known.error_message();
  if (v2) {
    node_->StartContainer(id);
    EXPECT_THAT(node_->Shell(id, "cat /sys/fs/cgroup/io.max"),
                ::testing::StartsWith(absl::StrCat(disk, " rbps=1048576 ")));
  }
  const grpc::Status unknown = node_->TryCreate(
      pod, pod_config, node_->ContainerConfig("unknown", {"true"}, with("no.such", "1")), &id);
  EXPECT_FALSE(unknown.ok());
  EXPECT_EQ(node_->Containers().size(), v2 ? 1u : 0u);
}

TEST_F(Limits, OutOfMemoryIsNamed) {
  const auto pod_config = node_->PodConfig("oom");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id = node_->Run(
      pod, pod_config,
      node_->ContainerConfig(
          "c", {"sh", "-c", "dd if=/dev/zero of=/dev/null bs=40M count=20"}, [](auto& c) {
            c.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(16 << 20);
            c.mutable_linux()->mutable_resources()->set_memory_swap_limit_in_bytes(16 << 20);
          }));
  const auto status = node_->Await(id, cri::CONTAINER_EXITED);
  EXPECT_EQ(status.reason(), "OOMKilled");
  EXPECT_EQ(status.exit_code(), 137);
}

// A program that reads /proc/self/cgroup and then the group's files finds the container's limits.
TEST_F(Limits, AnExecIsInTheContainersOwnCgroup) {
  const auto pod_config = node_->PodConfig("exec-limits");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        c.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
      }));
  EXPECT_EQ(node_->Shell(id, "cat /proc/self/cgroup"), node_->Shell(id, "cat /proc/1/cgroup"));
  const bool v2 = ReadFile("/sys/fs/cgroup/cgroup.controllers").ok();
  const std::string limit =
      v2 ? "cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max"
         : "cat /sys/fs/cgroup/memory$(sed -n s/.*:memory://p /proc/self/cgroup)"
           "/memory.limit_in_bytes";
  EXPECT_EQ(node_->Shell(id, limit), "67108864");
  for (int i = 0; i < 5; ++i) node_->Shell(id, "sleep 1000 >/dev/null 2>&1 &");
  EXPECT_EQ(node_->Shell(id, "pidof sleep | wc -w"), "6")
      << "what an exec leaves behind is the container's";
  EXPECT_EQ(node_->Shell(id, "cd /sys/fs/cgroup && find . -name 'exec-*'"), "");
}

TEST_F(Limits, AnExecsDescendantsDieWithItWhenItsTimeIsUp) {
  const auto pod_config = node_->PodConfig("exec-tree");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}));
  node_->Shell(id, "setsid sleep 4000 >/dev/null 2>&1 &");
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  for (const char* word : {"sh", "-c", "setsid sleep 4001 & (setsid sleep 4002 &); sleep 4003"})
    request.add_cmd(word);
  request.set_timeout(1);
  cri::ExecSyncResponse response;
  grpc::ClientContext context;
  EXPECT_EQ(daemon_->runtime().ExecSync(&context, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  const std::string left = node_->Shell(id, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
  EXPECT_THAT(left, ::testing::HasSubstr("sleep 4000"));
  for (const char* gone : {"sleep 4001", "sleep 4002", "sleep 4003"}) {
    EXPECT_THAT(left, ::testing::Not(::testing::HasSubstr(gone)));
  }
}

TEST_F(Limits, AFrozenPodIsStopped) {
  const auto pod_config = node_->PodConfig("frozen");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}));
  const std::string parent = absl::StrCat("/", absl::StripPrefix(daemon_->cgroup_parent(), "/"));
  const bool v2 = ReadFile("/sys/fs/cgroup/cgroup.controllers").ok();
  const std::string file = v2 ? "/sys/fs/cgroup" + parent + "/cgroup.freeze"
                              : "/sys/fs/cgroup/freezer" + parent + "/freezer.state";
  ASSERT_OK(WriteKernelFile(file, v2 ? "1" : "FROZEN"));
  const grpc::Status container = node_->TryStop(id, 1);
  EXPECT_TRUE(container.ok()) << container.error_message();
  ASSERT_OK(WriteKernelFile(file, v2 ? "1" : "FROZEN"));
  const grpc::Status stopped = node_->TryStopPod(pod);
  EXPECT_TRUE(stopped.ok()) << stopped.error_message();
  (void)WriteKernelFile(file, v2 ? "0" : "THAWED");
}

TEST_F(Limits, CapabilitiesSeccompAndNoNewPrivileges) {
  const auto pod_config = node_->PodConfig("security");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        auto* security = c.mutable_linux()->mutable_security_context();
        security->set_no_new_privs(true);
        security->mutable_capabilities()->add_drop_capabilities("ALL");
        security->mutable_capabilities()->add_add_capabilities("NET_RAW");
        security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
        security->mutable_run_as_user()->set_value(1234);
        security->mutable_run_as_group()->set_value(4321);
        security->add_supplemental_groups(777);
      }));
  EXPECT_EQ(node_->Shell(id, "grep CapBnd /proc/1/status"), "CapBnd:\t0000000000002000");
  EXPECT_EQ(node_->Shell(id, "grep CapInh /proc/1/status"), "CapInh:\t0000000000000000");
  EXPECT_EQ(node_->Shell(id, "grep Seccomp: /proc/self/status"), "Seccomp:\t2");
  EXPECT_EQ(node_->Shell(id, "grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t1");
  EXPECT_EQ(node_->Shell(id, "id -u; id -g"), "1234\n4321");
  EXPECT_EQ(node_->Shell(id, "id -G"), "4321 777");
  EXPECT_NE(node_->Exec(id, {"unshare", "-U", "true"}).exit_code, 0);
}

TEST_F(Limits, PrivilegedSeesTheHostsDevices) {
  const auto privileged = [](auto& c) {
    c.mutable_linux()->mutable_security_context()->set_privileged(true);
  };
  const auto pod_config = node_->PodConfig("privileged", privileged);
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}, privileged));
  EXPECT_EQ(node_->Shell(id, "grep Seccomp: /proc/self/status"), "Seccomp:\t0");
  EXPECT_EQ(node_->Shell(id, "test -e /dev/kmsg && echo yes"), "yes");
  EXPECT_EQ(node_->Shell(id, "mount -t tmpfs none /mnt 2>&1 && echo mounted"), "mounted");
  const std::string plain =
      node_->Run(pod, pod_config, node_->ContainerConfig("plain", {"sleep", "1000"}));
  EXPECT_NE(node_->Exec(plain, {"mount", "-t", "tmpfs", "none", "/tmp"}).exit_code, 0);
  EXPECT_NE(node_->Exec(plain, {"test", "-e", "/dev/kmsg"}).exit_code, 0);
}

TEST_F(Limits, MountsPropagateAndStayReadOnly) {
  const std::string host = daemon_->scratch() + "/volume";
  ASSERT_OK(MakeDirs(host + "/sub"));
  ASSERT_OK(AtomicWriteFile(host + "/file", "content", 0644, Durability::kNone));
  const auto pod_config = node_->PodConfig("mounts");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}, [&](auto& c) {
        auto* writable = c.add_mounts();
        writable->set_host_path(host);
        writable->set_container_path("/volume");
        auto* readonly = c.add_mounts();
        readonly->set_host_path(host);
        readonly->set_container_path("/readonly");
        readonly->set_readonly(true);
        auto* made = c.add_mounts();
        made->set_host_path(host + "/absent/dir");
        made->set_container_path("/made");
      }));
  EXPECT_EQ(node_->Shell(id, "cat /volume/file"), "content");
  EXPECT_EQ(node_->Shell(id, "echo new > /volume/new && cat /readonly/new"), "new");
  EXPECT_NE(node_->Exec(id, {"touch", "/readonly/x"}).exit_code, 0);
  EXPECT_EQ(node_->Shell(id, "test -d /made && echo yes"), "yes");
  EXPECT_EQ(node_->Status(id).mounts_size(), 3);
  node_->Remove(id);
  EXPECT_OK(ReadFile(host + "/new")) << "removing the container took the volume's content";
}

}  // namespace
}  // namespace crisp::e2e
