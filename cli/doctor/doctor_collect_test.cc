#include "cli/doctor/doctor_collect.h"

#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

// As /proc shows one: every argument ends with a NUL.
std::string CommandLine(const std::vector<std::string>& arguments) {
  std::string text;
  for (const std::string& argument : arguments) text.append(argument).push_back('\0');
  return text;
}

class DoctorCollectTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, absl::string_view text) {
    const std::string full = dir_.path() + path;
    ASSERT_OK(MakeDirs(full.substr(0, full.rfind('/'))));
    ASSERT_OK(AtomicWriteFile(full, text, 0600, Durability::kNone));
  }
  CollectOptions Options() {
    return {.config_path = dir_.path() + "/config.yaml",
            .address = "unix://" + dir_.path() + "/none.sock",
            .prefix = dir_.path()};
  }
  TempDir dir_;
};

TEST_F(DoctorCollectTest, FindsOutAboutAMachine) {
  Write("/config.yaml",
        absl::StrCat("root: ", dir_.path(), "/lib/crisp\nnetwork: {cni_conf_dir: ", dir_.path(),
                     "/net.d, cni_bin_dirs: [", dir_.path(), "/bin]}\n"));
  Write("/net.d/10-a.conflist",
        R"({"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "bridge"}]})");
  Write("/net.d/README", "");
  Write("/bin/bridge", "");
  Write("/proc/filesystems", "nodev\toverlay\n");
  Write("/proc/sys/kernel/pid_max", "32768\n");
  Write("/proc/sys/fs/file-max", "9223372036854775808\n");
  Write("/proc/sys/kernel/seccomp/actions_avail", "kill_process errno allow\n");
  Write("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  Write("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
  Write("/sys/module/apparmor/parameters/enabled", "Y\n");
  Write("/sys/kernel/security/apparmor/profiles", "other (enforce)\ncrisp-default (enforce)\n");
  const NodeFacts facts = CollectFacts(Options());

  EXPECT_EQ(facts.daemon.config_error, "");
  EXPECT_NE(facts.daemon.error, "") << "nobody listens there";
  EXPECT_THAT(facts.network.cni.files, ElementsAre("10-a.conflist"));
  EXPECT_THAT(facts.network.cni.types, ElementsAre("bridge"));
  EXPECT_THAT(facts.network.cni.programs, ElementsAre("bridge"));
  EXPECT_TRUE(facts.kernel.overlay);
  EXPECT_EQ(facts.sysctls.at("kernel.pid_max"), 32768);
  EXPECT_EQ(facts.sysctls.at("fs.file-max"), INT64_MAX);
  EXPECT_THAT(facts.kernel.seccomp_actions, ElementsAre("kill_process", "errno", "allow"));
  EXPECT_TRUE(facts.cgroups.v2);
  EXPECT_THAT(facts.cgroups.controllers, ElementsAre("cpu", "memory", "pids"));
  EXPECT_TRUE(facts.security.apparmor);
  EXPECT_EQ(facts.security.default_profile, true);
  EXPECT_EQ(facts.storage.root.nearest, dir_.path()) << "as far as it exists";
  EXPECT_FALSE(facts.storage.root.exists);
  EXPECT_GT(facts.storage.root.bytes, 0u);
  EXPECT_FALSE(facts.kubelet.installed);
}

TEST_F(DoctorCollectTest, AWrongConfigurationIsSaid) {
  Write("/config.yaml", "nonsense: 1\n");
  EXPECT_THAT(CollectFacts(Options()).daemon.config_error,
              HasSubstr("config.yaml:1: unknown key nonsense"));
  Write("/config.yaml", "log_level: loud\n");
  EXPECT_THAT(CollectFacts(Options()).daemon.config_error, HasSubstr("log_level"));
}

TEST_F(DoctorCollectTest, ReadsHierarchiesOfV1) {
  Write("/proc/self/mountinfo",
        "30 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "31 20 0:27 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n");
  const NodeFacts facts = CollectFacts(Options());
  EXPECT_TRUE(facts.cgroups.mounted);
  EXPECT_FALSE(facts.cgroups.v2);
  EXPECT_THAT(facts.cgroups.controllers, IsSupersetOf({"cpu", "io"}));
}

TEST_F(DoctorCollectTest, TheRunningKubeletsFlagsWin) {
  Write("/var/lib/kubelet/config.yaml",
        "cgroupDriver: systemd\ncontainerRuntimeEndpoint: unix:///file\n");
  NodeFacts facts;
  CollectKubelet(Options(), facts);
  EXPECT_TRUE(facts.kubelet.installed);
  EXPECT_FALSE(facts.kubelet.running);
  EXPECT_EQ(facts.kubelet.endpoint, "unix:///file");
  EXPECT_EQ(facts.kubelet.cgroup_driver, "systemd");

  Write("/var/lib/kubelet/kubeadm-flags.env",
        "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///flags\"\n");
  facts = {};
  CollectKubelet(Options(), facts);
  EXPECT_EQ(facts.kubelet.endpoint, "unix:///flags");

  Write("/proc/42/cmdline",
        CommandLine({"/usr/bin/kubelet", "--container-runtime-endpoint", "unix:///runs"}));
  facts = {};
  CollectKubelet(Options(), facts);
  EXPECT_TRUE(facts.kubelet.running);
  EXPECT_EQ(facts.kubelet.endpoint, "unix:///runs");
  EXPECT_EQ(facts.kubelet.endpoint_from, "its command line");

  Write("/var/lib/kubelet/config.yaml", "cgroupDriver: [open\n");
  facts = {};
  CollectKubelet(Options(), facts);
  EXPECT_THAT(facts.kubelet.config_error, HasSubstr("/var/lib/kubelet/config.yaml: line"));
}

TEST_F(DoctorCollectTest, CountsPodsOfOtherRuntimes) {
  Write("/proc/7/cmdline",
        CommandLine({"/usr/bin/containerd-shim-runc-v2", "-namespace", "k8s.io"}));
  Write("/proc/8/cmdline", "");
  NodeFacts facts;
  CollectOtherRuntimes(Options(), facts);
  ASSERT_EQ(facts.others.size(), 2u);
  EXPECT_EQ(facts.others[0].pods, 1);
  EXPECT_FALSE(facts.others[0].answers);
  EXPECT_EQ(facts.others[1].pods, 0);
}

TEST_F(DoctorCollectTest, NamesWhoHoldsAPort) {
  Write("/proc/net/tcp",
        "   0: 0100007F:2396 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        "
        "0 99 1\n");
  Write("/proc/7/comm", "prometheus\n");
  ASSERT_OK(MakeDirs(dir_.path() + "/proc/7/fd"));
  ASSERT_EQ(symlink("socket:[99]", (dir_.path() + "/proc/7/fd/3").c_str()), 0);
  NodeFacts facts;
  CollectNetwork(Options(), facts);
  ASSERT_EQ(facts.network.ports.size(), 1u);
  EXPECT_EQ(facts.network.ports[0].key, "metrics.address");
  EXPECT_EQ(facts.network.ports[0].holder, "prometheus");
}

}  // namespace
}  // namespace crisp::cli
