// Crisp's own runtime through the interface of a handler: a real shim, real cgroups. Needs root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "runtime/crisp/crisp_runtime.h"
#include "runtime/oci/default_spec.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;

Operation Soon() { return Operation(absl::Now() + absl::Minutes(1)); }

class Exits final : public PodObserver {
 public:
  void OnContainerExit(absl::string_view, absl::string_view id, const ExitRecord& record) override {
    Note(id, record);
  }
  void OnExecExit(absl::string_view, absl::string_view id, const ExitRecord& record) override {
    Note(id, record);
  }
  void OnPodDeath(absl::string_view pod_id) override { Note(pod_id, {}); }
  void OnPodLost(absl::string_view) override {}

  // -1: nothing came within a minute.
  int Await(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    const auto told = [&] {
      mutex_.AssertReaderHeld();
      return records_.contains(id);
    };
    return mutex_.AwaitWithTimeout(absl::Condition(&told), absl::Minutes(1))
               ? records_[id].exit_code
               : -1;
  }

 private:
  void Note(absl::string_view id, const ExitRecord& record) {
    absl::MutexLock lock(&mutex_);
    records_[std::string(id)] = record;
  }
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, ExitRecord> records_ ABSL_GUARDED_BY(mutex_);
};

class CrispRuntimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    auto layout = DetectCgroups();
    if (!layout.ok()) GTEST_SKIP() << layout.status();
    layout_ = std::make_shared<const CgroupLayout>(*std::move(layout));
    const std::string layer = dir_.path() + "/root/layer";
    for (const char* sub : {"bin", "proc", "dev", "sys", "tmp"})
      ASSERT_OK(MakeDirs(absl::StrCat(layer, "/", sub)));
    ASSERT_OK(AtomicWriteFile(layer + "/bin/busybox", ReadFile("/usr/bin/busybox").value_or(""),
                              0755, Durability::kNone));
    ASSERT_EQ(::symlink("busybox", (layer + "/bin/sh").c_str()), 0);
    for (const char* sub : {"/root/upper", "/root/work", "/state/exits"})
      ASSERT_OK(MakeDirs(dir_.path() + sub));
    lowers_ = {layer};
    ASSERT_OK_AND_ASSIGN(runtime_,
                         CrispRuntime::Create({.shims = {.shim_binary = CRISP_SHIM_BINARY,
                                                         .storage_root = dir_.path() + "/root"},
                                               .cgroups = layout_},
                                              &exits_));
    const PodSpec pod{.pod_id = "pod", .hostname = "pod", .state_dir = dir_.path() + "/state"};
    ASSERT_OK_AND_ASSIGN(pod_, runtime_->StartPod(pod, {}, Soon()));
    const std::string proc = absl::StrCat("/proc/", pod_->pid(), "/ns/");
    namespaces_ = {.ipc_path = proc + "ipc", .net_path = proc + "net", .uts_path = proc + "uts"};
  }
  void TearDown() override {
    if (pod_ == nullptr) return;
    EXPECT_OK(pod_->Kill());
    // The process of a container that was not started yet may come into the cgroup after KillAll()
    // has found it empty. The pod's end kills that process, but does not wait for it.
    absl::Status cleaned;
    const Operation soon = Soon();
    do {
      EXPECT_OK(runtime_->KillAll(Ref(), soon));
      cleaned = runtime_->CleanUp(Ref(), soon);
    } while (absl::IsFailedPrecondition(cleaned) && soon.Check("").ok());
    EXPECT_OK(cleaned);
    EXPECT_OK(Cgroup(layout_, parent_).Remove(Soon()));
  }

  ContainerRef Ref() const { return {.pod_id = "pod", .id = id_, .cgroups_path = group_}; }
  OciSpec Spec(const std::string& script) {
    OciSpec spec = DefaultSpec({});
    spec.process.args = {"/bin/sh", "-c", script};
    spec.process.cwd = "/";
    spec.linux_.cgroups_path = group_;
    spec.linux_.namespaces = {{.type = "mount"},
                              {.type = "pid"},
                              {.type = "cgroup"},
                              {.type = "ipc", .path = namespaces_.ipc_path},
                              {.type = "network", .path = namespaces_.net_path},
                              {.type = "uts", .path = namespaces_.uts_path}};
    return spec;
  }
  absl::StatusOr<std::shared_ptr<const ExecBase>> Create(const std::string& script) {
    const OciSpec spec = Spec(script);
    steps_.clear();
    return pod_->Create({.id = id_,
                         .spec = spec,
                         .namespaces = namespaces_,
                         .lower_dirs = lowers_,
                         .upper_dir = upper_,
                         .work_dir = work_,
                         .image_volumes = {},
                         .device_sources = {},
                         .exit_record = dir_.path() + "/state/exits/c",
                         .done = [this](const char* step) { steps_.push_back(step); }},
                        Soon());
  }
  // As the kernel says it.
  bool Frozen() {
    const Cgroup group(layout_, group_);
    const std::string text = layout_->v2
                                 ? ReadFile(group.PrimaryDir() + "/cgroup.events").value_or("")
                                 : ReadFile(group.Dir("freezer") + "/freezer.state").value_or("");
    return absl::StrContains(text, layout_->v2 ? "frozen 1" : "FROZEN");
  }

  TempDir dir_;
  Exits exits_;
  std::shared_ptr<const CgroupLayout> layout_;
  const std::string parent_ = absl::StrCat("/crisp-runtime-test-", ::getpid());
  const std::string id_ = "c", group_ = parent_ + "/c";
  const std::string upper_ = dir_.path() + "/root/upper", work_ = dir_.path() + "/root/work";
  std::vector<Lower> lowers_;
  std::vector<std::string> steps_;
  PodNamespaces namespaces_;
  std::unique_ptr<CrispRuntime> runtime_;
  std::shared_ptr<PodHandle> pod_;
};

TEST_F(CrispRuntimeTest, AContainersLifeThroughTheInterface) {
  ASSERT_OK_AND_ASSIGN(const auto base, Create("while :; do :; done"));
  EXPECT_THAT(steps_, ElementsAre("cgroup", "plan", "limits"));
  ASSERT_OK(pod_->Start("c", Soon()));
  const std::vector<std::string> argv = {"/bin/sh", "-c", "exit 4"};
  const NewExec exec{
      .id = "e", .container_id = id_, .cgroups_path = group_, .argv = argv, .base = *base};
  ASSERT_OK(pod_->Exec(exec, {}, Soon()));
  EXPECT_EQ(exits_.Await("e"), 4);
  EXPECT_FALSE(runtime_->IsEmpty(Ref()).value());
  ASSERT_OK_AND_ASSIGN(const CgroupStats stats, runtime_->Stats(Ref()));
  EXPECT_GT(stats.pids.current, 0u);
  EXPECT_EQ(runtime_->OomKills(Ref()).value(), 0u);
  ASSERT_OK_AND_ASSIGN(const auto reports, pod_->Report());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].state, ContainerReport::State::kRunning);
  ASSERT_OK(runtime_->KillAll(Ref(), Soon()));
  EXPECT_EQ(exits_.Await("c"), 137);
  EXPECT_TRUE(runtime_->IsEmpty(Ref()).value());
  EXPECT_EQ(ReadExitRecord(dir_.path() + "/state/exits/c")->exit_code, 137);
  ASSERT_OK(pod_->Delete("c"));
  ASSERT_OK(runtime_->CleanUp(Ref(), Soon()));
  EXPECT_THAT(runtime_->Stats(Ref()), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(pod_->Shutdown());
}

TEST_F(CrispRuntimeTest, APausedContainerRunsAgainAndCanBeKilled) {
  ASSERT_OK(Create("while :; do :; done"));
  ASSERT_OK(pod_->Start("c", Soon()));
  EXPECT_FALSE(Frozen());
  ASSERT_OK(runtime_->Pause(Ref(), Soon()));
  EXPECT_TRUE(Frozen());
  EXPECT_TRUE(runtime_->IsPaused(Ref()).value());
  ASSERT_OK(runtime_->Resume(Ref(), Soon()));
  EXPECT_FALSE(Frozen());
  EXPECT_FALSE(runtime_->IsPaused(Ref()).value());
  ASSERT_OK(runtime_->Pause(Ref(), Soon()));
  ASSERT_OK(runtime_->KillAll(Ref(), Soon()));
  EXPECT_EQ(exits_.Await("c"), 137);
}

TEST_F(CrispRuntimeTest, LimitsCountFromTheSpecAndFromAnUpdate) {
  ASSERT_OK(Create("while :; do :; done"));
  ASSERT_OK(runtime_->Update(Ref(), {.pids = OciPids{.limit = 17}}));
  ASSERT_OK_AND_ASSIGN(const CgroupStats stats, runtime_->Stats(Ref()));
  EXPECT_EQ(stats.pids.limit, 17u);
}

// As the kernel knows it: no connection is asked.
TEST_F(CrispRuntimeTest, APodIsFoundAndEndedByItsDirectory) {
  ASSERT_OK(Create("while :; do :; done"));
  ASSERT_OK(pod_->Start("c", Soon()));
  const std::string pods_dir = dir_.path();
  ASSERT_OK_AND_ASSIGN(const auto found, runtime_->finder().Find(pods_dir, ""));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].pod_id, "state");
  EXPECT_EQ(found[0].pid, pod_->pid());
  ASSERT_OK(runtime_->EndPod(pods_dir + "/state", Soon()));
  EXPECT_EQ(exits_.Await("pod"), 0) << "its death is told";
  EXPECT_FALSE(pod_->alive());
  EXPECT_TRUE(runtime_->finder().Find(pods_dir, "").value().empty());
}

}  // namespace
}  // namespace crisp::runtime
