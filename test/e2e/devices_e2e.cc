// Devices and limits that vendors and operators describe in files: CDI devices, block IO classes.
#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "base/testing/status_matchers.h"
#include "node_test.h"

namespace crisp::e2e {
namespace {

using ::testing::HasSubstr;

class Devices : public NodeTest {
 protected:
  static void WriteCdi(const std::string& name, const std::string& text) {
    ASSERT_OK(MakeDirs(daemon_->scratch() + "/cdi"));
    ASSERT_OK(AtomicWriteFile(absl::StrCat(daemon_->scratch(), "/cdi/", name), text, 0600,
                              Durability::kNone));
  }
  // The answer of CreateContainer for a container with this device.
  static grpc::Status TryDevice(const std::string& device) {
    const auto config = node_->PodConfig("pod");
    const std::string pod = node_->RunPod(config);
    std::string id;
    const grpc::Status status = node_->TryCreate(
        pod, config,
        node_->ContainerConfig("c", {"true"},
                               [&](auto& c) { c.add_cdi_devices()->set_name(device); }),
        &id);
    EXPECT_EQ(node_->Containers().size(), status.ok() ? 1u : 0u);
    node_->RemoveAll();
    return status;
  }
};

constexpr char kGpu[] = R"(
cdiVersion: "0.7.0"
kind: crisp.test/gpu
containerEdits:
  env: [GPU_DRIVER=1]
devices:
  - name: "0"
    containerEdits:
      env: [GPU=0]
      deviceNodes: [{path: /dev/gpu0, hostPath: /dev/null, permissions: rw, fileMode: 0640, gid: 44}]
      mounts: [{hostPath: HOST, containerPath: /opt/gpu/lib, options: [ro, bind, nosuid]}]
      additionalGids: [4444]
  - name: "1"
    containerEdits:
      env: [GPU1=here]
      deviceNodes: [{path: /dev/gpu1, hostPath: /dev/zero}]
)";

std::string GpuSpec(const std::string& host) {
  std::string text = kGpu;
  return text.replace(text.find("HOST"), 4, host);
}

TEST_F(Devices, CdiDevicesOfFieldAndAnnotationAreInjected) {
  const std::string host = daemon_->scratch() + "/gpulib";
  ASSERT_OK(MakeDirs(host));
  ASSERT_OK(AtomicWriteFile(host + "/version", "17", 0644, Durability::kNone));
  WriteCdi("gpu.yaml", GpuSpec(host));
  const auto config = node_->PodConfig("cdi");
  const std::string pod = node_->RunPod(config);
  const std::string id =
      node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        c.add_cdi_devices()->set_name("crisp.test/gpu=0");
        (*c.mutable_annotations())["cdi.k8s.io/plugin_gpu"] = "crisp.test/gpu=0,crisp.test/gpu=1";
        c.mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(1000);
      }));
  EXPECT_EQ(node_->Shell(id, "echo $GPU_DRIVER $GPU $GPU1"), "1 0 here");
  EXPECT_EQ(node_->Shell(id, "stat -c '%F %t:%T %a %u:%g' /dev/gpu0"),
            "character special file 1:3 640 1000:44");
  EXPECT_EQ(node_->Shell(id, "echo x >/dev/gpu0 && head -c 3 /dev/gpu1 | wc -c"), "3")
      << "the cgroup lets both";
  EXPECT_EQ(
      node_->Shell(id, "cat /opt/gpu/lib/version; touch /opt/gpu/lib/x 2>/dev/null || echo ro"),
      "17ro");
  EXPECT_THAT(node_->Shell(id, "id -G"), HasSubstr("4444"));
  EXPECT_EQ(node_->Status(id).mounts_size(), 0) << "only what the CRI asked for is shown";
  EXPECT_THAT(node_->Status(id).user().linux().supplemental_groups(), ::testing::Contains(4444));
}

TEST_F(Devices, CdiDevicesInAUserNamespace) {
  if (!node_->RunsUserNamespaces()) GTEST_SKIP() << "no user namespaces on this node";
  const std::string host = daemon_->scratch() + "/gpulib";
  ASSERT_OK(MakeDirs(host));
  WriteCdi("gpu.yaml", GpuSpec(host));
  const auto mapped = [](auto* options) {
    auto* userns = options->mutable_userns_options();
    userns->set_mode(cri::POD);
    for (auto* map : {userns->add_uids(), userns->add_gids()}) {
      map->set_host_id(300000);
      map->set_length(65536);
    }
  };
  const auto config = node_->PodConfig("cdiuser", [&](auto& c) {
    mapped(c.mutable_linux()->mutable_security_context()->mutable_namespace_options());
  });
  const std::string pod = node_->RunPod(config);
  const std::string id =
      node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}, [&](auto& c) {
        c.add_cdi_devices()->set_name("crisp.test/gpu=1");
        mapped(c.mutable_linux()->mutable_security_context()->mutable_namespace_options());
      }));
  EXPECT_EQ(node_->Shell(id, "head -c 3 /dev/gpu1 | wc -c; echo $GPU1"), "3\nhere");
}

TEST_F(Devices, CdiDevicesThatCannotBeAreRefusedByName) {
  WriteCdi("hooks.json", R"({"cdiVersion":"0.6.0","kind":"crisp.test/hooks","devices":[{"name":"h",
      "containerEdits":{"netDevices":[]}}]})");
  WriteCdi("net.json", R"({"cdiVersion":"1.1.0","kind":"crisp.test/net","devices":[{"name":"n",
      "containerEdits":{"netDevices":[{"hostInterfaceName":"lo","name":"x"}]}}]})");
  WriteCdi("gone.json", R"({"cdiVersion":"0.5.0","kind":"crisp.test/gone","devices":[{"name":"g",
      "containerEdits":{"deviceNodes":[{"path":"/dev/no-such-device"}]}}]})");
  const struct {
    const char* device;
    grpc::StatusCode code;
    const char* message;
  } kCases[] = {
      {"crisp.test/gpu=absent", grpc::FAILED_PRECONDITION,
       "unresolvable CDI devices crisp.test/gpu=absent"},
      {"crisp.test/net=n", grpc::FAILED_PRECONDITION, "device crisp.test/net=n needs netDevices"},
      {"crisp.test/gone=g", grpc::FAILED_PRECONDITION, "/dev/no-such-device"},
      {"crisp.test/hooks=h", grpc::FAILED_PRECONDITION, "hooks.json"},
      {"/dev/null", grpc::INVALID_ARGUMENT, "not VENDOR/CLASS=NAME"},
      {"", grpc::INVALID_ARGUMENT, "not VENDOR/CLASS=NAME"},
  };
  for (const auto& bad : kCases) {
    const grpc::Status status = TryDevice(bad.device);
    EXPECT_EQ(status.error_code(), bad.code) << bad.device << ": " << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(bad.message));
  }
}

TEST_F(Devices, BlockIoClassesLimitTheContainersThatNameThem) {
  struct stat st;
  if (stat("/dev/loop0", &st) != 0 || !S_ISBLK(st.st_mode)) GTEST_SKIP() << "no /dev/loop0";
  ASSERT_OK(AtomicWriteFile(
      daemon_->scratch() + "/blockio.yaml",
      "Classes:\n  slow: [{Devices: [/dev/loop0], ThrottleReadBps: 3M, ThrottleWriteIOPS: 77}]\n"
      "  slower: [{Devices: [/dev/loop0], ThrottleReadBps: 2M}]\n",
      0600, Durability::kNone));
  static constexpr char kPrefix[] = "blockio.resources.beta.kubernetes.io/";
  const auto config = node_->PodConfig("blockio", [](auto& c) {
    (*c.mutable_annotations())[std::string(kPrefix) + "pod"] = "slow";
    (*c.mutable_annotations())[std::string(kPrefix) + "container.other"] = "slower";
    (*c.mutable_annotations())[std::string(kPrefix) + "container.bad"] = "no-such";
  });
  const std::string pod = node_->RunPod(config);
  constexpr char kShow[] =
      "cd /sys/fs/cgroup; cat io.max 2>/dev/null || (cd blkio && cat "
      "blkio.throttle.read_bps_device)";
  const std::string c = node_->Run(pod, config, node_->ContainerConfig("c", {"sleep", "1000"}));
  EXPECT_THAT(node_->Shell(c, kShow),
              ::testing::AnyOf("7:0 3000000", "7:0 rbps=3000000 wbps=max riops=max wiops=77"));
  const std::string other =
      node_->Run(pod, config, node_->ContainerConfig("other", {"sleep", "1000"}));
  EXPECT_THAT(node_->Shell(other, kShow), HasSubstr("2000000"));
  std::string id;
  const grpc::Status refused =
      node_->TryCreate(pod, config, node_->ContainerConfig("bad", {"true"}), &id);
  EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT) << refused.error_message();
  EXPECT_THAT(refused.error_message(), HasSubstr("no-such"));
}

}  // namespace
}  // namespace crisp::e2e
