#include "daemon.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <net/if.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"

namespace crisp::e2e {
namespace {

std::string BinDir() {
  const char* dir = getenv("CRISP_BIN");
  return dir != nullptr ? dir : "build/bin";
}

bool UseSystemd() {
  const char* driver = getenv("CRISP_CGROUP_DRIVER");
  EXPECT_TRUE(driver == nullptr || absl::string_view(driver) == "systemd" ||
              absl::string_view(driver) == "cgroupfs")
      << driver;
  return driver != nullptr && absl::string_view(driver) == "systemd";
}

std::shared_ptr<grpc::Channel> Connect(const std::string& socket) {
  grpc::ChannelArguments arguments;
  // A channel of its own: gRPC would share one connection between equal targets, also a broken one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 10);
  return grpc::CreateCustomChannel("unix://" + socket, grpc::InsecureChannelCredentials(),
                                   arguments);
}

// True if somebody accepts connections there.
bool Answers(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

// Directories below the cgroup mounts whose name holds `tag`.
void FindCgroups(const std::string& dir,
                 const std::string& tag,
                 int depth,
                 std::vector<std::string>& found) {
  const auto names = ListDir(dir);
  if (!names.ok() || depth > 4) return;
  for (const std::string& name : *names) {
    const std::string path = absl::StrCat(dir, "/", name);
    if (absl::StrContains(name, tag))
      found.push_back("cgroup " + path);
    else
      FindCgroups(path, tag, depth + 1, found);
  }
}

}  // namespace

Daemon::Daemon(const std::string& more) : bin_(BinDir()), started_bin_(bin_) {
  static int instances = 0;
  const int number = (getpid() * 7 + ++instances) % 4096;
  bridge_ = absl::StrCat("ct", number);
  EXPECT_OK(MakeDirs(dir_.path() + "/logs"));
  std::string config =
      absl::StrCat("network:\n  name: ", bridge_, "\n  subnets: [\"10.", 100 + number / 256, ".",
                   number % 256, ".0/24\"]\n  cni_conf_dir: ", dir_.path(), "/cni\n");
  absl::StrAppend(&config, "runtime:\n  cdi_spec_dirs: [", dir_.path(),
                  "/cdi]\n  blockio_config_file: ", dir_.path(), "/blockio.yaml\n");
  // It must be there; a test may put its classes in it.
  EXPECT_OK(
      AtomicWriteFile(dir_.path() + "/blockio.yaml", "Classes: {}\n", 0600, Durability::kNone));
  if (UseSystemd()) absl::StrAppend(&config, "  cgroup_driver: systemd\n");
  absl::StrAppend(&config, more);
  EXPECT_OK(AtomicWriteFile(dir_.path() + "/config.yaml", config, 0600, Durability::kNone));
  if (const char* format = getenv("CRISP_LAYER_FORMAT")) {
    EXPECT_OK(MakeDirs(dir_.path() + "/config.d"));
    EXPECT_OK(AtomicWriteFile(dir_.path() + "/config.d/layers.yaml",
                              absl::StrCat("image: {layer_format: ", format, "}\n"), 0600,
                              Durability::kNone));
  }
}

Daemon::~Daemon() {
  if (pid_ > 0) Terminate();
  EXPECT_EQ(Run({bin_ + "/crispd", "--config", dir_.path() + "/config.yaml", "reset", "--root",
                 dir_.path() + "/root", "--state", dir_.path() + "/state"}),
            0);
  // A kubelet makes and ends its slices itself; ours came with the first pod.
  if (UseSystemd()) (void)Run({"/usr/bin/systemctl", "stop", bridge_ + ".slice"});
  EXPECT_TRUE(Eventually([this] { return Residue().empty(); })) << absl::StrJoin(Residue(), "\n");
  if (::testing::Test::HasFailure()) {
    const auto log = ReadFile(log_path());
    std::cerr << "---- crispd's log\n" << (log.ok() ? *log : log.status().ToString()) << "----\n";
  }
}

std::string Daemon::cgroup_parent() const {
  return absl::StrCat("/", bridge_, UseSystemd() ? ".slice" : "");
}

void Daemon::UsePrograms(const std::string& bin, const std::string& shim) {
  started_bin_ = bin.empty() ? bin_ : bin;
  shim_ = shim;
}

void Daemon::Start() {
  const std::string socket = dir_.path() + "/crisp.sock";
  std::vector<std::string> argv = {started_bin_ + "/crispd",
                                   "--config",
                                   dir_.path() + "/config.yaml",
                                   "--root",
                                   dir_.path() + "/root",
                                   "--state",
                                   dir_.path() + "/state",
                                   "--listen",
                                   "unix://" + socket,
                                   "--metrics-address",
                                   "127.0.0.1:0",
                                   "--log-level",
                                   "debug"};
  if (!shim_.empty()) argv.insert(argv.end(), {"--shim", shim_});
  std::vector<char*> pointers;
  for (const std::string& s : argv) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  ASSERT_EQ(posix_spawn(&pid_, argv[0].c_str(), &actions, nullptr, pointers.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);

  // gRPC backs off for a second and more from a socket that is not there yet.
  bool ended = false;
  ASSERT_TRUE(Eventually([&] {
    ended = waitpid(pid_, nullptr, WNOHANG) != 0;
    return ended || Answers(socket);
  })) << "crispd does not listen";
  ASSERT_FALSE(ended) << "crispd ended at once";
  runtime_ = cri::RuntimeService::NewStub(Connect(socket));
  images_ = cri::ImageService::NewStub(Connect(socket));
  // They connect when they are used: an earlier release has no such socket.
  operators_runtime_ = cri::RuntimeService::NewStub(Connect(operator_socket()));
  operators_images_ = cri::ImageService::NewStub(Connect(operator_socket()));
  admin_ = crisp::v1::Admin::NewStub(Connect(operator_socket()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  cri::VersionResponse response;
  const grpc::Status status = runtime_->Version(&context, {}, &response);
  ASSERT_TRUE(status.ok()) << "crispd does not answer: " << status.error_message();
}

void Daemon::Terminate() {
  ASSERT_EQ(kill(pid_, SIGTERM), 0);
  int status = 0;
  ASSERT_EQ(waitpid(pid_, &status, 0), pid_);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "wait status " << status;
  pid_ = -1;
}

void Daemon::Kill() {
  ASSERT_EQ(kill(pid_, SIGKILL), 0);
  ASSERT_EQ(waitpid(pid_, nullptr, 0), pid_);
  pid_ = -1;
}

std::unique_ptr<cri::RuntimeService::Stub> Daemon::NewRuntimeStub() const {
  return cri::RuntimeService::NewStub(Connect(dir_.path() + "/crisp.sock"));
}

std::string Daemon::ImportImage() {
  const char* tar = getenv("CRISP_E2E_IMAGE");
  EXPECT_NE(tar, nullptr) << "CRISP_E2E_IMAGE names no image tar (hack/test.sh e2e sets it)";
  if (tar == nullptr) return "";
  EXPECT_EQ(Run({bin_ + "/crisp", "--address", "unix://" + dir_.path() + "/crisp.sock", "images",
                 "import", tar}),
            0);
  return "crisp.test/busybox:latest";
}

int Daemon::Run(const std::vector<std::string>& argv) const {
  std::vector<char*> pointers;
  for (const std::string& s : argv) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  pid_t child;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const int error =
      posix_spawn(&child, argv[0].c_str(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return -error;
  int status = 0;
  (void)waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> Daemon::Residue() const {
  std::vector<std::string> found;
  const std::string state = dir_.path() + "/state";
  const auto mounts = ReadFile("/proc/self/mountinfo");
  if (mounts.ok() && absl::StrContains(*mounts, dir_.path()))
    found.push_back("mounts below " + dir_.path());
  const auto processes = ListDir("/proc");
  EXPECT_OK(processes);
  for (const std::string& name : processes.value_or(std::vector<std::string>())) {
    if (name[0] < '0' || name[0] > '9') continue;
    // A shim's only path into this instance is its socket; its command line names the pod's state.
    const auto cmdline = ReadFile(absl::StrCat("/proc/", name, "/cmdline"));
    if (cmdline.ok() && absl::StrContains(*cmdline, dir_.path()) && name != absl::StrCat(pid_)) {
      found.push_back(absl::StrCat("process ", name, " ", *cmdline));
    }
  }
  if (if_nametoindex(bridge_.c_str()) != 0) found.push_back("link " + bridge_);
  FindCgroups("/sys/fs/cgroup", bridge_, 0, found);
  return found;
}

}  // namespace crisp::e2e
