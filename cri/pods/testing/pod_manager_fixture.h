#ifndef CRISP_CRI_PODS_TESTING_POD_MANAGER_FIXTURE_H_
#define CRISP_CRI_PODS_TESTING_POD_MANAGER_FIXTURE_H_

// For tests: a PodManager with real shims over fake images and a fake network. Needs root.

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "cri/pods/pod_manager.h"
#include "cri/testing/fakes.h"
#include "runtime/crisp/crisp_runtime.h"

namespace crisp::cri {

// One image, busybox, with real directories.
class BusyboxStore : public FakeImageStore {
 public:
  explicit BusyboxStore(std::string root) : root_(std::move(root)) {
    const std::string layer = root_ + "/layer";
    for (const char* sub : {"bin", "etc", "proc", "dev", "sys", "tmp"}) {
      EXPECT_OK(MakeDirs(absl::StrCat(layer, "/", sub)));
    }
    EXPECT_OK(AtomicWriteFile(layer + "/bin/busybox", ReadFile("/usr/bin/busybox").value_or(""),
                              0755, Durability::kNone));
    for (const char* tool :
         {"sh", "cat", "echo", "sleep", "id", "true", "false", "touch", "ps", "dd"}) {
      (void)::symlink("busybox", absl::StrCat(layer, "/bin/", tool).c_str());
    }
    EXPECT_OK(AtomicWriteFile(layer + "/etc/passwd",
                              "root:x:0:0:r:/root:/bin/sh\nweb:x:33:34:w:/srv:/bin/sh\n", 0644,
                              Durability::kNone));
    EXPECT_OK(AtomicWriteFile(layer + "/etc/group", "root:x:0:\nextra:x:77:web\n", 0644,
                              Durability::kNone));
    Add({.id = "sha256:" + std::string(64, 'a'),
         .repo_tags = {"busybox:1"},
         .repo_digests = {"busybox@sha256:" + std::string(64, 'd')},
         .size_bytes = 1,
         .command = {"/bin/sh"}});
  }
  absl::StatusOr<storage::RootFs> PrepareContainer(absl::string_view key,
                                                   absl::string_view) override {
    if (on_prepare) on_prepare();
    absl::MutexLock lock(&mutex_);
    pinned_.insert(std::string(key));
    storage::RootFs root{.lower_dirs = {root_ + "/layer"},
                         .upper_dir = absl::StrCat(root_, "/c/", key, "/upper"),
                         .work_dir = absl::StrCat(root_, "/c/", key, "/work")};
    EXPECT_OK(MakeDirs(root.upper_dir));
    EXPECT_OK(MakeDirs(root.work_dir));
    return root;
  }
  absl::StatusOr<storage::RootFs> PrepareView(absl::string_view key, absl::string_view) override {
    absl::MutexLock lock(&mutex_);
    pinned_.insert(std::string(key));
    return storage::RootFs{.lower_dirs = {root_ + "/layer"}};
  }
  absl::Status ReleaseContainer(absl::string_view key) override {
    absl::MutexLock lock(&mutex_);
    pinned_.erase(std::string(key));
    const auto moved = moved_.find(std::string(key));
    return RemoveTree(
        absl::StrCat(root_, "/c/", moved == moved_.end() ? std::string(key) : moved->second));
  }
  absl::Status Rekey(absl::string_view key, absl::string_view id) override {
    absl::MutexLock lock(&mutex_);
    if (pinned_.erase(std::string(key)) == 0) return absl::NotFoundError(key);
    pinned_.insert(std::string(id));
    moved_[std::string(id)] = std::string(key);
    return absl::OkStatus();
  }
  std::vector<std::string> PinnedKeys() const override {
    absl::MutexLock lock(&mutex_);
    return {pinned_.begin(), pinned_.end()};
  }
  std::function<void()> on_prepare;  // may wait

 private:
  const std::string root_;
  mutable absl::Mutex mutex_;
  std::set<std::string> pinned_;
  std::map<std::string, std::string> moved_;  // key to the directory that keeps another's name
};

class OneAddressNetwork : public FakePodNetwork {
 public:
  absl::StatusOr<network::Attachment> Attach(const network::AttachRequest& request,
                                             const Operation&) override {
    if (fail) return absl::UnavailableError("no network today");
    EXPECT_GE(request.netns_fd, 0);
    if (on_attach) on_attach(request);
    ++attached;
    {
      absl::MutexLock lock(&mutex_);
      prepared_for_[request.pod_name] = request.prepared;
      sysctls_for_[request.pod_name] = request.sysctls;
    }
    return network::Attachment{.addresses = {"10.1.2.3", "fd00::3"}};
  }
  absl::Status Detach(absl::string_view, int, const Operation&) override {
    ++detached;
    return absl::OkStatus();
  }
  std::vector<UniqueFd> TakePortHolds(absl::string_view) override {
    absl::MutexLock lock(&mutex_);
    return std::move(holds_);
  }
  void GiveToNextPod(UniqueFd hold) {
    absl::MutexLock lock(&mutex_);
    holds_.push_back(std::move(hold));
  }
  absl::Status Prepare(const std::string& key, int netns_fd, int rtnl_fd) override {
    EXPECT_GE(netns_fd, 0);
    EXPECT_GE(rtnl_fd, 0);
    absl::MutexLock lock(&mutex_);
    EXPECT_TRUE(keys_.insert(key).second) << "a key comes once";
    return absl::OkStatus();
  }
  // The key with which the pod of this name was attached; "" for none.
  std::string PreparedFor(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    const std::string key = prepared_for_[name];
    EXPECT_TRUE(key.empty() || keys_.contains(key));
    return key;
  }
  network::Sysctls SysctlsFor(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    return sysctls_for_[name];
  }
  size_t Prepared() {
    absl::MutexLock lock(&mutex_);
    return keys_.size();
  }
  std::function<void(const network::AttachRequest&)> on_attach;  // may wait
  std::atomic<bool> fail = false;
  std::atomic<int> attached = 0, detached = 0;

 private:
  absl::Mutex mutex_;
  std::set<std::string> keys_;
  std::map<std::string, std::string> prepared_for_;
  std::map<std::string, network::Sysctls> sysctls_for_;
  std::vector<UniqueFd> holds_;
};

class PodManagerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    images_ = std::make_unique<BusyboxStore>(dir_.path() + "/root");
    Start();
  }
  void TearDown() override {
    if (manager_ == nullptr) return;
    EXPECT_OK(RemoveEveryPod());
    End();
    EXPECT_TRUE(images_->PinnedKeys().empty());
  }
  // Starts another life of the daemon. Its state stays.
  void Start() {
    ASSERT_OK_AND_ASSIGN(
        manager_, PodManager::Create({.state = dir_.path() + "/state",
                                      .root = dir_.path() + "/root",
                                      .path_helper = CRISP_PATHS_BINARY,
                                      .path_timeout = absl::Seconds(10),
                                      .spare_roots = spare_roots_,
                                      .attach_spares = attach_spares_},
                                     {.images = images_.get(),
                                      .network = &network_,
                                      .make_runtimes = [this](const NodeContext& node,
                                                              runtime::PodObserver* observer) {
                                        return MakeRuntimes(node, observer);
                                      }}));
    ASSERT_OK(manager_->Recover());
  }
  void End() { manager_.reset(); }
  static bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }
  absl::StatusOr<std::vector<std::unique_ptr<runtime::PodRuntime>>> MakeRuntimes(
      const NodeContext& node, runtime::PodObserver* observer) {
    CRISP_ASSIGN_OR_RETURN(
        std::unique_ptr<runtime::CrispRuntime> crisp,
        runtime::CrispRuntime::Create({.shims = {.shim_binary = CRISP_SHIM_BINARY,
                                                 .storage_root = dir_.path() + "/root",
                                                 .spares = spare_pods_},
                                       .cgroups = node.layout,
                                       .empty_layer = node.layers.empty,
                                       .no_user_namespaces = no_user_namespaces_},
                                      observer));
    std::vector<std::unique_ptr<runtime::PodRuntime>> runtimes;
    runtimes.push_back(std::move(crisp));
    return runtimes;
  }
  // Removes every pod. OK if nothing is recorded of any pod any more.
  absl::Status RemoveEveryPod() {
    for (const PodPtr& pod : manager_->table().Pods()) CRISP_RETURN_IF_ERROR(RemovePod(pod->id));
    absl::Status status;
    const bool gone = Eventually([&] {
      const absl::StatusOr<RecordStore::Records> rows = manager_->table().Load();
      status = rows.status();
      return !status.ok() || (rows->pods.empty() && rows->containers.empty());
    });
    return gone ? status : absl::DeadlineExceededError("undoing of all pods");
  }

  v1::RunPodSandboxRequest PodRequest(const std::string& name) {
    v1::RunPodSandboxRequest request;
    v1::PodSandboxConfig* config = request.mutable_config();
    config->mutable_metadata()->set_name(name);
    config->mutable_metadata()->set_uid("uid-" + name);
    config->mutable_metadata()->set_namespace_("test");
    config->set_hostname(name);
    config->set_log_directory(dir_.path() + "/logs");
    config->mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
        v1::CONTAINER);
    return request;
  }
  std::string RunPod(const std::string& name) {
    v1::RunPodSandboxResponse reply;
    EXPECT_OK(manager_->RunPodSandbox(PodRequest(name), &reply, Operation()));
    return reply.pod_sandbox_id();
  }
  v1::CreateContainerRequest ContainerRequest(const std::string& pod,
                                              const std::string& name,
                                              const std::string& script) {
    v1::CreateContainerRequest request;
    request.set_pod_sandbox_id(pod);
    v1::ContainerConfig* config = request.mutable_config();
    config->mutable_metadata()->set_name(name);
    config->mutable_image()->set_image("busybox:1");
    for (const std::string& arg : {std::string("/bin/sh"), std::string("-c"), script})
      config->add_command(arg);
    config->set_log_path(name + ".log");
    config->mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
        v1::CONTAINER);
    return request;
  }
  std::string Create(const v1::CreateContainerRequest& request) {
    v1::CreateContainerResponse reply;
    EXPECT_OK(manager_->CreateContainer(request, &reply, Operation()));
    return reply.container_id();
  }
  absl::Status StartOne(const std::string& id) {
    v1::StartContainerRequest request;
    request.set_container_id(id);
    return manager_->StartContainer(request, nullptr, Operation());
  }
  std::string RunContainer(const std::string& pod,
                           const std::string& name,
                           const std::string& script) {
    const std::string id = Create(ContainerRequest(pod, name, script));
    EXPECT_OK(StartOne(id));
    return id;
  }
  absl::Status StopOne(const std::string& id, int64_t timeout, Operation operation = Operation()) {
    v1::StopContainerRequest request;
    request.set_container_id(id);
    request.set_timeout(timeout);
    return manager_->StopContainer(request, nullptr, operation);
  }
  v1::ContainerStatus StatusOf(const std::string& id) {
    v1::ContainerStatusRequest request;
    request.set_container_id(id);
    v1::ContainerStatusResponse reply;
    EXPECT_OK(manager_->ContainerStatus(request, &reply, Operation()));
    return reply.status();
  }
  absl::Status StopPod(const std::string& id) {
    v1::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    return manager_->StopPodSandbox(request, nullptr, Operation());
  }
  absl::Status RemovePod(const std::string& id) {
    v1::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    return manager_->RemovePodSandbox(request, nullptr, Operation());
  }
  v1::PodSandboxStatus PodStatusOf(const std::string& id) {
    v1::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(id);
    v1::PodSandboxStatusResponse reply;
    EXPECT_OK(manager_->PodSandboxStatus(request, &reply, Operation()));
    return reply.status();
  }
  v1::ContainerStatus AwaitExited(const std::string& id) {
    EXPECT_TRUE(Eventually([&] { return StatusOf(id).state() == v1::CONTAINER_EXITED; })) << id;
    return StatusOf(id);
  }
  absl::StatusOr<v1::ExecSyncResponse> Exec(const std::string& id,
                                            const std::string& script,
                                            int64_t timeout) {
    v1::ExecSyncRequest request;
    request.set_container_id(id);
    for (const std::string& arg : {std::string("sh"), std::string("-c"), script})
      request.add_cmd(arg);
    request.set_timeout(timeout);
    v1::ExecSyncResponse reply;
    absl::Status status = manager_->ExecSync(request, &reply, Operation());
    if (!status.ok()) return status;
    return reply;
  }
  std::string Log(const std::string& name) {
    return ReadFile(absl::StrCat(dir_.path(), "/logs/", name, ".log")).value_or("");
  }

  TempDir dir_;
  std::string no_user_namespaces_;
  int spare_roots_ = 0, spare_pods_ = 0;
  bool attach_spares_ = false;
  std::unique_ptr<BusyboxStore> images_;
  OneAddressNetwork network_;
  std::unique_ptr<PodManager> manager_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_TESTING_POD_MANAGER_FIXTURE_H_
