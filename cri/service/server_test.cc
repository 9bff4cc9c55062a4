// The server, the services and the interceptor through real gRPC on a unix socket.
#include "cri/service/server.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "base/file.h"
#include "base/testing/cancelled_wait.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "cri/service/image_service.h"
#include "cri/service/runtime_service.h"
#include "cri/testing/fakes.h"

namespace crisp::cri {
namespace {

using ::testing::HasSubstr;

// Counts the calls that wait at once; lets them go when told.
class BlockingPods : public PodApi {
 public:
  absl::Status Ready() const override { return ready; }
  absl::Status ready;
  std::vector<v1::RuntimeHandler> Handlers() const override { return handlers; }
  std::vector<v1::RuntimeHandler> handlers;
  absl::Status StopContainer(const v1::StopContainerRequest&,
                             v1::StopContainerResponse*,
                             const Operation& operation) override {
    const OperationWait wait(operation, mutex);
    absl::MutexLock lock(&mutex);
    thread = gettid();
    ++waiting;
    if (wait.Await(absl::Condition(&released))) return absl::OkStatus();
    ++cancelled;
    return operation.Error("stop");
  }
  void Release() {
    absl::MutexLock lock(&mutex);
    released = true;
  }
  absl::Status ListContainers(const v1::ListContainersRequest&,
                              v1::ListContainersResponse* reply,
                              const Operation&) override {
    for (int i = 0; i < 2500; ++i) reply->add_containers()->set_id(std::to_string(i));
    return absl::OkStatus();
  }
  absl::Status RunPodSandbox(const v1::RunPodSandboxRequest&,
                             v1::RunPodSandboxResponse*,
                             const Operation& operation) override {
    kept = operation;
    return absl::ResourceExhaustedError("no address left");
  }
  absl::Status GetContainerEvents(
      const v1::GetEventsRequest&,
      const std::function<bool(const v1::ContainerEventResponse&)>& write,
      const Operation& operation) override {
    v1::ContainerEventResponse event;
    event.set_container_id("c1");
    write(event);
    (void)operation.Sleep(absl::InfiniteDuration());
    return absl::OkStatus();
  }

  std::atomic<int> waiting = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<pid_t> thread = 0;  // the last one that waits
  absl::Mutex mutex;
  bool released = false;
  Operation kept;
};

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listener = Listener::Bind(path_);
    ASSERT_OK(listener);
    auto server = Server::Start(*std::move(listener), {&service_, &images_service_}, registry_);
    ASSERT_OK(server);
    server_ = *std::move(server);
  }
  void TearDown() override { pods_.Release(); }
  std::shared_ptr<grpc::Channel> Channel() {
    grpc::ChannelArguments arguments;
    arguments.SetInt("grpc.use_local_subchannel_pool", 1);
    return grpc::CreateCustomChannel("unix://" + path_, grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  std::unique_ptr<v1::RuntimeService::Stub> Stub() {
    return v1::RuntimeService::NewStub(Channel());
  }

  TempDir dir_;
  std::string path_ = dir_.path() + "/s/crisp.sock";
  Config config_;
  FakeImageStore images_;
  FakePodNetwork network_;
  BlockingPods pods_;
  metrics::Registry registry_;
  SessionApi sessions_;
  Workers threads_{kRpcThreads};
  RuntimeService service_{threads_,  config_,
                          network_,  pods_,
                          sessions_, {.recursive_read_only = true, .user_namespaces = false}};
  ImageService images_service_{threads_, images_, registry_};
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersVersionWithEveryFieldSet) {
  grpc::ClientContext context;
  v1::VersionResponse reply;
  ASSERT_TRUE(Stub()->Version(&context, {}, &reply).ok());
  EXPECT_EQ(reply.version(), "0.1.0");
  EXPECT_EQ(reply.runtime_name(), "crisp");
  EXPECT_EQ(reply.runtime_version(), CRISP_VERSION);
  EXPECT_EQ(reply.runtime_api_version(), "v1");
}

TEST_F(ServerTest, StatusTellsConditionsHandlersAndFeatures) {
  network_.condition = {.ready = false, .reason = "NetworkPluginNotReady", .message = "no config"};
  pods_.handlers.resize(3);
  pods_.handlers[0].mutable_features()->set_recursive_read_only_mounts(true);
  pods_.handlers[2].set_name("other");
  pods_.handlers[2].mutable_features()->set_user_namespaces(true);
  grpc::ClientContext context;
  v1::StatusRequest request;
  request.set_verbose(true);
  v1::StatusResponse reply;
  ASSERT_TRUE(Stub()->Status(&context, request, &reply).ok());
  ASSERT_EQ(reply.status().conditions_size(), 2);
  EXPECT_EQ(reply.status().conditions(0).type(), "RuntimeReady");
  EXPECT_TRUE(reply.status().conditions(0).status());
  EXPECT_EQ(reply.status().conditions(1).type(), "NetworkReady");
  EXPECT_FALSE(reply.status().conditions(1).status());
  EXPECT_EQ(reply.status().conditions(1).reason(), "NetworkPluginNotReady");
  ASSERT_EQ(reply.runtime_handlers_size(), 3);
  EXPECT_EQ(reply.runtime_handlers(0).name(), "");
  EXPECT_EQ(reply.runtime_handlers(2).name(), "other");
  EXPECT_TRUE(reply.runtime_handlers(0).features().recursive_read_only_mounts());
  EXPECT_FALSE(reply.runtime_handlers(0).features().user_namespaces());
  EXPECT_TRUE(reply.runtime_handlers(2).features().user_namespaces());
  EXPECT_TRUE(reply.features().supplemental_groups_policy());
  ASSERT_OK_AND_ASSIGN(const Json config, ParseJson(reply.info().at("config")));
  EXPECT_EQ(config["stateDir"], config_.state);
  // Of another type or empty, kubeadm warns.
  EXPECT_EQ(config["sandboxImage"], kSandboxImage);
}

TEST_F(ServerTest, StatusSaysWhyNoPodCanBeHad) {
  pods_.ready = absl::UnavailableError("systemd: connect to the system bus: Connection refused");
  grpc::ClientContext context;
  v1::StatusResponse reply;
  ASSERT_TRUE(Stub()->Status(&context, v1::StatusRequest(), &reply).ok());
  EXPECT_FALSE(reply.status().conditions(0).status());
  EXPECT_EQ(reply.status().conditions(0).reason(), "CgroupDriverNotReady");
  EXPECT_THAT(reply.status().conditions(0).message(), ::testing::HasSubstr("system bus"));
}

TEST_F(ServerTest, RuntimeConfigNamesTheDriver) {
  for (const auto& [name, driver] :
       {std::pair("cgroupfs", v1::CGROUPFS), std::pair("systemd", v1::SYSTEMD)}) {
    config_.runtime.cgroup_driver = name;
    grpc::ClientContext context;
    v1::RuntimeConfigResponse reply;
    ASSERT_TRUE(Stub()->RuntimeConfig(&context, {}, &reply).ok());
    EXPECT_EQ(reply.linux().cgroup_driver(), driver);
  }
}

TEST_F(ServerTest, UpdateRuntimeConfigReachesTheNetwork) {
  v1::UpdateRuntimeConfigRequest request;
  v1::UpdateRuntimeConfigResponse reply;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(Stub()->UpdateRuntimeConfig(&context, request, &reply).ok());
    EXPECT_EQ(network_.cidrs, "") << "an empty CIDR is not handed on";
  }
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.1.0.0/24");
  {
    grpc::ClientContext context;
    ASSERT_TRUE(Stub()->UpdateRuntimeConfig(&context, request, &reply).ok());
    EXPECT_EQ(network_.cidrs, "10.1.0.0/24");
  }
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("bad");
  grpc::ClientContext context;
  EXPECT_EQ(Stub()->UpdateRuntimeConfig(&context, request, &reply).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServerTest, TwoHundredBlockedCallsDoNotHoldUpOthers) {
  auto stub = Stub();
  std::vector<std::thread> callers;
  std::atomic<int> ok = 0;
  for (int i = 0; i < 200; ++i) {
    callers.emplace_back([&] {
      grpc::ClientContext context;
      v1::StopContainerResponse reply;
      if (stub->StopContainer(&context, {}, &reply).ok()) ++ok;
    });
  }
  EXPECT_TRUE(Eventually([&] { return pods_.waiting == 200; }));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  v1::VersionResponse reply;
  EXPECT_TRUE(Stub()->Version(&context, {}, &reply).ok());
  pods_.Release();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(ok, 200);
}

TEST_F(ServerTest, ClientDeadlineAndHangUpReachTheCall) {
  auto stub = Stub();
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
    v1::StopContainerResponse reply;
    EXPECT_EQ(stub->StopContainer(&context, {}, &reply).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  grpc::ClientContext context;
  std::thread caller([&] {
    v1::StopContainerResponse reply;
    EXPECT_EQ(stub->StopContainer(&context, {}, &reply).error_code(), grpc::StatusCode::CANCELLED);
  });
  EXPECT_TRUE(Eventually([&] { return pods_.waiting == 2; }));
  EXPECT_TRUE(SleepsUndisturbed(pods_.thread));
  context.TryCancel();
  caller.join();
  EXPECT_TRUE(Eventually([&] { return pods_.cancelled == 2; }));
}

TEST_F(ServerTest, CancelOutlivesItsCall) {
  grpc::ClientContext context;
  v1::RunPodSandboxResponse reply;
  const grpc::Status status = Stub()->RunPodSandbox(&context, {}, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "no address left");
  EXPECT_THAT(pods_.kept.Check("later"), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ServerTest, TheClientsTraceReachesTheCall) {
  const std::string header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const std::pair<std::string, std::string> cases[] = {{header, header}, {"garbage", ""}};
  for (const auto& [sent, expected] : cases) {
    grpc::ClientContext context;
    context.AddMetadata("traceparent", sent);
    v1::RunPodSandboxResponse reply;
    (void)Stub()->RunPodSandbox(&context, {}, &reply);
    const TraceContext* const trace = pods_.kept.trace();
    EXPECT_EQ(trace == nullptr ? "" : trace->ToString(), expected);
  }
}

TEST_F(ServerTest, AMethodThatIsNotThereIsUnimplemented) {
  const auto channel = Channel();
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  grpc::ByteBuffer empty, reply;
  grpc::Status status;
  const auto call =
      stub.PrepareUnaryCall(&context, "/runtime.v1.RuntimeService/None", empty, &queue);
  call->StartCall();
  call->Finish(&reply, &status, &status);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  queue.Shutdown();
}

TEST_F(ServerTest, EachDoorHasItsServicesAndAllEndTogether) {
  BlockingPods other;
  other.ready = absl::UnavailableError("the other door");
  RuntimeService service(threads_, config_, network_, other, sessions_, {});
  RuntimeService first(threads_, config_, network_, pods_, sessions_, {});
  const std::string paths[] = {dir_.path() + "/one.sock", dir_.path() + "/two.sock"};
  grpc::Service* const services[] = {&first, &service};
  std::vector<Door> doors;
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(Listener listener, Listener::Bind(paths[i]));
    doors.push_back({.listener = std::move(listener), .services = {services[i]}});
  }
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Start(std::move(doors), registry_));
  std::vector<std::unique_ptr<v1::RuntimeService::Stub>> stubs;
  for (const std::string& path : paths) {
    stubs.push_back(v1::RuntimeService::NewStub(
        grpc::CreateChannel("unix://" + path, grpc::InsecureChannelCredentials())));
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u);
  }
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    v1::StatusResponse reply;
    ASSERT_TRUE(stubs[static_cast<size_t>(i)]->Status(&context, {}, &reply).ok());
    EXPECT_EQ(reply.status().conditions(0).status(), i == 0);
  }
  // A call at the second door is let go like one at the first.
  grpc::ClientContext context;
  std::thread caller([&] {
    v1::StopContainerResponse reply;
    EXPECT_FALSE(stubs[1]->StopContainer(&context, {}, &reply).ok());
  });
  EXPECT_TRUE(Eventually([&] { return other.waiting == 1; }));
  server->Shutdown(absl::Milliseconds(1));
  caller.join();
  EXPECT_TRUE(Eventually([&] { return other.cancelled == 1; }));
  for (const std::string& path : paths) EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST_F(ServerTest, WithoutAThreadACallIsRefused) {
  Workers few({.name = "rpc", .most = 1});
  RuntimeService service(few, config_, network_, pods_, sessions_, {});
  const std::string path = dir_.path() + "/few/crisp.sock";
  ASSERT_OK_AND_ASSIGN(Listener listener, Listener::Bind(path));
  ASSERT_OK_AND_ASSIGN(const auto server,
                       Server::Start(std::move(listener), {&service}, registry_));
  const auto stub = v1::RuntimeService::NewStub(
      grpc::CreateChannel("unix://" + path, grpc::InsecureChannelCredentials()));
  std::thread caller([&] {
    grpc::ClientContext context;
    v1::StopContainerResponse reply;
    EXPECT_TRUE(stub->StopContainer(&context, {}, &reply).ok());
  });
  EXPECT_TRUE(Eventually([&] { return pods_.waiting == 1; }));
  grpc::ClientContext context;
  v1::VersionResponse reply;
  EXPECT_EQ(stub->Version(&context, {}, &reply).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  pods_.Release();
  caller.join();
}

TEST_F(ServerTest, CountsCallsByMethodAndCode) {
  auto stub = Stub();
  for (int i = 0; i < 3; ++i) {
    grpc::ClientContext context;
    v1::VersionResponse reply;
    ASSERT_TRUE(stub->Version(&context, {}, &reply).ok());
  }
  grpc::ClientContext context;
  v1::RemovePodSandboxResponse reply;
  EXPECT_EQ(stub->RemovePodSandbox(&context, {}, &reply).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  server_->Shutdown(absl::Seconds(1));
  const std::string text = registry_.Text();
  EXPECT_THAT(text, HasSubstr("crisp_rpcs_total{code=\"OK\",method=\"Version\"} 3"));
  EXPECT_THAT(text,
              HasSubstr("crisp_rpcs_total{code=\"UNIMPLEMENTED\",method=\"RemovePodSandbox\"} 1"));
  EXPECT_THAT(text, HasSubstr("crisp_rpc_duration_seconds_count{method=\"Version\"} 3"));
  EXPECT_THAT(text, HasSubstr("crisp_rpcs_in_flight 0"));
}

TEST_F(ServerTest, StreamsListsInBatchesEachItemOnce) {
  grpc::ClientContext context;
  auto stub = Stub();
  auto reader = stub->StreamContainers(&context, {});
  v1::StreamContainersResponse batch;
  int next = 0, batches = 0;
  while (reader->Read(&batch)) {
    ++batches;
    for (const v1::Container& container : batch.containers()) {
      EXPECT_EQ(container.id(), std::to_string(next++));
    }
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(next, 2500);
  EXPECT_EQ(batches, 3);
}

TEST_F(ServerTest, ShutdownEndsAnEventStream) {
  grpc::ClientContext context;
  auto stub = Stub();
  auto reader = stub->GetContainerEvents(&context, {});
  v1::ContainerEventResponse event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.container_id(), "c1");
  const absl::Time begin = absl::Now();
  server_->Shutdown(absl::Milliseconds(100));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_FALSE(reader->Read(&event));
  reader->Finish();
}

TEST_F(ServerTest, WhoComesWhileItStopsIsRefusedAtOnce) {
  auto stub = Stub();
  std::thread caller([&] {
    grpc::ClientContext context;
    v1::StopContainerResponse reply;
    stub->StopContainer(&context, {}, &reply);
  });
  EXPECT_TRUE(Eventually([&] { return pods_.waiting == 1; }));
  std::thread stopper([&] { server_->Shutdown(absl::Minutes(2)); });
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  // Within the grace: the call before is still there.
  EXPECT_TRUE(Eventually([&] {
    const UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0;
  }));
  EXPECT_EQ(pods_.cancelled, 0);
  pods_.Release();
  stopper.join();
  caller.join();
}

TEST_F(ServerTest, TakesMessagesBeyondSixteenMebibytes) {
  grpc::ClientContext context;
  v1::UpdateRuntimeConfigRequest request;
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr(
      std::string(20 << 20, 'x'));
  v1::UpdateRuntimeConfigResponse reply;
  Stub()->UpdateRuntimeConfig(&context, request, &reply);
  EXPECT_EQ(network_.cidrs.size(), static_cast<size_t>(20 << 20));
}

TEST_F(ServerTest, SocketIsPrivateAndGoesWithTheServer) {
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_EQ(stat((dir_.path() + "/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777 & ~0711u, 0u);
  server_.reset();
  EXPECT_NE(stat(path_.c_str(), &info), 0);
}

TEST_F(ServerTest, ALivingSocketIsNotReplaced) {
  EXPECT_THAT(Listener::Bind(path_), StatusIs(absl::StatusCode::kAlreadyExists));
  grpc::ClientContext context;
  v1::VersionResponse reply;
  EXPECT_TRUE(Stub()->Version(&context, {}, &reply).ok());
}

TEST(ListenerTest, AStaleSocketIsReplacedAndOtherFilesAreNot) {
  TempDir dir;
  const std::string path = dir.path() + "/crisp.sock";
  {
    UniqueFd dead(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ASSERT_OK_AND_ASSIGN(const Listener listener, Listener::Bind(path));
  EXPECT_GE(listener.fd(), 0);

  const std::string file = dir.path() + "/file";
  ASSERT_OK(AtomicWriteFile(file, "precious", 0600, Durability::kNone));
  EXPECT_THAT(Listener::Bind(file), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(file));
  EXPECT_EQ(text, "precious");
}

TEST(ListenerTest, TakesTheSocketOfSystemd) {
  TempDir dir;
  const std::string path = dir.path() + "/activated.sock";
  ASSERT_OK_AND_ASSIGN(const Listener made, Listener::Bind(path));
  EXPECT_THAT(Listener::FromSystemd(), StatusIs(absl::StatusCode::kNotFound));
  // In a child, where descriptor 3 is free to be the activated one.
  const pid_t child = fork();
  if (child == 0) {
    if (dup2(made.fd(), 3) != 3) _exit(2);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    auto listener = Listener::FromSystemd();
    if (!listener.ok()) _exit(3);
    if (getenv("LISTEN_FDS") != nullptr) _exit(4);
    _exit(listener->fd() == 3 ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(KernelTest, ComparesReleases) {
  EXPECT_TRUE(KernelAtLeast("6.18.0-amd64", 6, 3));
  EXPECT_TRUE(KernelAtLeast("5.12.0", 5, 12));
  EXPECT_FALSE(KernelAtLeast("5.4.0", 5, 12));
  EXPECT_FALSE(KernelAtLeast("4.19", 5, 0));
  EXPECT_FALSE(KernelAtLeast("", 1, 0));
  EXPECT_EQ(WhyNoUserNamespaces("6.3.0", true), "");
  EXPECT_THAT(WhyNoUserNamespaces("6.1.0-57-cloud-amd64", true),
              HasSubstr("Linux 6.1.0-57-cloud-amd64"));
  EXPECT_THAT(WhyNoUserNamespaces("6.12.0", false), HasSubstr("user.max_user_namespaces"));
  EXPECT_FALSE(ProbeKernel().release.empty());
}

}  // namespace
}  // namespace crisp::cri
