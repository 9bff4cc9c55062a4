// The life of pods and containers as a kubelet sees it.
#include <grpcpp/grpcpp.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "node_test.h"

namespace crisp::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class Lifecycle : public NodeTest {
 protected:
  // Signals that come before a shell has set its traps are nobody's: pid 1 has no default actions.
  static void AwaitLog(const std::string& pod,
                       const std::string& container,
                       const std::string& text) {
    EXPECT_TRUE(Eventually([&] { return absl::StrContains(node_->Log(pod, container), text); }))
        << node_->Log(pod, container);
  }
};

TEST_F(Lifecycle, ExitCodeAndReasonAreKept) {
  const auto pod_config = node_->PodConfig("exits");
  const std::string pod = node_->RunPod(pod_config);
  const std::string good = node_->Run(pod, pod_config, node_->ContainerConfig("good", {"true"}));
  const std::string bad =
      node_->Run(pod, pod_config, node_->ContainerConfig("bad", {"sh", "-c", "exit 7"}));
  const auto good_status = node_->Await(good, cri::CONTAINER_EXITED);
  EXPECT_EQ(good_status.exit_code(), 0);
  EXPECT_EQ(good_status.reason(), "Completed");
  EXPECT_GE(good_status.finished_at(), good_status.started_at());
  const auto bad_status = node_->Await(bad, cri::CONTAINER_EXITED);
  EXPECT_EQ(bad_status.exit_code(), 7);
  EXPECT_EQ(bad_status.reason(), "Error");
}

TEST_F(Lifecycle, MissingProgramIsAStartError) {
  const auto pod_config = node_->PodConfig("missing");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Create(pod, pod_config, node_->ContainerConfig("c", {"/no/such/program"}));
  const grpc::Status status = node_->TryStart(id);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.error_message(), HasSubstr("/no/such/program"));
  const auto after = node_->Status(id);
  EXPECT_EQ(after.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(after.exit_code(), 128);
  EXPECT_EQ(after.reason(), "StartError");
}

TEST_F(Lifecycle, LogHasBothStreamsInCriFormat) {
  const auto pod_config = node_->PodConfig("logs");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config,
                 node_->ContainerConfig("c", {"sh", "-c", "echo out; echo err >&2; printf tail"}));
  node_->Await(id, cri::CONTAINER_EXITED);
  const std::string log = node_->Log("logs", "c");
  EXPECT_THAT(log, HasSubstr(" stdout F out\n"));
  EXPECT_THAT(log, HasSubstr(" stderr F err\n"));
  EXPECT_THAT(log, ::testing::ContainsRegex("stdout [PF] tail\n"));
}

TEST_F(Lifecycle, ProcessSeesItsOwnWorld) {
  auto pod_config = node_->PodConfig("world");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}, [](auto& c) {
        auto* env = c.add_envs();
        env->set_key("GREETING");
        env->set_value("hello world");
        c.set_working_dir("/made/for/me");
      }));
  EXPECT_EQ(node_->Shell(id, "cat /proc/1/comm"), "sleep");
  EXPECT_EQ(node_->Shell(id, "hostname"), "world");
  EXPECT_EQ(node_->Shell(id, "echo $GREETING"), "hello world");
  EXPECT_EQ(node_->Shell(id, "pwd"), "/made/for/me");
  EXPECT_EQ(node_->Shell(id, "ls /proc/1/fd | wc -l"), "3");
  const auto status = node_->PodStatus(pod);
  EXPECT_FALSE(status.network().ip().empty());
  EXPECT_THAT(node_->Shell(id, "ip -4 addr show eth0 | grep inet"),
              HasSubstr(status.network().ip()));
}

TEST_F(Lifecycle, ExecReportsExitCodeAndTimesOut) {
  const auto pod_config = node_->PodConfig("exec");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}));
  EXPECT_EQ(node_->Exec(id, {"sh", "-c", "exit 42"}).exit_code, 42);
  const ExecOutput both = node_->Exec(id, {"sh", "-c", "echo o; echo e >&2"});
  EXPECT_EQ(both.out, "o\n");
  EXPECT_EQ(both.err, "e\n");

  cri::ExecSyncRequest request;
  request.set_container_id(id);
  request.set_timeout(1);
  for (const char* word : {"sh", "-c", "sleep 4321 & sleep 4321"}) request.add_cmd(word);
  cri::ExecSyncResponse response;
  grpc::ClientContext context;
  EXPECT_EQ(daemon_->runtime().ExecSync(&context, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(node_->Shell(id, "ps | grep -c '[s]leep 4321' || true"), "0") << "the tree survived";

  // A grandchild that keeps the pipe open does not keep the call.
  const absl::Time start = absl::Now();
  EXPECT_EQ(node_->Exec(id, {"sh", "-c", "sleep 30 & echo done"}).out, "done\n");
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST_F(Lifecycle, ExecSyncKeepsSixteenMebibytesOfEachStream) {
  const auto pod_config = node_->PodConfig("execcap");
  const std::string pod = node_->RunPod(pod_config);
  const std::string id =
      node_->Run(pod, pod_config, node_->ContainerConfig("c", {"sleep", "1000"}));
  const ExecOutput much = node_->Exec(
      id, {"sh", "-c", "head -c 17000000 /dev/zero; head -c 17000000 /dev/zero >&2; exit 3"});
  EXPECT_EQ(much.out.size(), size_t{16} << 20);
  EXPECT_EQ(much.err.size(), size_t{16} << 20);
  EXPECT_EQ(much.exit_code, 3) << "the command must not block on what is dropped";
}

TEST_F(Lifecycle, StopHonoursTheSignalAndAShorterStopWins) {
  const auto pod_config = node_->PodConfig("stop");
  const std::string pod = node_->RunPod(pod_config);
  const std::string kind = node_->Run(
      pod, pod_config,
      node_->ContainerConfig(
          "kind", {"sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"}));
  AwaitLog("stop", "kind", "ready");
  node_->Stop(kind, 10);
  EXPECT_EQ(node_->Status(kind).exit_code(), 5);

  const std::string stubborn = node_->Run(
      pod, pod_config,
      node_->ContainerConfig(
          "stubborn",
          {"sh", "-c", "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"}));
  AwaitLog("stop", "stubborn", "ready");
  std::thread patient([&] { EXPECT_TRUE(node_->TryStop(stubborn, 86400).ok()); });
  AwaitLog("stop", "stubborn", "asked");
  const absl::Time start = absl::Now();
  node_->Stop(stubborn, 1);
  EXPECT_LT(absl::Now() - start, absl::Seconds(4));
  patient.join();
  EXPECT_EQ(node_->Status(stubborn).exit_code(), 137);
}

TEST_F(Lifecycle, RemoveWorksInEveryStateAndTwice) {
  const auto pod_config = node_->PodConfig("remove");
  const std::string pod = node_->RunPod(pod_config);
  const std::string created =
      node_->Create(pod, pod_config, node_->ContainerConfig("created", {"true"}));
  const std::string running =
      node_->Run(pod, pod_config, node_->ContainerConfig("running", {"sleep", "1000"}));
  for (const std::string& id : {created, running}) {
    node_->Remove(id);
    node_->Remove(id);
  }
  EXPECT_THAT(node_->Containers(), ::testing::IsEmpty());
}

TEST_F(Lifecycle, ARetriedRunPodSandboxJoinsTheFirst) {
  const auto config = node_->PodConfig("retry");
  std::vector<std::string> ids(8);
  std::vector<std::thread> threads;
  for (auto& id : ids) {
    threads.emplace_back([&] { EXPECT_TRUE(node_->TryRunPod(config, &id).ok()); });
  }
  for (auto& thread : threads) thread.join();
  for (const std::string& id : ids) EXPECT_EQ(id, ids[0]);
  EXPECT_THAT(node_->Pods(), SizeIs(1));
}

TEST_F(Lifecycle, IdPrefixesAndFilters) {
  auto config = node_->PodConfig("prefix", [](auto& c) { (*c.mutable_labels())["app"] = "x"; });
  const std::string pod = node_->RunPod(config);
  EXPECT_EQ(node_->PodStatus(pod.substr(0, 13)).id(), pod);
  cri::ListPodSandboxRequest request;
  (*request.mutable_filter()->mutable_label_selector())["app"] = "x";
  request.mutable_filter()->set_id(pod.substr(0, 10));
  cri::ListPodSandboxResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(daemon_->runtime().ListPodSandbox(&context, request, &response).ok());
  EXPECT_EQ(response.items_size(), 1);
  (*request.mutable_filter()->mutable_label_selector())["app"] = "y";
  grpc::ClientContext second;
  ASSERT_TRUE(daemon_->runtime().ListPodSandbox(&second, request, &response).ok());
  EXPECT_EQ(response.items_size(), 0);
}

TEST_F(Lifecycle, TwoPodsReachEachOtherAndTheirHostPort) {
  const int port = 20000 + getpid() % 20000;
  auto server_config = node_->PodConfig("server", [&](auto& c) {
    auto* mapping = c.add_port_mappings();
    mapping->set_container_port(8080);
    mapping->set_host_port(port);
  });
  const std::string server = node_->RunPod(server_config);
  node_->Run(server, server_config,
             node_->ContainerConfig(
                 "httpd", {"sh", "-c", "echo hello > /index.html; exec httpd -f -p 8080 -h /"}));
  auto client_config = node_->PodConfig("client");
  const std::string client = node_->RunPod(client_config);
  const std::string shell =
      node_->Run(client, client_config, node_->ContainerConfig("c", {"sleep", "1000"}));
  const std::string ip = node_->PodStatus(server).network().ip();
  EXPECT_EQ(node_->Shell(shell, absl::StrCat("for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://", ip,
                                             ":8080/index.html && break; sleep 0.1; done")),
            "hello");
  const std::string fetch =
      absl::StrCat("curl -fsS --retry 5 --retry-connrefused http://127.0.0.1:", port,
                   "/index.html > ", daemon_->scratch(), "/got");
  EXPECT_EQ(system(fetch.c_str()), 0);
  EXPECT_EQ(*ReadFile(daemon_->scratch() + "/got"), "hello\n");
}

TEST_F(Lifecycle, ContainersShareThePodButNotTheirRoots) {
  const auto pod_config = node_->PodConfig("share");
  const std::string pod = node_->RunPod(pod_config);
  const std::string a = node_->Run(pod, pod_config, node_->ContainerConfig("a", {"sleep", "1000"}));
  const std::string b = node_->Run(pod, pod_config, node_->ContainerConfig("b", {"sleep", "1000"}));
  for (const char* ns : {"net", "ipc", "uts"}) {
    EXPECT_EQ(node_->Shell(a, absl::StrCat("readlink /proc/self/ns/", ns)),
              node_->Shell(b, absl::StrCat("readlink /proc/self/ns/", ns)));
  }
  for (const char* ns : {"mnt", "pid"}) {
    EXPECT_NE(node_->Shell(a, absl::StrCat("readlink /proc/self/ns/", ns)),
              node_->Shell(b, absl::StrCat("readlink /proc/self/ns/", ns)));
  }
  node_->Shell(a, "echo mine > /file; echo shared > /dev/shm/file");
  EXPECT_EQ(node_->Exec(b, {"cat", "/file"}).exit_code, 1);
  EXPECT_EQ(node_->Shell(b, "cat /dev/shm/file"), "shared");
}

TEST_F(Lifecycle, SharedPidPodHasAHolderAsPidOne) {
  const auto share = [](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
        cri::NamespaceMode::POD);
  };
  const auto pod_config = node_->PodConfig("pidshare", share);
  const std::string pod = node_->RunPod(pod_config);
  const std::string a =
      node_->Run(pod, pod_config, node_->ContainerConfig("a", {"sleep", "7777"}, share));
  const std::string b =
      node_->Run(pod, pod_config, node_->ContainerConfig("b", {"sleep", "1000"}, share));
  EXPECT_THAT(node_->Shell(b, "ps"), HasSubstr("sleep 7777"));
  EXPECT_NE(node_->Shell(b, "cat /proc/1/comm"), "sleep");
  node_->Stop(a, 0);
  EXPECT_EQ(node_->Status(b).state(), cri::CONTAINER_RUNNING);
}

TEST_F(Lifecycle, UserNamespaceMapsRoot) {
  if (!node_->RunsUserNamespaces()) GTEST_SKIP() << "no user namespaces on this node";
  const auto userns = [](auto& c) {
    auto* options = c.mutable_linux()
                        ->mutable_security_context()
                        ->mutable_namespace_options()
                        ->mutable_userns_options();
    options->set_mode(cri::NamespaceMode::POD);
    for (auto* map : {options->add_uids(), options->add_gids()}) {
      map->set_container_id(0);
      map->set_host_id(500000);
      map->set_length(65536);
    }
  };
  const auto pod_config = node_->PodConfig("userns", userns);
  const std::string pod = node_->RunPod(pod_config);
  auto config = node_->ContainerConfig("c", {"sleep", "1000"}, userns);
  cri::Mount* image = config.add_mounts();
  image->set_container_path("/image");
  image->set_readonly(true);
  *image->mutable_image() = config.image();
  const std::string id = node_->Run(pod, pod_config, config);
  EXPECT_EQ(node_->Shell(id, "stat -c %u /image/bin/sh"), "0")
      << "the image volume is not idmapped";
  EXPECT_EQ(node_->Shell(id, "awk '{print $1, $2, $3}' /proc/self/uid_map"), "0 500000 65536");
  EXPECT_EQ(node_->Shell(id, "stat -c %u /bin/sh"), "0") << "the root is not idmapped";
  EXPECT_EQ(node_->Shell(id, "echo x > /mine && stat -c %u /mine"), "0");
}

}  // namespace
}  // namespace crisp::e2e
