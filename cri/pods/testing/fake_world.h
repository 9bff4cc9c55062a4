#ifndef CRISP_CRI_PODS_TESTING_FAKE_WORLD_H_
#define CRISP_CRI_PODS_TESTING_FAKE_WORLD_H_

// For tests: a PodManager over fakes, and a comparison of what exists with what is recorded. Needs
// no root.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "cri/pods/operator_view.h"
#include "cri/pods/pod_inputs.h"
#include "cri/pods/pod_manager.h"
#include "cri/pods/testing/fake_node.h"
#include "cri/pods/testing/fake_runtime.h"

namespace crisp::cri {

class FakeWorld {
 public:
  using Types = std::vector<FakeRuntimeOptions>;
  using Handlers = std::vector<runtime::HandlerOptions>;

  // The runtimes that there are, the one for pods without a handler first.
  explicit FakeWorld(Types types = {{}}, Handlers handlers = {})
      : images_(dir_.path() + "/layer", faults_),
        network_(faults_),
        types_(std::move(types)),
        handlers_(std::move(handlers)) {
    for (const FakeRuntimeOptions& type : types_)
      live_[type.type] = std::make_unique<FakePods>(dir_.path(), faults_);
    EXPECT_OK(MakeDirs(dir_.path() + "/layer/etc"));
    EXPECT_OK(MakeDirs(Hierarchy()));
    Start();
  }
  // Starts another life of the daemon. Everything that exists stays.
  void Start() {
    auto layout = std::make_shared<runtime::CgroupLayout>();
    layout->hierarchies = {{.mount_point = Hierarchy(), .controllers = {"freezer"}}};
    network_.BeginLife();
    auto rows = RecordStore::Open(dir_.path() + "/state.db");
    ASSERT_OK(rows);
    rows_ = rows->get();
    ASSERT_OK_AND_ASSIGN(
        pods_, PodManager::Create(
                   {.state = dir_.path() + "/state",
                    .root = dir_.path() + "/root",
                    .handlers = handlers_,
                    .path_helper = CRISP_PATHS_BINARY,
                    .cgroups = layout},
                   {.images = &images_,
                    .network = &network_,
                    .make_runtimes = [this](const NodeContext& node,
                                            runtime::PodObserver* observer) -> MadeRuntimes {
                      std::vector<std::unique_ptr<runtime::PodRuntime>> runtimes;
                      for (const FakeRuntimeOptions& type : types_) {
                        runtimes.push_back(std::make_unique<FakeRuntime>(type, *live_[type.type],
                                                                         node.layout, observer));
                      }
                      return runtimes;
                    },
                    .records = std::make_unique<FaultyRecords>(*std::move(rows), faults_)}));
    operators_pods_ = std::make_unique<OperatorView>(*pods_);
    EXPECT_OK(pods_->Recover());
  }
  void Restart(absl::FunctionRef<void()> meanwhile = [] {}) {
    pods_.reset();
    faults_.FailCall(0);
    meanwhile();
    Start();
  }

  // The next daemon has other runtimes and handlers.
  void Restart(Types types, Handlers handlers) {
    types_ = std::move(types);
    handlers_ = std::move(handlers);
    Restart();
  }

  PodManager& pods() { return *pods_; }
  // The same over the operator's socket.
  PodApi& operators_pods() { return *operators_pods_; }
  FaultPlan& faults() { return faults_; }
  FakePods& live(const std::string& type = "crisp") { return *live_.at(type); }

  static v1::RunPodSandboxRequest PodRequest() {
    v1::RunPodSandboxRequest request;
    v1::PodSandboxConfig* config = request.mutable_config();
    config->mutable_metadata()->set_name("web");
    config->mutable_metadata()->set_uid("1");
    config->set_hostname("web");
    config->mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
        v1::CONTAINER);
    return request;
  }
  static v1::CreateContainerRequest ContainerRequest(const std::string& pod) {
    v1::CreateContainerRequest request;
    request.set_pod_sandbox_id(pod);
    v1::ContainerConfig* config = request.mutable_config();
    config->mutable_metadata()->set_name("main");
    config->mutable_image()->set_image("busybox:1");
    v1::LinuxContainerSecurityContext* context =
        config->mutable_linux()->mutable_security_context();
    context->mutable_namespace_options()->set_pid(v1::CONTAINER);
    context->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Unconfined);
    context->mutable_apparmor()->set_profile_type(v1::SecurityProfile::Unconfined);
    return request;
  }

  // The contradictions between what exists and what is recorded; "" if there is none.
  std::string Contradictions() {
    const auto rows = rows_->LoadAll();
    if (!rows.ok()) return rows.status().ToString();
    std::string text;
    const auto say = [&text](auto... parts) { absl::StrAppend(&text, parts..., "\n"); };
    const LivePods live = Live();
    const std::set<std::string> attached = network_.Attached();
    std::set<std::string> pods, shown, containers, shown_containers, keys;
    for (const state::PodRecord& row : rows->pods) pods.insert(row.id());
    for (const PodPtr& pod : pods_->table().Pods()) {
      const auto record = pod->Snapshot();
      shown.insert(pod->id);
      if (record->stopped() && live.contains(pod->id)) say("a stopped pod lives");
      if (pod->Ready() && !live.contains(pod->id)) say("a ready pod does not live");
      if (record->stopped() && attached.contains(pod->id)) say("a stopped pod has a network");
      if (pod->Ready() && attached.contains(pod->id) != IsAttached(*record))
        say("a ready pod's network is not as it is to be");
    }
    if (shown != pods) say(shown.size(), " pods are shown, ", pods.size(), " have a row");
    for (const auto& [id, pod] : live) {
      if (!pods.contains(id)) say("what lives has no row");
    }
    for (const std::string& id : attached) {
      if (!pods.contains(id)) say("a network has no row");
    }
    for (const state::ContainerRecord& row : rows->containers) {
      containers.insert(row.id());
      keys.insert(row.id());
      keys.insert(row.view_keys().begin(), row.view_keys().end());
    }
    for (const ContainerPtr& container : pods_->table().Containers()) {
      shown_containers.insert(container->id);
      CompareWithLive(*container, live, say);
    }
    if (shown_containers != containers) {
      say(shown_containers.size(), " containers are shown, ", containers.size(), " have a row");
    }
    for (const auto& [pod_id, pod] : live) {
      for (const auto& [id, container] : pod.containers) {
        if (!containers.contains(id)) say("a live pod's container has no row");
      }
    }
    const std::vector<std::string> pinned = images_.PinnedKeys();
    if (std::set<std::string>(pinned.begin(), pinned.end()) != keys) {
      say(pinned.size(), " keys are pinned, ", keys.size(), " are recorded");
    }
    CompareDirs(dir_.path() + "/state/pods", pods, "pod directories", say);
    if (Dirs(Hierarchy() + "/crisp") != pods && !rows->pods.empty() && !AllStopped()) {
      say("the pods' groups are not those that are recorded");
    }
    if (rows->pods.empty() && !Dirs(Hierarchy() + "/crisp").empty()) say("a group is left");
    return text;
  }
  // The same, once the background has done its work.
  std::string LastContradictions() {
    std::string left;
    (void)Eventually([&] {
      left = Contradictions();
      return left.empty();
    });
    return left;
  }
  // True if nothing at all exists.
  bool Empty() {
    return Live().empty() && network_.Attached().empty() && images_.PinnedKeys().empty() &&
           rows_->LoadAll()->pods.empty() && rows_->LoadAll()->containers.empty();
  }

 private:
  using MadeRuntimes = absl::StatusOr<std::vector<std::unique_ptr<runtime::PodRuntime>>>;
  using LivePods = std::map<std::string, FakePods::FakePod>;

  // Of all types.
  LivePods Live() const {
    LivePods all;
    for (const auto& [type, pods] : live_) all.merge(pods->Pods());
    return all;
  }

  std::string Hierarchy() const { return dir_.path() + "/cgroup"; }
  static std::set<std::string> Dirs(const std::string& path) {
    const auto names = ListSubdirs(path);
    return names.ok() ? std::set<std::string>(names->begin(), names->end())
                      : std::set<std::string>();
  }
  template <typename Say>
  static void CompareDirs(const std::string& path,
                          const std::set<std::string>& wanted,
                          const char* what,
                          Say say) {
    const std::set<std::string> there = Dirs(path);
    if (there != wanted) say(there.size(), " ", what, ", ", wanted.size(), " are recorded");
  }
  // True if all pods are stopped. A stopped pod's group may be gone or not.
  bool AllStopped() {
    for (const PodPtr& pod : pods_->table().Pods()) {
      if (!pod->Snapshot()->stopped()) return false;
    }
    return true;
  }
  template <typename Say>
  static void CompareWithLive(const Container& container, const LivePods& live, Say say) {
    using State = FakePods::State;
    const ContainerStage stage = container.Stage();
    const auto pod = live.find(container.pod->id);
    const FakePods::FakeContainer* there = nullptr;
    if (pod != live.end()) {
      const auto found = pod->second.containers.find(container.id);
      if (found != pod->second.containers.end()) there = &found->second;
    }
    const bool runs = there != nullptr && there->state == State::kRunning;
    if (stage == state::ContainerRecord::RUNNING && !runs) say("a running container does not run");
    if (stage != state::ContainerRecord::RUNNING && runs)
      say("a container runs that is not recorded as running");
    if (stage == state::ContainerRecord::CREATED && container.pod->Ready() &&
        (there == nullptr || there->state != State::kCreated)) {
      say("a created container is not there");
    }
  }

  TempDir dir_;
  FaultPlan faults_;
  FakeContainerStore images_;
  FakeNetwork network_;
  Types types_;
  Handlers handlers_;
  std::map<std::string, std::unique_ptr<FakePods>> live_;  // by type
  RecordStore* rows_ = nullptr;                            // the manager's
  std::unique_ptr<PodManager> pods_;
  std::unique_ptr<OperatorView> operators_pods_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_TESTING_FAKE_WORLD_H_
