#include "cli/doctor/doctor_parse.h"

#include "base/testing/status_matchers.h"

namespace crisp::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(DoctorParseTest, KubeletConfig) {
  KubeletFacts facts;
  ASSERT_OK(
      ReadKubeletConfig("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
                        "cgroupDriver: systemd\ncontainerRuntimeEndpoint: unix:///run/x.sock\n"
                        "evictionHard: {imagefs.available: 15%}\n",
                        facts));
  EXPECT_EQ(facts.cgroup_driver, "systemd");
  EXPECT_EQ(facts.endpoint, "unix:///run/x.sock");
  EXPECT_EQ(facts.image_endpoint, "");
  EXPECT_OK(ReadKubeletConfig("", facts));
  EXPECT_THAT(ReadKubeletConfig("[1, 2", facts), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadKubeletConfig("- a", facts), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadKubeletConfig("cgroupDriver: [a]", facts),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(DoctorParseTest, FlagsOfACommandLine) {
  const std::vector<std::string> arguments = {
      "/usr/bin/kubelet", "--config=/c", "--cgroup-driver", "systemd",
      "--config-dir=/d",  "--v=2",       "--config=/last",  "--end"};
  EXPECT_EQ(FlagValue(arguments, "config"), "/last");
  EXPECT_EQ(FlagValue(arguments, "cgroup-driver"), "systemd");
  EXPECT_EQ(FlagValue(arguments, "container-runtime-endpoint"), std::nullopt);
  EXPECT_EQ(FlagValue(arguments, "end"), std::nullopt);
}

TEST(DoctorParseTest, KubeadmFlags) {
  EXPECT_THAT(
      EnvironmentWords("# c\nKUBELET_KUBEADM_ARGS=\"--a=b  --c\"\n", "KUBELET_KUBEADM_ARGS"),
      ElementsAre("--a=b", "--c"));
  EXPECT_THAT(EnvironmentWords("KUBELET_EXTRA_ARGS=x\n", "KUBELET_KUBEADM_ARGS"), IsEmpty());
}

TEST(DoctorParseTest, ModulesAndFileSystems) {
  EXPECT_TRUE(
      ListsModule("kernel/net/x.ko\nkernel/fs/overlayfs/overlay.ko.xz: kernel/a.ko\n", "overlay"));
  EXPECT_TRUE(ListsModule("kernel/net/bridge/br-netfilter.ko\n", "br_netfilter"));
  EXPECT_TRUE(ListsModule("overlay 151552 2 - Live 0x0\n", "overlay"));
  EXPECT_FALSE(
      ListsModule("kernel/a.ko: kernel/fs/overlayfs/overlay.ko\nkernel/overlays.ko\n", "overlay"));
  EXPECT_TRUE(ListsFileSystem("nodev\tsysfs\nnodev\toverlay\n\text4\n", "overlay"));
  EXPECT_TRUE(ListsFileSystem("\text4", "ext4"));
  EXPECT_FALSE(ListsFileSystem("nodev\toverlay2\n", "overlay"));
}

TEST(DoctorParseTest, ListenersOfAPort) {
  // 9110 is 2396: on loopback, on another address, everywhere (v6), and a connection of it.
  const char kTable[] =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
      "inode\n"
      "   0: 0100007F:2396 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "11 1 0 100 0 0 10 0\n"
      "   1: 0200000A:2396 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "12 1 0 100 0 0 10 0\n"
      "   2: 0100007F:2396 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 "
      "13 1 0 100 0 0 10 0\n"
      "   3: 00000000000000000000000000000000:2396 00000000000000000000000000000000:0000 0A "
      "00000000:00000000 "
      "00:00000000 00000000     0        0 14 1 0 100 0 0 10 0\n";
  EXPECT_THAT(ListenersAt(kTable, "127.0.0.1:9110"), ElementsAre(11, 14));
  EXPECT_THAT(ListenersAt(kTable, "0.0.0.0:9110"), ElementsAre(11, 12, 14));
  EXPECT_THAT(ListenersAt(kTable, "127.0.0.1:9111"), IsEmpty());
  EXPECT_THAT(ListenersAt(kTable, "nonsense"), IsEmpty());
}

TEST(DoctorParseTest, ProcessesOfOtherRuntimes) {
  EXPECT_TRUE(HoldsPodOf("containerd",
                         {"/usr/bin/containerd-shim-runc-v2", "-namespace", "k8s.io", "-id", "a"}));
  EXPECT_FALSE(HoldsPodOf("containerd",
                          {"/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", "a"}));
  EXPECT_FALSE(HoldsPodOf("containerd", {"/usr/bin/containerd"}));
  EXPECT_TRUE(HoldsPodOf("CRI-O", {"/usr/libexec/crio/conmon", "-b", "/run/containers"}));
  EXPECT_TRUE(HoldsPodOf("CRI-O", {"conmon", "--exit-dir", "/var/run/crio/exits"}));
  EXPECT_FALSE(HoldsPodOf("CRI-O", {"/usr/bin/conmon", "--exit-dir", "/run/libpod/exits"}));
  EXPECT_FALSE(HoldsPodOf("CRI-O", {}));
}

}  // namespace
}  // namespace crisp::cli
