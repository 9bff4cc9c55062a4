// The fate of a shim when the kernel has no memory, no descriptor or no room for one of its calls:
// for every single call that it makes for a container and for execs in it.

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iostream>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"
#include "runtime/client/testing/syscall_injector.h"

namespace crisp::runtime {
namespace {

struct Kind {
  const char* name;
  std::vector<long> calls;
  int error;
  int argument = -1;
  unsigned long value = 0;
};

const Kind kKinds[] = {
    {"memory", {SYS_mmap, SYS_brk, SYS_mremap}, ENOMEM},
    {"watches", {SYS_epoll_ctl}, ENOSPC, 1, EPOLL_CTL_ADD},
    {"receiving", {SYS_recvmsg, SYS_recvfrom}, ENOBUFS},
    {"sending", {SYS_sendmsg, SYS_sendto}, ENOBUFS},
    {"processes", {SYS_clone3}, EAGAIN},
    {"pairs", {SYS_pipe2, SYS_socketpair}, EMFILE},
    {"files",
     {
#ifdef SYS_open
         SYS_open,
#endif
         SYS_openat, SYS_openat2},
     ENFILE},
    {"copies", {SYS_fcntl}, EMFILE, 1, F_DUPFD_CLOEXEC},
    {"mounts", {SYS_open_tree, SYS_fsopen, SYS_fsmount, SYS_move_mount, SYS_mount_setattr}, ENOMEM},
    {"namespaces", {SYS_setns}, ENOMEM},
};

class ShimFaultsTest : public ShimTest, public ::testing::WithParamInterface<Kind> {
 protected:
  // The shim's words about one container's life.
  struct Said {
    absl::Status created, started;
    std::vector<absl::Status> all;
  };

  void SetUp() override {
    ShimTest::SetUp();
    if (IsSkipped()) return;
    for (const char* hierarchy : {"freezer", ""}) {
      const std::string group =
          absl::StrCat("/sys/fs/cgroup/", hierarchy, "/crisp-shim-faults-", getpid());
      if (cgroup_.empty() && mkdir(group.c_str(), 0755) == 0) cgroup_ = group;
    }
    pod_ = MakePod();
    StartPod(pod_);
    const ContainerPlan plan = MakeContainer("exec sleep 1000");
    witness_ = plan.container_id;
    ASSERT_OK(shim_->CreateContainer(plan, Operation()));
    ASSERT_OK(shim_->StartContainer(witness_, Operation()));
  }

  void TearDown() override {
    ShimTest::TearDown();
    EXPECT_TRUE(Eventually([this] { return cgroup_.empty() || rmdir(cgroup_.c_str()) == 0; }));
  }

  // In the test's cgroup, if it could make one.
  template <class Plan>
  void Place(Plan* plan) {
    if (cgroup_.empty()) return;
    plan->cgroup_dirs = {cgroup_};
    plan->cgroup_v2 = access((cgroup_ + "/tasks").c_str(), F_OK) != 0;
  }

  bool OfMemory() const { return GetParam().calls.front() == SYS_mmap; }

  static Operation Soon() { return Operation(absl::Now() + absl::Seconds(20)); }

  // More than an allocator has at hand, however it keeps what was given back: each is larger than
  // any before, and larger than what any takes from a heap.
  void Grow(ContainerPlan* plan) {
    constexpr size_t kPiece = 16u << 10;
    for (int i = 0; i < 9 + lives_; ++i) {
      plan->process.env.push_back(absl::StrCat("P", i, "=", std::string(kPiece, 'p')));
    }
    ++lives_;
  }

  // To its end, if it begins and the daemon can be told of that.
  absl::Status ExecOnce(const std::string& id,
                        const std::string& script,
                        bool terminal,
                        bool kill) {
    ExecPlan plan = MakeExec(id, script);
    plan.process.terminal = terminal;
    Place(&plan);
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    const absl::Status begun =
        shim_
            ->Exec(plan, {.stdin_fd = terminal ? theirs.get() : -1, .stdout_fd = theirs.get()},
                   Soon())
            .status();
    if (!begun.ok()) return begun;
    theirs.reset();
    if (kill) {
      const absl::Status killed = shim_->KillExec(plan.exec_id);
      if (!killed.ok()) return killed;
    }
    EXPECT_TRUE(Eventually([&] { return observer_.HasExec(plan.exec_id) || !shim_->connected(); }))
        << script;
    if (!observer_.HasExec(plan.exec_id)) return absl::UnavailableError("connection lost");
    EXPECT_EQ(observer_.WaitExec(plan.exec_id).exit_code, kill ? 137 : 3) << script;
    const std::string out = ReadFd(ours.get(), "output").value_or("");
    EXPECT_TRUE(kill || absl::StrContains(out, "said")) << script << ": " << out;
    return absl::OkStatus();
  }

  Said Live(const ContainerPlan& plan) {
    Said said;
    const auto note = [&said](absl::Status status) { said.all.push_back(std::move(status)); };
    said.created = shim_->CreateContainer(plan, Soon());
    note(said.created);
    said.started = said.created.ok() ? shim_->StartContainer(plan.container_id, Soon()).status()
                                     : said.created;
    note(said.started);
    if (!said.started.ok()) return said;
    note(ExecOnce(plan.container_id, "echo said; exit 3", false, false));
    note(ExecOnce(plan.container_id, "echo said; exit 3", true, false));
    note(ExecOnce(plan.container_id, "sleep 1000 & sleep 1000", false, true));
    note(shim_->ReopenLog(plan.container_id));
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd ours(ends[0]), theirs(ends[1]);
    note(shim_->Attach(plan.container_id, {.stdin_fd = theirs.get(), .stdout_fd = theirs.get()}));
    note(shim_->Report().status());
    return said;
  }

  std::optional<ContainerReport> ReportOf(const std::string& id) {
    auto reports = shim_->Report();
    EXPECT_OK(reports);
    if (!reports.ok()) return std::nullopt;
    for (ContainerReport& report : *reports) {
      if (report.container_id == id) return std::move(report);
    }
    return std::nullopt;
  }

  size_t Descriptors() {
    return ListDir(absl::StrCat("/proc/", shim_->pid(), "/fd"))
        .value_or(std::vector<std::string>())
        .size();
  }

  // Expects that what exists is what was said, and that it can be ended.
  void EndTruthfully(const ContainerPlan& plan, const Said& said) {
    using State = ContainerReport::State;
    for (const absl::Status& status : said.all) {
      EXPECT_FALSE(absl::IsDeadlineExceeded(status)) << status;
      EXPECT_FALSE(absl::IsInvalidArgument(status)) << status;
    }
    std::optional<ContainerReport> report = ReportOf(plan.container_id);
    if (said.started.ok()) {
      ASSERT_TRUE(report.has_value());
      EXPECT_EQ(report->state, State::kRunning);
      EXPECT_TRUE(AwaitLog(plan, "hello\n")) << "its output is not read";
    } else if (!absl::IsUnavailable(said.started)) {
      EXPECT_TRUE(!report.has_value() || report->state == State::kExited) << said.started;
    }
    if (!report.has_value()) return;
    if (report->state == State::kRunning) {
      EXPECT_OK(shim_->Signal(plan.container_id, SIGKILL));
      EXPECT_TRUE(Eventually([&] {
        report = ReportOf(plan.container_id);
        return report.has_value() && report->state == State::kExited;
      }));
      EXPECT_TRUE(Eventually([&] { return ReadExitRecord(plan.exit_record).ok(); }));
      EXPECT_EQ(ReadExitRecord(plan.exit_record).value_or(ExitRecord()).exit_code, 137);
    }
    EXPECT_OK(shim_->RemoveContainer(plan.container_id));
  }

  // True if the fault came.
  bool Round(int nth) {
    const Kind& kind = GetParam();
    ContainerPlan plan = MakeContainer("echo hello; exec sleep 1000");
    Place(&plan);
    if (OfMemory()) Grow(&plan);
    Said said;
    bool fired = false;
    {
      const SyscallInjector injector(shim_->pid(), {.calls = kind.calls,
                                                    .nth = nth,
                                                    .error = kind.error,
                                                    .argument = kind.argument,
                                                    .value = kind.value,
                                                    .watch = nullptr});
      EXPECT_TRUE(injector.works());
      said = Live(plan);
      fired = injector.fired();
    }
    EXPECT_TRUE(shim_->alive()) << "the pod has ended";
    if (HasFailure()) return false;
    if (!shim_->connected()) {
      auto again = pool_->AdoptPod(pod_.pod_id, pod_.state_dir, Soon());
      EXPECT_OK(again);
      if (!again.ok()) return false;
      shim_ = *std::move(again);
    }
    EndTruthfully(plan, said);
    if (!fired) {
      for (const absl::Status& status : said.all) EXPECT_OK(status);
    }
    EXPECT_EQ(RunExec(MakeExec(witness_, "echo here")), "here\n");
    const std::optional<ContainerReport> witness = ReportOf(witness_);
    EXPECT_TRUE(witness.has_value() && witness->state == ContainerReport::State::kRunning);
    return fired;
  }

  PodPlan pod_;
  std::string witness_, cgroup_;
  int lives_ = 0;
};

TEST_P(ShimFaultsTest, OneFailsAndEverythingElseGoesOn) {
#if defined(__SANITIZE_ADDRESS__)
  if (OfMemory()) {
    GTEST_SKIP() << "the sanitizer's allocator has taken the memory before";
  }
#endif
  ASSERT_FALSE(Round(1 << 30));  // what a life takes for the first time is taken
  const size_t descriptors = Descriptors();
  int nth = 1;
  for (; Round(nth); ++nth) {
    ASSERT_FALSE(HasFailure()) << GetParam().name << " number " << nth;
    EXPECT_TRUE(Eventually([&] { return ChildrenOf(shim_->pid()).size() == 1; }))
        << "a process is left of " << nth;
    EXPECT_TRUE(Eventually([&] { return Descriptors() <= descriptors; }))
        << "descriptors are left of " << nth;
    ASSERT_FALSE(HasFailure()) << GetParam().name << " number " << nth;
  }
  EXPECT_FALSE(HasFailure()) << GetParam().name << " number " << nth;
  EXPECT_GT(nth, 1) << "a life takes no such call";
  EXPECT_EQ(Run(MakeContainer("echo fine")), "fine\n");
  std::cout << GetParam().name << ": " << nth - 1 << " calls failed, one in each life\n";
}

INSTANTIATE_TEST_SUITE_P(All, ShimFaultsTest, ::testing::ValuesIn(kKinds), [](const auto& kind) {
  return std::string(kind.param.name);
});

}  // namespace
}  // namespace crisp::runtime
