#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/cgroup_devices.h"
#include "runtime/cgroup/cgroup_stats.h"
#include "runtime/crisp/cgroup_mounts.h"
#include "runtime/oci/default_spec.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Operation Within(absl::Duration duration) { return Operation(absl::Now() + duration); }

// A group of this test alone below a directory of this process alone; both are gone afterwards.
class CgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    absl::StatusOr<CgroupLayout> layout = DetectCgroups();
    if (!layout.ok()) GTEST_SKIP() << layout.status();
    layout_ = std::make_shared<CgroupLayout>(*std::move(layout));
    top_ = std::make_unique<Cgroup>(layout_, absl::StrCat("/crisp-test-", getpid()));
    group_ = std::make_unique<Cgroup>(layout_, top_->path() + "/c1");
  }
  void TearDown() override {
    if (top_ == nullptr) return;
    EXPECT_OK(top_->Kill(Within(absl::Seconds(10))));
    for (pid_t child : children_) waitpid(child, nullptr, 0);
    EXPECT_OK(top_->Remove(Within(absl::Seconds(10))));
  }

  // A child in the group (and what it leaves behind) that runs `body` and then sleeps.
  pid_t Spawn(const std::vector<std::string>& dirs, void (*body)() = nullptr) {
    pid_t child = fork();
    if (child == 0) {
      for (const std::string& dir : dirs) {
        int fd = open((dir + (layout_->v2 ? "/cgroup.procs" : "/tasks")).c_str(), O_WRONLY);
        if (write(fd, "0", 1) != 1) _exit(99);
        close(fd);
      }
      if (body != nullptr) body();
      while (true) pause();
    }
    children_.push_back(child);
    EXPECT_TRUE(Eventually([&] { return !group_->Pids()->empty(); }));
    return child;
  }

  absl::Status Make(const OciResources& resources) {
    const absl::Status created = group_->Create();
    return created.ok() ? group_->Limit(resources) : created;
  }

  std::string Value(const char* controller, const std::string& file) {
    std::string text = ReadFile(group_->Dir(controller) + "/" + file).value_or("?");
    return std::string(absl::StripAsciiWhitespace(text));
  }

  std::shared_ptr<const CgroupLayout> layout_;
  std::unique_ptr<Cgroup> top_, group_;
  std::vector<pid_t> children_;
};

TEST_F(CgroupTest, CreatesWithLimitsAndRemoves) {
  OciResources resources;
  resources.pids = OciPids{.limit = 42};
  resources.memory.limit = 64 << 20;
  resources.devices = DefaultDeviceRules();
  ASSERT_OK(Make(resources));
  for (const std::string& dir : group_->Dirs()) EXPECT_EQ(access(dir.c_str(), F_OK), 0) << dir;
  EXPECT_EQ(Value("pids", "pids.max"), "42");
  EXPECT_EQ(Value("memory", layout_->v2 ? "memory.max" : "memory.limit_in_bytes"), "67108864");
  EXPECT_TRUE(*group_->IsEmpty());
  EXPECT_EQ(*group_->OomKills(), 0u);
  ASSERT_OK(group_->Remove(Within(absl::Seconds(5))));
  for (const std::string& dir : group_->Dirs()) EXPECT_NE(access(dir.c_str(), F_OK), 0) << dir;
  EXPECT_OK(group_->Remove(Within(absl::Seconds(5))));
}

TEST_F(CgroupTest, GroupsMayRunWhereTheirParentMay) {
  if (layout_->v2) GTEST_SKIP() << "a cpuset without cpus has its parent's on cgroup v2";
  ASSERT_OK(top_->CreateDirs());
  const std::string top = top_->Dir("cpuset");
  ASSERT_OK(WriteKernelFile(top + "/cpuset.cpus", "0"));
  const std::string flag = "/cgroup.clone_children";
  // Also below a group that somebody else has made, and has told not to hand anything down.
  ASSERT_OK(WriteKernelFile(top + flag, "0"));
  ASSERT_OK(Make({}));
  EXPECT_EQ(Value("cpuset", "cpuset.cpus"), "0");
  EXPECT_EQ(Value("cpuset", "cpuset.mems"),
            absl::StripAsciiWhitespace(*ReadFile(top + "/cpuset.mems")));
  OciResources change;
  change.cpu.cpus = "0";
  EXPECT_OK(group_->Update(change));
}

TEST_F(CgroupTest, BandwidthsThatAGroupHasAnyway) {
  OciResources resources;
  resources.cpu.period = 100000;
  resources.cpu.quota = -1;
  ASSERT_OK(Make(resources));
  if (layout_->v2) {
    EXPECT_EQ(Value("cpu", "cpu.max"), "max 100000");
  } else {
    EXPECT_EQ(Value("cpu", "cpu.cfs_period_us") + Value("cpu", "cpu.cfs_quota_us"), "100000-1");
  }
}

TEST_F(CgroupTest, TakesOverAnEmptyGroupAndRefusesAPopulatedOne) {
  OciResources resources;
  resources.pids = OciPids{.limit = 42};
  ASSERT_OK(Make(resources));
  ASSERT_OK(Make({}));
  EXPECT_EQ(Value("pids", "pids.max"), "max") << "old limits must not shine through";
  Spawn(group_->Dirs());
  EXPECT_THAT(Make({}), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(CgroupTest, ABadLimitIsRefusedAndTheGroupRemovable) {
  OciResources resources;
  resources.cpu.cpus = "4095";
  EXPECT_FALSE(Make(resources).ok());
  EXPECT_OK(group_->Remove(Within(absl::Seconds(5))));
  for (const std::string& dir : group_->Dirs()) EXPECT_NE(access(dir.c_str(), F_OK), 0) << dir;
}

TEST_F(CgroupTest, UpdatesBothWaysAndRollsBack) {
  OciResources resources;
  resources.memory.limit = 64 << 20;
  resources.pids = OciPids{.limit = 10};
  resources.cpu.quota = 50000;
  resources.cpu.period = 100000;
  ASSERT_OK(Make(resources));
  const char* memory = layout_->v2 ? "memory.max" : "memory.limit_in_bytes";
  for (int64_t limit : {128 << 20, 32 << 20, 256 << 20}) {
    OciResources change;
    change.memory.limit = limit;
    ASSERT_OK(group_->Update(change)) << limit;
    EXPECT_EQ(Value("memory", memory), absl::StrCat(limit));
  }
  for (int64_t period : {10000, 1000000, 100000}) {
    OciResources change;
    change.cpu.period = period;
    change.cpu.quota = period / 2;
    ASSERT_OK(group_->Update(change)) << period;
  }
  OciResources bad;
  bad.pids = OciPids{.limit = 20};
  bad.memory.limit = 512 << 20;
  bad.cpu.cpus = "4095";
  absl::Status refused = group_->Update(bad);
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.message()), HasSubstr("cpuset.cpus"));
  EXPECT_EQ(Value("memory", memory), absl::StrCat(256 << 20));
  EXPECT_EQ(Value("pids", "pids.max"), "10");
}

TEST_F(CgroupTest, KillsNestedAndStoppedProcesses) {
  ASSERT_OK(Make({}));
  Cgroup nested(layout_, group_->path() + "/inner");
  ASSERT_OK(nested.CreateDirs());
  // v2 lets no process into a group that hands controllers down.
  Cgroup first(layout_, group_->path() + (layout_->v2 ? "/first" : ""));
  ASSERT_OK(first.CreateDirs());
  Spawn(first.Dirs());
  Spawn(nested.Dirs(), [] { raise(SIGSTOP); });
  EXPECT_TRUE(Eventually([&] { return group_->Pids()->size() == 2; }));
  EXPECT_FALSE(*group_->IsEmpty());
  EXPECT_THAT(group_->Remove(Within(absl::Seconds(1))),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(group_->Kill(Within(absl::Seconds(10))));
  EXPECT_TRUE(*group_->IsEmpty());
  EXPECT_OK(group_->Remove(Within(absl::Seconds(10))));
}

// A process of this number, which nobody may have.
pid_t SpawnAs(pid_t pid) {
  clone_args args = {
      .exit_signal = SIGCHLD, .set_tid = reinterpret_cast<uint64_t>(&pid), .set_tid_size = 1};
  const pid_t child = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof(args)));
  if (child == 0) {
    while (true) pause();
  }
  return child;
}

TEST_F(CgroupTest, WhatIsOpenedOfAProcessIsNeverAnothers) {
  ASSERT_OK(group_->Create());
  const pid_t pid = Spawn(group_->Dirs());
  ASSERT_OK_AND_ASSIGN(const UniqueFd process, group_->OpenProcess(pid));
  EXPECT_OK(WriteKernelFileAt(process.get(), "oom_score_adj", "100"));
  EXPECT_EQ(ReadFile(absl::StrCat("/proc/", pid, "/oom_score_adj")).value_or(""), "100\n");
  EXPECT_THAT(group_->OpenProcess(getpid()), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
  const pid_t other = SpawnAs(pid);
  ASSERT_EQ(other, pid) << "somebody else has the number already";
  EXPECT_FALSE(WriteKernelFileAt(process.get(), "oom_score_adj", "200").ok());
  EXPECT_FALSE(ReadFileAt(process.get(), "oom_score_adj").ok());
  EXPECT_NE(ReadFile(absl::StrCat("/proc/", pid, "/oom_score_adj")).value_or(""), "200\n");
  EXPECT_THAT(group_->OpenProcess(pid), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_EQ(kill(other, SIGKILL), 0);
}

TEST_F(CgroupTest, KillsAForkBomb) {
  OciResources resources;
  resources.pids = OciPids{.limit = 60};
  ASSERT_OK(Make(resources));
  Spawn(group_->Dirs(), [] {
    // Every process forks and exits or lives on, so that a listing is stale at once.
    while (true) {
      pid_t child = fork();
      if (child > 0 && getpid() % 2 == 0) _exit(0);
      if (child < 0) usleep(100);
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }
    }
  });
  EXPECT_TRUE(Eventually([&] { return group_->Pids()->size() > 10; }));
  ASSERT_OK(group_->Kill(Within(absl::Seconds(20))));
  EXPECT_THAT(*group_->Pids(), IsEmpty());
}

TEST_F(CgroupTest, KillsWhatIsFrozen) {
  ASSERT_OK(Make({}));
  Spawn(group_->Dirs());
  ASSERT_OK(group_->Freeze(Within(absl::Seconds(5))));
  ASSERT_OK(group_->Kill(Within(absl::Seconds(10))));
  EXPECT_OK(group_->Thaw(Within(absl::Seconds(5))));
}

TEST_F(CgroupTest, IsHandedOverWithoutItsLimits) {
  ASSERT_OK(Make({}));
  if (!group_->v2()) GTEST_SKIP() << "cgroup v2 only";
  ASSERT_OK(group_->HandOver(4000, 5000));
  const std::string dir = group_->PrimaryDir();
  struct stat about;
  for (const char* file : {"", "/cgroup.procs", "/cgroup.subtree_control"}) {
    ASSERT_EQ(stat((dir + file).c_str(), &about), 0);
    EXPECT_EQ(about.st_uid, 4000u) << file;
    EXPECT_EQ(about.st_gid, 5000u) << file;
  }
  ASSERT_EQ(stat((dir + "/memory.max").c_str(), &about), 0);
  EXPECT_EQ(about.st_uid, 0u);
  EXPECT_THAT(*ReadFile(dir + "/cgroup.max.descendants"), ::testing::StartsWith("500"));
}

TEST_F(CgroupTest, ThawsOnlyWhatIsFrozenItself) {
  ASSERT_OK(Make({}));
  EXPECT_OK(group_->ThawIfFrozen());
  Spawn(group_->Dirs());
  EXPECT_FALSE(group_->IsFrozen().value());
  ASSERT_OK(group_->Freeze(Within(absl::Seconds(5))));
  EXPECT_TRUE(group_->IsFrozen().value());
  ASSERT_OK(group_->ThawIfFrozen());
  EXPECT_FALSE(group_->IsFrozen().value());
  const std::string file = group_->v2() ? group_->PrimaryDir() + "/cgroup.freeze"
                                        : group_->Dir("freezer") + "/freezer.self_freezing";
  EXPECT_THAT(*ReadFile(file), ::testing::StartsWith("0"));
  EXPECT_OK(Cgroup(layout_, "/no-such-group").ThawIfFrozen());
  EXPECT_OK(Cgroup(layout_, "/").ThawIfFrozen());
  EXPECT_FALSE(Cgroup(layout_, "/no-such-group").IsFrozen().value());
}

TEST_F(CgroupTest, AnExecIsLookedForInThePrimaryHierarchy) {
  ASSERT_OK(Make({}));
  EXPECT_EQ(group_->ExecDirs().front(), group_->PrimaryDir());
  EXPECT_THAT(group_->ExecDirs(), ::testing::UnorderedElementsAreArray(group_->Dirs()));
}

TEST_F(CgroupTest, CountsOomKills) {
  OciResources resources;
  resources.memory.limit = 16 << 20;
  ASSERT_OK(Make(resources));
  Spawn(group_->Dirs(), [] {
    for (size_t i = 0;; ++i) {
      void* page = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      if (page == MAP_FAILED) _exit(1);
    }
  });
  EXPECT_TRUE(Eventually([&] { return *group_->OomKills() > 0; }));
}

TEST_F(CgroupTest, ReadsStatistics) {
  OciResources resources;
  resources.memory.limit = 64 << 20;
  resources.pids = OciPids{.limit = 5};
  ASSERT_OK(Make(resources));
  Spawn(group_->Dirs(), [] {
    (void)mmap(nullptr, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
               -1, 0);
    for (int i = 0; i < 20000; ++i) (void)getppid();
  });
  CgroupStatsReader reader(*group_);
  absl::StatusOr<CgroupStats> stats = reader.Read();
  // The kernel accounts CPU time at its ticks and switches, so it may come later than the memory.
  EXPECT_TRUE(Eventually([&] {
    stats = reader.Read();
    return !stats.ok() || (stats->memory.usage >= (8 << 20) && stats->cpu.usage_ns > 0);
  }));
  ASSERT_OK(stats);
  EXPECT_GE(stats->memory.usage, uint64_t{8 << 20});
  EXPECT_LE(stats->memory.working_set, stats->memory.usage);
  EXPECT_EQ(stats->memory.limit, uint64_t{64 << 20});
  EXPECT_EQ(stats->pids.current, 1u);
  EXPECT_EQ(stats->pids.limit, 5u);
  const uint64_t before = stats->cpu.usage_ns;
  EXPECT_GT(before, 0u);
  stats = reader.Read();
  ASSERT_OK(stats);
  EXPECT_GE(stats->cpu.usage_ns, before);
  ASSERT_OK(group_->Kill(Within(absl::Seconds(10))));
  ASSERT_OK(group_->Remove(Within(absl::Seconds(10))));
  EXPECT_THAT(reader.Read(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(CgroupTest, MountsShowTheGroupsOwnDirectories) {
  ASSERT_OK(Make({}));
  std::vector<MountPlan> mounts = CgroupMounts(*group_, "/sys/fs/cgroup", true);
  ASSERT_FALSE(mounts.empty());
  for (const MountPlan& mount : mounts) {
    EXPECT_TRUE(absl::StartsWith(mount.destination, "/sys/fs/cgroup")) << mount.destination;
    if (mount.kind == MountKind::kBind) {
      EXPECT_EQ(access(mount.source.c_str(), F_OK), 0) << mount.source;
    }
  }
}

// Nothing of the host's own directory of hierarchies, which all containers would share.
TEST(CgroupMountsTest, VersionOneHasATmpfsOfItsOwn) {
  const auto layout = std::make_shared<const CgroupLayout>(
      CgroupLayout{.hierarchies = {{"/sys/fs/cgroup/cpu,cpuacct", {"cpu", "cpuacct"}},
                                   {"/sys/fs/cgroup/pids", {"pids"}}}});
  const Cgroup group(layout, "/pod/c");
  for (const bool read_only : {true, false}) {
    const std::vector<MountPlan> mounts = CgroupMounts(group, "/sys/fs/cgroup", read_only);
    ASSERT_EQ(mounts.size(), 3u);
    EXPECT_EQ(mounts[0].kind, MountKind::kFs);
    EXPECT_EQ(mounts[0].type, "tmpfs");
    EXPECT_EQ(mounts[0].lowers, (std::vector<Lower>{"cpu cpu,cpuacct", "cpuacct cpu,cpuacct"}));
    EXPECT_EQ(mounts[1].source, "/sys/fs/cgroup/cpu,cpuacct/pod/c");
    EXPECT_EQ(mounts[1].destination, "/sys/fs/cgroup/cpu,cpuacct");
    EXPECT_EQ(mounts[2].destination, "/sys/fs/cgroup/pids");
    for (const MountPlan& mount : mounts)
      EXPECT_EQ((mount.attributes & 1) != 0, read_only) << mount.destination;
  }
}

// The unified hierarchy takes device programs wherever it is mounted, hybrid machines too.
TEST(CgroupDeviceProgramTest, TheKernelTakesItAndObeys) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  std::string mount;
  for (const char* path : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}) {
    if (access(absl::StrCat(path, "/cgroup.controllers").c_str(), F_OK) == 0) mount = path;
  }
  if (mount.empty()) GTEST_SKIP() << "no unified hierarchy";
  const std::string dir = absl::StrCat(mount, "/crisp-test-dev-", getpid());
  ASSERT_EQ(mkdir(dir.c_str(), 0755), 0);
  std::vector<OciDeviceRule> rules = DefaultDeviceRules();
  rules.push_back({.allow = false, .type = "c", .major = 1, .minor = 5, .access = "w"});
  for (const std::vector<OciDeviceRule>& first : {PrivilegedDeviceRules(), rules}) {
    absl::Status attached = AttachDeviceProgram(dir, *DeviceProgramV2(first));
    EXPECT_OK(attached);
  }
  pid_t child = fork();
  if (child == 0) {
    int procs = open((dir + "/cgroup.procs").c_str(), O_WRONLY);
    if (write(procs, "0", 1) != 1) _exit(1);
    if (open("/dev/null", O_RDWR) < 0) _exit(2);
    if (open("/dev/zero", O_RDONLY) < 0) _exit(3);
    if (open("/dev/zero", O_WRONLY) >= 0) _exit(4);
    if (open("/dev/kmsg", O_RDONLY) >= 0 || errno != EPERM) _exit(5);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(Eventually([&] { return rmdir(dir.c_str()) == 0; }));
}

}  // namespace
}  // namespace crisp::runtime
