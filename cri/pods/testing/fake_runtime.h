#ifndef CRISP_CRI_PODS_TESTING_FAKE_RUNTIME_H_
#define CRISP_CRI_PODS_TESTING_FAKE_RUNTIME_H_

// Test-only: a runtime without processes, for tests of what the daemon makes of it.

#include <fcntl.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "cri/pods/testing/fault_plan.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/handler/pod_runtime.h"

namespace crisp::cri {

// All pods of one type of runtime on a node. They outlive a daemon, as real ones do: each daemon
// has a FakeRuntime of its own over them. Thread-safe.
class FakePods {
 public:
  enum class State { kCreated, kRunning, kExited };
  struct FakeContainer {
    State state = State::kCreated;
    runtime::OciSpec spec;
    runtime::ExitRecord exit;
  };
  struct FakePod {
    runtime::PodSpec spec;
    bool connected = true;
    std::map<std::string, FakeContainer> containers;
  };

  // `dir`: for the pods' files. `faults` outlives it.
  FakePods(std::string dir, FaultPlan& faults) : dir_(std::move(dir)), faults_(faults) {}

  FaultPlan& faults() { return faults_; }
  // Null: no daemon listens.
  void SetObserver(runtime::PodObserver* observer) {
    absl::MutexLock lock(&observer_mutex_);
    observer_ = observer;
  }

  // What there is now.
  std::map<std::string, FakePod> Pods() const {
    absl::MutexLock lock(&mutex_);
    return pods_;
  }
  bool Lives(const std::string& pod_id) const {
    absl::MutexLock lock(&mutex_);
    return pods_.contains(pod_id);
  }
  bool Connected(const std::string& pod_id) const {
    absl::MutexLock lock(&mutex_);
    const auto pod = pods_.find(pod_id);
    return pod != pods_.end() && pod->second.connected;
  }

  // As if the first process had ended by itself.
  void EndContainer(const std::string& pod_id,
                    const std::string& id,
                    int exit_code,
                    int signal = 0) {
    const runtime::ExitRecord exit{
        .exit_code = exit_code, .signal = signal, .exited_at = absl::Now()};
    {
      absl::MutexLock lock(&mutex_);
      const auto pod = pods_.find(pod_id);
      if (pod == pods_.end()) return;
      const auto container = pod->second.containers.find(id);
      if (container == pod->second.containers.end() || container->second.state != State::kRunning)
        return;
      End(container->second, exit);
      if (!pod->second.connected) return;
    }
    Tell([&](runtime::PodObserver& observer) { observer.OnContainerExit(pod_id, id, exit); });
  }
  // The process that holds the pod ends, and with it all that it has.
  void KillPod(const std::string& pod_id) {
    if (Remove(pod_id)) Tell([&](runtime::PodObserver& observer) { observer.OnPodDeath(pod_id); });
  }
  void BreakConnection(const std::string& pod_id) {
    {
      absl::MutexLock lock(&mutex_);
      pods_[pod_id].connected = false;
    }
    Tell([&](runtime::PodObserver& observer) { observer.OnPodLost(pod_id); });
  }
  void EndExec(const std::string& pod_id, const std::string& exec_id) {
    Tell([&](runtime::PodObserver& observer) {
      observer.OnExecExit(pod_id, exec_id, {.exited_at = absl::Now()});
    });
  }

  // For the runtime and its handles: the pod with the lock held, or null.
  template <typename Call>
  auto WithPod(const std::string& pod_id, Call call) {
    absl::MutexLock lock(&mutex_);
    const auto pod = pods_.find(pod_id);
    return call(pod == pods_.end() || !pod->second.connected ? nullptr : &pod->second);
  }
  void Add(const runtime::PodSpec& spec) {
    absl::MutexLock lock(&mutex_);
    pods_[spec.pod_id].spec = spec;
  }
  void Connect(const std::string& pod_id) {
    absl::MutexLock lock(&mutex_);
    pods_[pod_id].connected = true;
  }
  // Whether it was there.
  bool Remove(const std::string& pod_id) {
    absl::MutexLock lock(&mutex_);
    const auto pod = pods_.find(pod_id);
    if (pod == pods_.end()) return false;
    for (auto& [id, container] : pod->second.containers)
      End(container, {.exit_code = 137, .signal = 9});
    pods_.erase(pod);
    return true;
  }
  std::string IdAt(const std::string& state_dir) const {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, pod] : pods_) {
      if (pod.spec.state_dir == state_dir) return id;
    }
    return "";
  }
  // A fresh directory for a pod's files of /etc.
  UniqueFd MakeFiles(const std::string& pod_id) {
    const std::string path = absl::StrCat(dir_, "/files-", pod_id);
    if (!MakeDirs(path, 0755).ok()) return UniqueFd();
    return Open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0).value_or(UniqueFd());
  }
  // The questions and orders that reached containers without their pods, in order.
  std::vector<std::string> Asked() const {
    absl::MutexLock lock(&mutex_);
    return asked_;
  }
  void SetPaused(const std::string& container, bool paused) {
    absl::MutexLock lock(&mutex_);
    if (paused) {
      paused_.insert(container);
    } else {
      paused_.erase(container);
    }
  }
  bool IsPaused(const std::string& container) const {
    absl::MutexLock lock(&mutex_);
    return paused_.contains(container);
  }
  void Ask(std::string what) {
    absl::MutexLock lock(&mutex_);
    asked_.push_back(std::move(what));
  }

 private:
  static void End(FakeContainer& container, const runtime::ExitRecord& exit) {
    if (container.state != State::kRunning) return;
    container.state = State::kExited;
    container.exit = exit;
  }
  template <typename Call>
  void Tell(Call call) {
    absl::MutexLock lock(&observer_mutex_);
    if (observer_ != nullptr) call(*observer_);
  }
  const std::string dir_;
  FaultPlan& faults_;
  absl::Mutex observer_mutex_;
  runtime::PodObserver* observer_ ABSL_GUARDED_BY(observer_mutex_) = nullptr;
  mutable absl::Mutex mutex_;
  std::map<std::string, FakePod> pods_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> asked_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> paused_ ABSL_GUARDED_BY(mutex_);  // containers
};

class FakeHandle final : public runtime::PodHandle {
 public:
  FakeHandle(FakePods& pods,
             std::string pod_id,
             std::shared_ptr<const runtime::CgroupLayout> cgroups,
             bool has_files)
      : pods_(pods),
        pod_id_(std::move(pod_id)),
        cgroups_(std::move(cgroups)),
        has_files_(has_files) {}

  pid_t pid() const override { return 4'000'000; }  // nobody's
  bool alive() const override { return pods_.Lives(pod_id_); }
  bool connected() const override { return pods_.Connected(pod_id_); }
  int netns_fd() const override { return -1; }
  UniqueFd TakeFiles() override { return has_files_ ? pods_.MakeFiles(pod_id_) : UniqueFd(); }

  absl::StatusOr<std::shared_ptr<const runtime::ExecBase>> Create(
      const runtime::NewContainer& container, const Operation&) override {
    const runtime::Cgroup group(cgroups_, container.spec.linux_.cgroups_path);
    CRISP_RETURN_IF_ERROR(group.Create());
    CRISP_RETURN_IF_ERROR(Do("PodHandle::Create", [&](FakePods::FakePod& pod) {
      pod.containers[container.id] = {.spec = container.spec};
      return absl::OkStatus();
    }));
    return std::make_shared<const runtime::ExecBase>();
  }
  absl::StatusOr<runtime::StartedProcess> Start(absl::string_view id, const Operation&) override {
    CRISP_RETURN_IF_ERROR(Do("PodHandle::Start", [&](FakePods::FakePod& pod) -> absl::Status {
      const auto container = pod.containers.find(std::string(id));
      if (container == pod.containers.end()) return absl::NotFoundError("no such container");
      if (container->second.state != FakePods::State::kCreated)
        return absl::FailedPreconditionError("not created");
      container->second.state = FakePods::State::kRunning;
      return absl::OkStatus();
    }));
    return runtime::StartedProcess{.pid = kInit, .started_at = absl::Now()};
  }
  absl::Status Signal(absl::string_view id, int signal) override {
    CRISP_RETURN_IF_ERROR(
        Do("PodHandle::Signal", [](FakePods::FakePod&) { return absl::OkStatus(); }));
    pods_.EndContainer(pod_id_, std::string(id), 128 + signal, signal);
    return absl::OkStatus();
  }
  absl::Status Delete(absl::string_view id) override {
    return Do("PodHandle::Delete", [&](FakePods::FakePod& pod) -> absl::Status {
      const auto container = pod.containers.find(std::string(id));
      if (container == pod.containers.end()) return absl::OkStatus();
      if (container->second.state == FakePods::State::kRunning)
        return absl::FailedPreconditionError("it runs");
      pod.containers.erase(container);
      return absl::OkStatus();
    });
  }
  absl::Status ReopenLog(absl::string_view) override {
    return Do("PodHandle::ReopenLog", [](FakePods::FakePod&) { return absl::OkStatus(); });
  }
  // Ends at once, without output.
  absl::StatusOr<runtime::StartedProcess> Exec(const runtime::NewExec& exec,
                                               const runtime::Stdio&,
                                               const Operation&) override {
    CRISP_RETURN_IF_ERROR(
        Do("PodHandle::Exec", [](FakePods::FakePod&) { return absl::OkStatus(); }));
    pods_.EndExec(pod_id_, exec.id);
    return runtime::StartedProcess{.pid = kInit, .started_at = absl::Now()};
  }
  absl::Status KillExec(absl::string_view exec_id) override {
    CRISP_RETURN_IF_ERROR(
        Do("PodHandle::KillExec", [](FakePods::FakePod&) { return absl::OkStatus(); }));
    pods_.EndExec(pod_id_, std::string(exec_id));
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<runtime::ContainerReport>> Report() override {
    using State = runtime::ContainerReport::State;
    std::vector<runtime::ContainerReport> reports;
    CRISP_RETURN_IF_ERROR(Do("PodHandle::Report", [&](FakePods::FakePod& pod) {
      for (const auto& [id, container] : pod.containers) {
        runtime::ContainerReport& report = reports.emplace_back();
        report.container_id = id;
        report.state = container.state == FakePods::State::kCreated   ? State::kCreated
                       : container.state == FakePods::State::kRunning ? State::kRunning
                                                                      : State::kExited;
        if (report.state == State::kRunning) report.pid = kInit;
        report.started_at = absl::Now();
        report.exit = container.exit;
      }
      return absl::OkStatus();
    }));
    return reports;
  }
  absl::Status Keep(const std::vector<int>&, const Operation&) override {
    return Do("PodHandle::Keep", [](FakePods::FakePod&) { return absl::OkStatus(); });
  }
  absl::Status Shutdown() override {
    CRISP_RETURN_IF_ERROR(
        Do("PodHandle::Shutdown", [](FakePods::FakePod&) { return absl::OkStatus(); }));
    (void)pods_.Remove(pod_id_);
    return absl::OkStatus();
  }
  absl::Status Kill() override {
    CRISP_RETURN_IF_ERROR(pods_.faults().Next("PodHandle::Kill"));
    (void)pods_.Remove(pod_id_);
    return absl::OkStatus();
  }

 private:
  static constexpr pid_t kInit = 4'000'001;  // nobody's

  template <typename Call>
  absl::Status Do(absl::string_view name, Call call) {
    CRISP_RETURN_IF_ERROR(pods_.faults().Next(name));
    return pods_.WithPod(pod_id_, [&](FakePods::FakePod* pod) -> absl::Status {
      return pod == nullptr ? absl::UnavailableError("the pod is gone") : call(*pod);
    });
  }

  FakePods& pods_;
  const std::string pod_id_;
  const std::shared_ptr<const runtime::CgroupLayout> cgroups_;
  const bool has_files_;
};

struct FakeRuntimeOptions {
  std::string type = "crisp";
  runtime::Features features = {.verbs = runtime::VerbSet::All(),
                                .recursive_read_only_mounts = true};
  bool has_files = true;  // a place for the pods' files for /etc
};

// A daemon's runtime over the pods that there are. The pods outlive it.
class FakeRuntime final : public runtime::PodRuntime, private runtime::PodFinder {
 public:
  FakeRuntime(FakeRuntimeOptions options,
              FakePods& pods,
              std::shared_ptr<const runtime::CgroupLayout> cgroups,
              runtime::PodObserver* observer)
      : PodRuntime(options.type),
        options_(std::move(options)),
        pods_(pods),
        cgroups_(std::move(cgroups)) {
    pods_.SetObserver(observer);
  }
  ~FakeRuntime() override { pods_.SetObserver(nullptr); }

  const runtime::Features& features() const override { return options_.features; }
  absl::StatusOr<std::shared_ptr<runtime::PodHandle>> StartPod(const runtime::PodSpec& spec,
                                                               const runtime::PodStart& how,
                                                               const Operation&) override {
    CRISP_RETURN_IF_ERROR(pods_.faults().Next("PodRuntime::StartPod"));
    if (how.meanwhile != nullptr) CRISP_RETURN_IF_ERROR(how.meanwhile());
    pods_.Add(spec);
    return Handle(spec.pod_id);
  }
  absl::StatusOr<std::shared_ptr<runtime::PodHandle>> AdoptPod(absl::string_view pod_id,
                                                               const std::string&,
                                                               const Operation&) override {
    CRISP_RETURN_IF_ERROR(pods_.faults().Next("PodRuntime::AdoptPod"));
    const std::string id(pod_id);
    if (!pods_.Lives(id)) return absl::NotFoundError("no such pod");
    pods_.Connect(id);
    return Handle(id);
  }
  absl::Status EndPod(const std::string& state_dir, const Operation&) override {
    CRISP_RETURN_IF_ERROR(pods_.faults().Next("PodRuntime::EndPod"));
    (void)pods_.Remove(pods_.IdAt(state_dir));
    return absl::OkStatus();
  }
  const PodFinder& finder() const override { return *this; }
  absl::StatusOr<std::shared_ptr<const runtime::ExecBase>> MakeExecBase(
      const runtime::OciSpec&) override {
    return std::make_shared<const runtime::ExecBase>();
  }

  // These are the kernel's: they do not fail.
  absl::Status KillOnce(const runtime::ContainerRef& container) override {
    pods_.EndContainer(std::string(container.pod_id), std::string(container.id), 137, 9);
    return absl::OkStatus();
  }
  absl::Status KillAll(const runtime::ContainerRef& container, const Operation&) override {
    pods_.EndContainer(std::string(container.pod_id), std::string(container.id), 137, 9);
    return absl::OkStatus();
  }
  absl::StatusOr<bool> IsEmpty(const runtime::ContainerRef& container) override {
    const auto live = pods_.Pods();
    const auto pod = live.find(std::string(container.pod_id));
    if (pod == live.end()) return true;
    const auto found = pod->second.containers.find(std::string(container.id));
    return found == pod->second.containers.end() ||
           found->second.state != FakePods::State::kRunning;
  }
  absl::Status CleanUp(const runtime::ContainerRef& container,
                       const Operation& operation) override {
    CRISP_RETURN_IF_ERROR(pods_.faults().Next("PodRuntime::CleanUp"));
    return runtime::Cgroup(cgroups_, container.cgroups_path).Remove(operation);
  }
  absl::Status Pause(const runtime::ContainerRef& container, const Operation&) override {
    CRISP_RETURN_IF_ERROR(Ask(runtime::Verb::kPause, "pause", container));
    pods_.SetPaused(std::string(container.id), true);
    return absl::OkStatus();
  }
  absl::Status Resume(const runtime::ContainerRef& container, const Operation&) override {
    CRISP_RETURN_IF_ERROR(Ask(runtime::Verb::kPause, "resume", container));
    pods_.SetPaused(std::string(container.id), false);
    return absl::OkStatus();
  }
  absl::StatusOr<bool> IsPaused(const runtime::ContainerRef& container) override {
    CRISP_RETURN_IF_ERROR(Can(runtime::Verb::kPause));
    return pods_.IsPaused(std::string(container.id));
  }
  absl::Status Update(const runtime::ContainerRef& container,
                      const runtime::OciResources&) override {
    return Ask(runtime::Verb::kUpdate, "update", container);
  }
  absl::StatusOr<runtime::CgroupStats> Stats(const runtime::ContainerRef& container) override {
    CRISP_RETURN_IF_ERROR(Ask(runtime::Verb::kStats, "stats", container));
    return runtime::CgroupStats{.at = absl::Now(), .cpu = {.usage_ns = 7}};
  }
  absl::StatusOr<uint64_t> CpuUsageNs(const runtime::ContainerRef& container) override {
    CRISP_RETURN_IF_ERROR(Ask(runtime::Verb::kStats, "cpu", container));
    return 7;
  }
  absl::StatusOr<uint64_t> OomKills(const runtime::ContainerRef& container) override {
    CRISP_RETURN_IF_ERROR(Ask(runtime::Verb::kStats, "oom", container));
    return 0;
  }

 private:
  std::shared_ptr<runtime::PodHandle> Handle(const std::string& id) {
    return std::make_shared<FakeHandle>(pods_, id, cgroups_, options_.has_files);
  }
  // A verb that it does not have is one that nobody asks it for.
  absl::Status Ask(runtime::Verb verb,
                   absl::string_view name,
                   const runtime::ContainerRef& container) {
    pods_.Ask(absl::StrCat(name, " ", container.id));
    CRISP_RETURN_IF_ERROR(Can(verb));
    return pods_.faults().Next(absl::StrCat("PodRuntime::", name));
  }
  absl::StatusOr<std::vector<runtime::FoundPod>> Find(const std::string&,
                                                      const std::string& pod_id) const override {
    std::vector<runtime::FoundPod> found;
    for (const auto& [id, pod] : pods_.Pods()) {
      if (!pod_id.empty() && id != pod_id) continue;
      runtime::FoundPod& one = found.emplace_back();
      one.pod_id = id;
      for (const auto& [container_id, container] : pod.containers)
        one.has_children |= container.state == FakePods::State::kRunning;
    }
    return found;
  }
  absl::Status End(const std::string&, const std::string& pod_id, const Operation&) const override {
    (void)pods_.Remove(pod_id);
    return absl::OkStatus();
  }

  const FakeRuntimeOptions options_;
  FakePods& pods_;
  const std::shared_ptr<const runtime::CgroupLayout> cgroups_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_TESTING_FAKE_RUNTIME_H_
