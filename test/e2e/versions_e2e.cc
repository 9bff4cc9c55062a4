// A node is upgraded in place and put back, and its pods live through both: those whose shim is of
// an earlier release, and those of this one. What a kubelet then asks of either is done.
//
// The earlier shim is build/old/crisp-shim-1 (hack/old-shim.sh), or CRISP_OLD_SHIM. With
// CRISP_OLD_BIN, a directory with an earlier release's programs, the daemon that is put back is
// that release's too; otherwise it is this one with the earlier shim.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "daemon.h"
#include "node.h"
#include "streaming/server/testing/test_client.h"

namespace crisp::e2e {
namespace {

using ::testing::HasSubstr;

std::string FromEnvironment(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value == nullptr ? otherwise : value;
}

class Versions : public ::testing::Test {
 protected:
  void SetUp() override {
    if (access(old_shim_.c_str(), X_OK) != 0)
      GTEST_SKIP() << "this clone lacks the first release's commit";
    daemon_.UsePrograms(old_bin_, old_bin_.empty() ? old_shim_ : "");
    daemon_.Start();
    node_ = std::make_unique<Node>(daemon_, daemon_.ImportImage());
  }
  void Restart(bool earlier) {
    daemon_.Terminate();
    daemon_.UsePrograms(earlier ? old_bin_ : "", earlier && old_bin_.empty() ? old_shim_ : "");
    daemon_.Start();
  }

  struct Pod {
    std::string name, id, container;
    cri::PodSandboxConfig config;
    cri::ContainerStatus status;
  };
  Pod Run(const std::string& name) {
    Pod pod{.name = name, .config = node_->PodConfig(name)};
    pod.id = node_->RunPod(pod.config);
    pod.container = node_->Run(
        pod.id, pod.config,
        node_->ContainerConfig(
            "c", {"sh", "-c", "trap 'exit 7' TERM; while :; do echo tick; sleep 0.05; done"},
            [](auto& c) {
              c.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
            }));
    pod.status = node_->Status(pod.container);
    return pod;
  }

  template <class Request, class Response>
  Response Call(grpc::Status (cri::RuntimeService::Stub::*method)(grpc::ClientContext*,
                                                                  const Request&,
                                                                  Response*),
                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    Response response;
    const grpc::Status status = (daemon_.runtime().*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  // Expects `text` on the stream's stdout.
  static void ExpectOutput(const std::string& url, const std::string& text) {
    const size_t colon = url.rfind(':');
    int port = 0;
    ASSERT_TRUE(absl::SimpleAtoi(url.substr(colon + 1, url.find('/', colon) - colon - 1), &port))
        << url;
    streaming::TestSpdyClient client(port, url, "v4.channel.k8s.io");
    client.Open({{"streamtype", "error"}});
    const uint32_t out = client.Open({{"streamtype", "stdout"}});
    client.Open({{"streamtype", "stderr"}});
    std::string got;
    while (!absl::StrContains(got, text)) {
      const absl::StatusOr<streaming::SpdyFrame> frame = client.Next();
      ASSERT_OK(frame) << "after: " << got.substr(0, 500);
      if (frame->type == streaming::SpdyType::kData && frame->stream_id == out)
        absl::StrAppend(&got, frame->data);
    }
  }
  void Stream(const Pod& pod) {
    cri::ExecRequest exec;
    exec.set_container_id(pod.container);
    for (const char* word : {"sh", "-c", "echo streamed; exec sleep 20"}) exec.add_cmd(word);
    exec.set_stdout(true);
    exec.set_stderr(true);
    ExpectOutput(Call(&cri::RuntimeService::Stub::Exec, exec).url(), "streamed");
    cri::AttachRequest attach;
    attach.set_container_id(pod.container);
    attach.set_stdout(true);
    attach.set_stderr(true);
    ExpectOutput(Call(&cri::RuntimeService::Stub::Attach, attach).url(), "tick");
  }
  void ReopenLog(const Pod& pod) {
    const std::string path = pod.status.log_path();
    ASSERT_EQ(rename(path.c_str(), (path + ".1").c_str()), 0) << path;
    cri::ReopenContainerLogRequest request;
    request.set_container_id(pod.container);
    Call(&cri::RuntimeService::Stub::ReopenContainerLog, request);
    EXPECT_TRUE(Eventually([&] { return absl::StrContains(node_->Log(pod.name, "c"), "tick"); }));
  }
  void Update(const Pod& pod, int64_t bytes) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(pod.container);
    request.mutable_linux()->set_memory_limit_in_bytes(bytes);
    Call(&cri::RuntimeService::Stub::UpdateContainerResources, request);
    EXPECT_EQ(node_->Status(pod.container).resources().linux().memory_limit_in_bytes(), bytes);
  }
  void AskEverythingOf(const Pod& pod, const std::string& attempt) {
    SCOPED_TRACE(absl::StrCat("pod ", pod.name, ", ", attempt));
    EXPECT_EQ(node_->Status(pod.container).state(), cri::CONTAINER_RUNNING);
    EXPECT_EQ(node_->Status(pod.container).started_at(), pod.status.started_at());
    EXPECT_EQ(node_->PodStatus(pod.id).state(), cri::SANDBOX_READY);
    EXPECT_EQ(node_->Shell(pod.container, "echo alive"), "alive");
    Stream(pod);
    ReopenLog(pod);
    Update(pod, attempt == "upgraded" ? 96 << 20 : 128 << 20);
    const std::string second = node_->Run(
        pod.id, pod.config, node_->ContainerConfig("second-" + attempt, {"sh", "-c", "exit 5"}));
    EXPECT_EQ(node_->Await(second, cri::CONTAINER_EXITED).exit_code(), 5);
    node_->Remove(second);
  }
  void End(const Pod& pod) {
    SCOPED_TRACE(pod.name);
    node_->Stop(pod.container, 10);
    EXPECT_EQ(node_->Status(pod.container).exit_code(), 7);
    node_->Remove(pod.container);
    node_->StopPod(pod.id);
    node_->RemovePod(pod.id);
  }

  const std::string old_shim_ =
      std::filesystem::absolute(FromEnvironment("CRISP_OLD_SHIM", "build/old/crisp-shim-1"));
  const std::string old_bin_ = FromEnvironment("CRISP_OLD_BIN", "");
  Daemon daemon_;
  std::unique_ptr<Node> node_;
};

TEST_F(Versions, PodsLiveThroughAnUpgradeAndBack) {
  const Pod early = Run("early");
  const Pod ends_early = Run("ends-early");
  Restart(false);
  AskEverythingOf(early, "upgraded");
  End(ends_early);
  const Pod late = Run("late");
  const Pod ends_late = Run("ends-late");
  AskEverythingOf(late, "made");
  Restart(true);
  AskEverythingOf(early, "put-back");
  AskEverythingOf(late, "put-back");
  End(ends_late);
  const Pod last = Run("last");
  Restart(false);
  AskEverythingOf(early, "upgraded-again");
  AskEverythingOf(late, "upgraded-again");
  AskEverythingOf(last, "upgraded-again");
  for (const Pod& pod : {early, late, last}) End(pod);
  node_->RemoveAll();
}

}  // namespace
}  // namespace crisp::e2e
