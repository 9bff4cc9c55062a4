#ifndef CRISP_CRI_PODS_TESTING_FAKE_SHIMS_H_
#define CRISP_CRI_PODS_TESTING_FAKE_SHIMS_H_

// Test-only: shims without processes, for tests of what the daemon makes of them.

#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "base/thread.h"
#include "cri/pods/testing/fault_plan.h"
#include "runtime/client/shim_client.h"

namespace crisp::cri {

// All shims of a node. They outlive a daemon, as real ones do: each daemon has a pool of its own
// over them. A container's process is a file "freezer.state" in its group, which the daemon writes
// to when it kills. Thread-safe.
class FakeShims {
 public:
  enum class State { kCreated, kRunning, kExited };
  struct FakeContainer {
    State state = State::kCreated;
    std::string group;  // of the hierarchy that there is
    runtime::ExitRecord exit;
  };
  struct FakePod {
    std::string state_dir;
    bool connected = true;
    std::map<std::string, FakeContainer> containers;
  };

  // `dir`: for the pods' files. `faults` outlives it.
  FakeShims(std::string dir, FaultPlan& faults) : dir_(std::move(dir)), faults_(faults) {
    killer_ = Thread::Start("fake-killer", [this] { ReapKilled(); }).value();
  }
  ~FakeShims() {
    {
      absl::MutexLock lock(&mutex_);
      over_ = true;
    }
    killer_.Join();
  }

  FaultPlan& faults() { return faults_; }
  // Null: no daemon listens.
  void SetObserver(runtime::ShimObserver* observer) {
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
    Tell([&](runtime::ShimObserver& observer) { observer.OnContainerExit(pod_id, id, exit); });
  }
  // The shim's process ends, and with it all that it has.
  void KillShim(const std::string& pod_id) {
    if (Remove(pod_id))
      Tell([&](runtime::ShimObserver& observer) { observer.OnShimDeath(pod_id); });
  }
  void BreakConnection(const std::string& pod_id) {
    {
      absl::MutexLock lock(&mutex_);
      pods_[pod_id].connected = false;
    }
    Tell([&](runtime::ShimObserver& observer) { observer.OnShimLost(pod_id); });
  }
  void EndExec(const std::string& pod_id, const std::string& exec_id) {
    Tell([&](runtime::ShimObserver& observer) {
      observer.OnExecExit(pod_id, exec_id, {.exited_at = absl::Now()});
    });
  }

  // For the pool and its shims: the pod with the lock held, or null.
  template <typename Call>
  auto WithPod(const std::string& pod_id, Call call) {
    absl::MutexLock lock(&mutex_);
    const auto pod = pods_.find(pod_id);
    return call(pod == pods_.end() || !pod->second.connected ? nullptr : &pod->second);
  }
  void Add(const std::string& pod_id, const std::string& state_dir) {
    absl::MutexLock lock(&mutex_);
    pods_[pod_id].state_dir = state_dir;
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
      if (pod.state_dir == state_dir) return id;
    }
    return "";
  }
  // A fresh directory for a pod's files of /etc.
  UniqueFd MakeFiles(const std::string& pod_id) {
    const std::string path = absl::StrCat(dir_, "/files-", pod_id);
    if (!MakeDirs(path, 0755).ok()) return UniqueFd();
    return Open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0).value_or(UniqueFd());
  }
  static std::string ProcessFile(const std::string& group) { return group + "/freezer.state"; }

 private:
  static void End(FakeContainer& container, const runtime::ExitRecord& exit) {
    if (container.state != State::kRunning) return;
    container.state = State::kExited;
    container.exit = exit;
    (void)::unlink(ProcessFile(container.group).c_str());
  }
  template <typename Call>
  void Tell(Call call) {
    absl::MutexLock lock(&observer_mutex_);
    if (observer_ != nullptr) call(*observer_);
  }
  // What the kernel does.
  void ReapKilled() {
    for (;;) {
      std::vector<std::pair<std::string, std::string>> killed;
      {
        absl::MutexLock lock(&mutex_);
        if (over_) return;
        for (const auto& [pod_id, pod] : pods_) {
          for (const auto& [id, container] : pod.containers) {
            if (container.state != State::kRunning) continue;
            const auto text = ReadFile(ProcessFile(container.group), 16);
            if (text.ok() && absl::StartsWith(*text, "THAWED")) killed.emplace_back(pod_id, id);
          }
        }
      }
      for (const auto& [pod_id, id] : killed) EndContainer(pod_id, id, 137, 9);
      absl::SleepFor(absl::Milliseconds(1));
    }
  }

  const std::string dir_;
  FaultPlan& faults_;
  absl::Mutex observer_mutex_;
  runtime::ShimObserver* observer_ ABSL_GUARDED_BY(observer_mutex_) = nullptr;
  mutable absl::Mutex mutex_;
  std::map<std::string, FakePod> pods_ ABSL_GUARDED_BY(mutex_);
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  Thread killer_;
};

class FakeShim final : public runtime::Shim {
 public:
  FakeShim(FakeShims& shims, std::string pod_id) : shims_(shims), pod_id_(std::move(pod_id)) {}

  pid_t pid() const override { return 4'000'000; }  // nobody's
  bool alive() const override { return shims_.Lives(pod_id_); }
  bool connected() const override { return shims_.Connected(pod_id_); }
  int netns_fd() const override { return -1; }
  int rtnl_fd() const override { return -1; }
  int userns_fd() const override { return -1; }
  UniqueFd TakeFiles() override { return shims_.MakeFiles(pod_id_); }
  const std::string& prepared_network() const override { return prepared_; }

  // `meanwhile` sets limits, which only the kernel can take: left out.
  absl::Status CreateContainer(const runtime::ContainerPlan& plan,
                               int,
                               const Operation&,
                               const std::function<absl::Status()>&) override {
    return Do("Shim::CreateContainer", [&](FakeShims::FakePod& pod) {
      pod.containers[plan.container_id] = {.group = plan.cgroup_dirs.at(0)};
      return absl::OkStatus();
    });
  }
  absl::StatusOr<runtime::StartedProcess> StartContainer(absl::string_view id,
                                                         const Operation&) override {
    CRISP_RETURN_IF_ERROR(Do("Shim::StartContainer", [&](FakeShims::FakePod& pod) -> absl::Status {
      const auto container = pod.containers.find(std::string(id));
      if (container == pod.containers.end()) return absl::NotFoundError("no such container");
      if (container->second.state != FakeShims::State::kCreated)
        return absl::FailedPreconditionError("not created");
      container->second.state = FakeShims::State::kRunning;
      return AtomicWriteFile(FakeShims::ProcessFile(container->second.group), "-", 0644,
                             Durability::kNone);
    }));
    return runtime::StartedProcess{.pid = kInit, .started_at = absl::Now()};
  }
  absl::Status Signal(absl::string_view id, int signal) override {
    CRISP_RETURN_IF_ERROR(Do("Shim::Signal", [](FakeShims::FakePod&) { return absl::OkStatus(); }));
    shims_.EndContainer(pod_id_, std::string(id), 128 + signal, signal);
    return absl::OkStatus();
  }
  absl::Status RemoveContainer(absl::string_view id) override {
    return Do("Shim::RemoveContainer", [&](FakeShims::FakePod& pod) -> absl::Status {
      const auto container = pod.containers.find(std::string(id));
      if (container == pod.containers.end()) return absl::OkStatus();
      if (container->second.state == FakeShims::State::kRunning)
        return absl::FailedPreconditionError("it runs");
      pod.containers.erase(container);
      return absl::OkStatus();
    });
  }
  absl::Status ReopenLog(absl::string_view) override {
    return Do("Shim::ReopenLog", [](FakeShims::FakePod&) { return absl::OkStatus(); });
  }
  // Ends at once, without output.
  absl::StatusOr<runtime::StartedProcess> Exec(const runtime::ExecPlan& plan,
                                               const runtime::Stdio&,
                                               const Operation&) override {
    CRISP_RETURN_IF_ERROR(Do("Shim::Exec", [](FakeShims::FakePod&) { return absl::OkStatus(); }));
    shims_.EndExec(pod_id_, plan.exec_id);
    return runtime::StartedProcess{.pid = kInit, .started_at = absl::Now()};
  }
  absl::Status KillExec(absl::string_view exec_id) override {
    CRISP_RETURN_IF_ERROR(
        Do("Shim::KillExec", [](FakeShims::FakePod&) { return absl::OkStatus(); }));
    shims_.EndExec(pod_id_, std::string(exec_id));
    return absl::OkStatus();
  }
  absl::Status Attach(absl::string_view, const runtime::Stdio&) override {
    return absl::OkStatus();
  }
  absl::Status ResizeTerminal(absl::string_view, absl::string_view, uint16_t, uint16_t) override {
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<runtime::ContainerReport>> Report() override {
    using State = runtime::ContainerReport::State;
    std::vector<runtime::ContainerReport> reports;
    CRISP_RETURN_IF_ERROR(Do("Shim::Report", [&](FakeShims::FakePod& pod) {
      for (const auto& [id, container] : pod.containers) {
        runtime::ContainerReport& report = reports.emplace_back();
        report.container_id = id;
        report.state = container.state == FakeShims::State::kCreated   ? State::kCreated
                       : container.state == FakeShims::State::kRunning ? State::kRunning
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
    return Do("Shim::Keep", [](FakeShims::FakePod&) { return absl::OkStatus(); });
  }
  absl::Status Shutdown() override {
    CRISP_RETURN_IF_ERROR(
        Do("Shim::Shutdown", [](FakeShims::FakePod&) { return absl::OkStatus(); }));
    (void)shims_.Remove(pod_id_);
    return absl::OkStatus();
  }
  absl::Status Kill() override {
    CRISP_RETURN_IF_ERROR(shims_.faults().Next("Shim::Kill"));
    (void)shims_.Remove(pod_id_);
    return absl::OkStatus();
  }

 private:
  static constexpr pid_t kInit = 4'000'001;  // nobody's

  template <typename Call>
  absl::Status Do(absl::string_view name, Call call) {
    CRISP_RETURN_IF_ERROR(shims_.faults().Next(name));
    return shims_.WithPod(pod_id_, [&](FakeShims::FakePod* pod) -> absl::Status {
      return pod == nullptr ? absl::UnavailableError("the shim is gone") : call(*pod);
    });
  }

  FakeShims& shims_;
  const std::string pod_id_;
  const std::string prepared_;
};

// A daemon's pool over the shims that there are. The shims outlive it.
class FakeShimPool final : public runtime::ShimPool {
 public:
  FakeShimPool(FakeShims& shims, runtime::ShimObserver* observer) : shims_(shims) {
    shims_.SetObserver(observer);
  }
  ~FakeShimPool() override { shims_.SetObserver(nullptr); }

  absl::StatusOr<std::shared_ptr<runtime::Shim>> StartPod(
      const runtime::PodPlan& plan,
      const Operation&,
      const std::function<absl::Status()>& meanwhile,
      bool) override {
    CRISP_RETURN_IF_ERROR(shims_.faults().Next("ShimPool::StartPod"));
    if (meanwhile != nullptr) CRISP_RETURN_IF_ERROR(meanwhile());
    shims_.Add(plan.pod_id, plan.state_dir);
    return std::make_shared<FakeShim>(shims_, plan.pod_id);
  }
  void AddSpares() override {}
  absl::Status PrepareSpares(const runtime::PrepareNetwork&) override { return absl::OkStatus(); }
  absl::StatusOr<std::shared_ptr<runtime::Shim>> AdoptPod(absl::string_view pod_id,
                                                          const std::string&,
                                                          const Operation&) override {
    CRISP_RETURN_IF_ERROR(shims_.faults().Next("ShimPool::AdoptPod"));
    const std::string id(pod_id);
    if (!shims_.Lives(id)) return absl::NotFoundError("no such shim");
    shims_.Connect(id);
    return std::make_shared<FakeShim>(shims_, id);
  }
  absl::Status EndPod(const std::string& state_dir, const Operation&) override {
    CRISP_RETURN_IF_ERROR(shims_.faults().Next("ShimPool::EndPod"));
    (void)shims_.Remove(shims_.IdAt(state_dir));
    return absl::OkStatus();
  }

 private:
  FakeShims& shims_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_TESTING_FAKE_SHIMS_H_
