#include "runtime/cgroup/cgroup_resources.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "runtime/cgroup/cgroup_devices.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/oci/default_spec.h"

namespace crisp::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// "controller/file=value" with a "?" behind an optional file, space separated.
std::string Text(const OciResources& resources, bool v2) {
  absl::StatusOr<std::vector<CgroupWrite>> writes = CgroupWrites(resources, v2);
  if (!writes.ok()) return std::string(writes.status().message());
  std::string text;
  for (const CgroupWrite& w : *writes) {
    if (!text.empty()) text += "; ";
    text += w.controller + "/" + w.file + (w.optional ? "?" : "") + "=" + w.value;
  }
  return text;
}

OciResources Sample() {
  OciResources r;
  r.cpu = {.shares = 512, .quota = 50000, .period = 100000, .cpus = "0-1", .mems = "0"};
  r.memory = {.limit = 1000, .swap = 1500};
  r.pids = OciPids{.limit = 7};
  r.hugepage_limits = {{"2MB", 4096}};
  return r;
}

TEST(CgroupResourcesTest, WritesV1) {
  EXPECT_EQ(Text(Sample(), false),
            "cpu/cpu.shares=512; cpu/cpu.cfs_period_us=100000; cpu/cpu.cfs_quota_us=50000; "
            "cpuset/cpuset.cpus=0-1; cpuset/cpuset.mems=0; "
            "memory/memory.limit_in_bytes=1000; memory/memory.memsw.limit_in_bytes?=1500; "
            "pids/pids.max=7; hugetlb/hugetlb.2MB.limit_in_bytes?=4096; "
            "hugetlb/hugetlb.2MB.rsvd.limit_in_bytes?=4096");
}

TEST(CgroupResourcesTest, WritesV2) {
  EXPECT_EQ(Text(Sample(), true),
            "/cpu.weight=59; /cpu.max=50000 100000; /cpuset.cpus=0-1; /cpuset.mems=0; "
            "/memory.max=1000; /memory.swap.max?=500; /pids.max=7; /hugetlb.2MB.max?=4096; "
            "/hugetlb.2MB.rsvd.max?=4096");
}

TEST(CgroupResourcesTest, UnsetIsNotWritten) {
  OciResources zeros;
  zeros.cpu = {.shares = 0, .quota = 0, .period = 0};
  zeros.memory = {.limit = 0, .swap = 0};
  EXPECT_EQ(Text(zeros, false), "");
  EXPECT_EQ(Text(zeros, true), "");
}

TEST(CgroupResourcesTest, UnlimitedAndSwap) {
  OciResources r;
  r.memory.limit = -1;
  r.cpu.quota = -1;
  r.pids = OciPids{.limit = -1};
  EXPECT_EQ(Text(r, false),
            "cpu/cpu.cfs_quota_us=-1; memory/memory.limit_in_bytes=-1; "
            "memory/memory.memsw.limit_in_bytes?=-1; pids/pids.max=max");
  EXPECT_EQ(Text(r, true),
            "/cpu.max=max 100000; /memory.max=max; /memory.swap.max?=max; /pids.max=max");
  r = {};
  r.memory.limit = 1000;  // no swap asked for: none
  EXPECT_EQ(Text(r, true), "/memory.max=1000; /memory.swap.max?=0");
  EXPECT_EQ(Text(r, false),
            "memory/memory.limit_in_bytes=1000; memory/memory.memsw.limit_in_bytes?=1000");
}

TEST(CgroupResourcesTest, InitialValues) {
  for (const CgroupWrite& write :
       {CgroupWrite{"cpu", "cpu.cfs_period_us", "100000"},
        CgroupWrite{"cpu", "cpu.cfs_quota_us", "-1"}, CgroupWrite{"", "cpu.max", "max 100000"}}) {
    EXPECT_TRUE(IsInitialValue(write)) << write.file;
  }
  for (const CgroupWrite& write :
       {CgroupWrite{"cpu", "cpu.cfs_period_us", "50000"},
        CgroupWrite{"cpu", "cpu.cfs_quota_us", "100000"}, CgroupWrite{"", "cpu.max", "max 50000"},
        CgroupWrite{"memory", "memory.limit_in_bytes", "-1"}}) {
    EXPECT_FALSE(IsInitialValue(write)) << write.file << " " << write.value;
  }
}

TEST(CgroupResourcesTest, BlockIo) {
  OciResources r;
  r.block_io.weight = 500;
  r.block_io.weight_device = {{.major = 8, .minor = 0, .weight = 10}};
  r.block_io.throttle_read_bps = {{8, 0, 100}};
  r.block_io.throttle_write_iops = {{8, 16, 200}};
  EXPECT_EQ(Text(r, true),
            "/io.bfq.weight?=500; /io.weight?=default 4950; /io.bfq.weight?=8:0 10; "
            "/io.weight?=8:0 1; /io.max=8:0 rbps=100; "
            "/io.max=8:16 wiops=200");
  EXPECT_EQ(Text(r, false),
            "blkio/blkio.bfq.weight?=500; blkio/blkio.weight?=500; "
            "blkio/blkio.bfq.weight_device?=8:0 10; blkio/blkio.weight_device?=8:0 10; "
            "blkio/blkio.throttle.read_bps_device=8:0 100; "
            "blkio/blkio.throttle.write_iops_device=8:16 200");
}

TEST(CgroupResourcesTest, UnifiedIsRawOnV2AndRefusedOnV1) {
  OciResources r;
  r.memory.limit = 5;
  r.unified = {{"memory.max", "7"}};
  EXPECT_EQ(Text(r, true), "/memory.max=5; /memory.swap.max?=0; /memory.max=7");
  EXPECT_THAT(Text(r, false), HasSubstr("needs cgroup v2"));
  for (const char* key : {"", "../x.y", "cgroup.procs", "cgroup.kill", "nodot", ".x"}) {
    r.unified = {{key, "1"}};
    EXPECT_THAT(Text(r, true), HasSubstr("unified")) << key;
  }
}

TEST(CgroupResourcesTest, RefusesWhatCannotBe) {
  auto refused = [](auto change) {
    OciResources r;
    change(r);
    return !CgroupWrites(r, true).ok() && !CgroupWrites(r, false).ok();
  };
  EXPECT_TRUE(refused([](OciResources& r) { r.cpu.quota = -2; }));
  EXPECT_TRUE(refused([](OciResources& r) { r.memory.limit = -2; }));
  EXPECT_TRUE(refused([](OciResources& r) { r.memory = {.limit = 10, .swap = 9}; }));
  EXPECT_TRUE(refused([](OciResources& r) { r.memory = {.limit = -1, .swap = 9}; }));
  EXPECT_TRUE(refused([](OciResources& r) { r.cpu.cpus = "0\n1"; }));
  EXPECT_TRUE(refused([](OciResources& r) { r.hugepage_limits = {{"../2MB", 1}}; }));
}

TEST(CgroupResourcesTest, RefusesWhatIsNoLimit) {
  OciResources r;
  r.unified = {{"memory.reclaim", "1M"}};
  EXPECT_THAT(CgroupWrites(r, true),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a limit")));
}

// The files of groups, as far as the cause is read from them.
TEST(CgroupRefusalTest, NamesTheCause) {
  const TempDir dir;
  const std::string root = dir.path(), parent = root + "/parent", group = parent + "/group";
  ASSERT_OK(MakeDirs(group, 0755));
  const auto put = [](const std::string& file, absl::string_view text) {
    ASSERT_OK(AtomicWriteFile(file, text, 0644, Durability::kNone));
  };
  put(root + "/cgroup.controllers", "cpu memory\n");
  put(root + "/cgroup.subtree_control", "cpu memory\n");
  put(parent + "/cgroup.controllers", "cpu memory\n");
  put(parent + "/cgroup.subtree_control", "cpu\n");
  put(parent + "/cgroup.procs", "42\n43\n");
  const auto refused = [&group](const std::string& file, int error) {
    return LimitRefused({.file = file, .value = "7"}, group, ErrnoError(error, "open"));
  };
  EXPECT_THAT(
      refused("memory.max", ENOENT),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("memory.max cannot be set to \"7\""),
                     HasSubstr("no internal processes"), HasSubstr("pid 42 is in " + parent))));
  put(parent + "/cgroup.procs", "");
  EXPECT_THAT(refused("memory.max", ENOENT),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr(parent + "/cgroup.subtree_control")));
  EXPECT_THAT(refused("cpu.nothing", ENOENT),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no such file")));
  EXPECT_THAT(refused("rdma.max", ENOENT),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("controller rdma")));
  const absl::Status invalid = refused("cpuset.cpus", ERANGE);
  EXPECT_THAT(invalid, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("(cgroup " + group)));
  EXPECT_EQ(ErrnoOf(invalid), ERANGE);
}

TEST(CgroupResourcesTest, ConvertsWeights) {
  EXPECT_EQ(SharesToWeight(0), 0u);
  EXPECT_EQ(SharesToWeight(2), 1u);
  EXPECT_EQ(SharesToWeight(3), 2u);
  EXPECT_EQ(SharesToWeight(100), 17u);
  EXPECT_EQ(SharesToWeight(512), 59u);
  EXPECT_EQ(SharesToWeight(1024), 100u);
  EXPECT_EQ(SharesToWeight(2048), 174u);
  EXPECT_EQ(SharesToWeight(262143), 10000u);
  EXPECT_EQ(SharesToWeight(262144), 10000u);
  EXPECT_EQ(SharesToWeight(UINT64_MAX), 10000u);
  EXPECT_EQ(BlkioToIoWeight(10), 1u);
  EXPECT_EQ(BlkioToIoWeight(1000), 10000u);
}

TEST(CgroupResourcesTest, MergesAChange) {
  OciResources change;
  change.cpu.shares = 99;
  change.cpu.quota = 0;  // keep
  change.hugepage_limits = {{"2MB", 1}, {"1GB", 2}};
  change.unified = {{"a.b", "c"}};
  OciResources merged = MergeResources(Sample(), change);
  EXPECT_EQ(merged.cpu.shares, 99u);
  EXPECT_EQ(merged.cpu.quota, 50000);
  EXPECT_EQ(merged.memory.limit, 1000);
  ASSERT_EQ(merged.hugepage_limits.size(), 2u);
  EXPECT_EQ(merged.hugepage_limits[0].limit, 1u);
  EXPECT_EQ(merged.unified.at("a.b"), "c");
}

TEST(CgroupResourcesTest, KnowsTheWayBack) {
  EXPECT_EQ(UndoValue({.file = "memory.max", .value = "5"}, "max\n"), "max");
  EXPECT_EQ(UndoValue({.file = "cpu.max", .value = "5 6"}, "max 100000\n"), "max 100000");
  EXPECT_EQ(
      UndoValue({.file = "io.max", .value = "8:0 rbps=1"}, "8:16 rbps=2\n8:0 rbps=3 wbps=max\n"),
      "8:0 rbps=3 wbps=max");
  EXPECT_EQ(UndoValue({.file = "io.max", .value = "8:0 rbps=1"}, ""),
            "8:0 rbps=max wbps=max riops=max wiops=max");
  EXPECT_EQ(UndoValue({.file = "blkio.throttle.read_bps_device", .value = "8:0 1"}, ""), "8:0 0");
  EXPECT_EQ(UndoValue({.file = "io.weight", .value = "default 7"}, "default 100\n8:0 50\n"),
            "default 100");
  EXPECT_EQ(
      UndoValue({.file = "memory.oom_control", .value = "1"}, "oom_kill_disable 0\nunder_oom 0\n"),
      "0");
}

TEST(CgroupDevicesTest, V1Writes) {
  std::vector<CgroupWrite> writes = *DeviceWritesV1(DefaultDeviceRules());
  EXPECT_EQ(writes[0], (CgroupWrite{"devices", "devices.deny", "a"}));
  EXPECT_EQ(writes[1], (CgroupWrite{"devices", "devices.allow", "c *:* m"}));
  EXPECT_EQ(writes[3], (CgroupWrite{"devices", "devices.allow", "c 1:3 rwm"}));
  // "a" with less than everything must not become everything.
  writes = *DeviceWritesV1({{.allow = true, .type = "a", .major = 8, .access = "r"}});
  ASSERT_EQ(writes.size(), 2u);
  EXPECT_EQ(writes[0].value, "b 8:* r");
  EXPECT_EQ(writes[1].value, "c 8:* r");
}

TEST(CgroupDevicesTest, RefusesNonsense) {
  for (const OciDeviceRule& rule :
       {OciDeviceRule{.type = "x"}, OciDeviceRule{.access = "rx"}, OciDeviceRule{.major = -2},
        OciDeviceRule{.minor = int64_t{1} << 40}}) {
    EXPECT_FALSE(DeviceWritesV1({rule}).ok());
    EXPECT_FALSE(DeviceProgramV2({rule}).ok());
  }
}

}  // namespace
}  // namespace crisp::runtime
