// The bytes of plans, version by version: what a release has written once, every later one reads
// and can write.
//
// golden/plan-<version>.txt holds each version's. A test fails when the schema changes without a
// new version, for then the bytes of the present one change. For a new version raise kPlanVersion,
// give the new fields a value in Filled…() below and run this test with CRISP_WRITE_GOLDEN=1: it
// writes the file that is not there yet, and never another.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <typeinfo>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "runtime/plan/launch_plan.h"
#include "runtime/wire/plan_schema.h"
#include "runtime/wire/plan_view.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

// Every field has another value than its default.
ProcessPlan FilledProcess(uint16_t version) {
  ProcessPlan plan{.argv = {"/bin/sh", "-c", "exit 3"},
                   .env = {"PATH=/bin:/usr/bin", "EMPTY=", "BYTES=\xff\x01"},
                   .cwd = "/srv",
                   .uid = 1000,
                   .gid = 1001,
                   .groups = {10, 20, 0xfffffffe},
                   .cap_bounding = 0x1ffffffffff,
                   .cap_effective = 0xa80425fb,
                   .cap_permitted = 0xa80425ff,
                   .cap_inheritable = 0x400,
                   .cap_ambient = 0x401,
                   .no_new_privileges = true,
                   .terminal = true,
                   .terminal_rows = 24,
                   .terminal_columns = 80,
                   .oom_score_adj = -998,
                   .umask = 027,
                   .rlimits = {{7, {1024, 524288}}, {4, {0, ~uint64_t{0}}}},
                   .seccomp_bpf = std::string("\x06\0\0\0\0\0\xff\x7f", 8),
                   .seccomp_flags = 2,
                   .apparmor_profile = "crisp-default",
                   .selinux_label = "system_u:system_r:container_t:s0:c1,c2"};
  if (version >= 4) plan.io_priority = 3 << 13 | 4;
  return plan;
}

MountPlan FilledMount() {
  return {.kind = MountKind::kOverlay,
          .destination = "/volume",
          .source = "overlay",
          .type = "overlay",
          .options = {"ro", "mode=755"},
          .lowers = {"/layers/2/fs", Lower::Mount(0)},
          .sub_path = "data/deep",
          .attributes = 0x200007,
          .recursive_attributes = true,
          .recursive = false,
          .propagation = Propagation::kShared,
          .idmap = true,
          .uid_maps = {{0, 100000, 65536}},
          .gid_maps = {{0, 200000, 65536}, {65536, 1, 1}},
          .optional = true,
          .copy_up = true};
}

ContainerPlan FilledContainer(uint16_t version) {
  return {
      .container_id = "0c1",
      .process = FilledProcess(version),
      .lower_dirs = {"/layers/2/fs", Lower::Mount(1)},
      .upper_dir = "/containers/0c1/upper",
      .work_dir = "/containers/0c1/work",
      .rootfs_readonly = true,
      .mount_label = "system_u:object_r:container_file_t:s0:c1,c2",
      .rootfs_propagation = Propagation::kSlave,
      .mounts = {FilledMount(), {.kind = MountKind::kFs, .destination = "/proc", .type = "proc"}},
      .devices = {{.path = "/dev/fuse",
                   .type = 'b',
                   .major = 10,
                   .minor = 229,
                   .mode = 0600,
                   .uid = 1,
                   .gid = 2,
                   .host_path = "/dev/fuse"}},
      .masked_paths = {"/proc/kcore", "/sys/firmware"},
      .readonly_paths = {"/proc/sys"},
      .pid = NamespaceMode::kTarget,
      .target_pid = 4711,
      .ipc = NamespaceMode::kHost,
      .net = NamespaceMode::kHost,
      .uts = NamespaceMode::kPrivate,
      .private_cgroup_namespace = false,
      .cgroup_dirs = {"/sys/fs/cgroup/kubepods/pod1/0c1"},
      .cgroup_v2 = true,
      .log_path = "/var/log/pods/n_p_u/./c/0.log",
      .max_log_line = 4096,
      .stdin_open = true,
      .stdin_once = true,
      .exit_record = "/run/crisp/pods/0p1/exits/0c1"};
}

ExecPlan FilledExec(uint16_t version) {
  return {.exec_id = "0e1",
          .container_id = "0c1",
          .process = FilledProcess(version),
          .cgroup_dirs = {"/sys/fs/cgroup/memory/kubepods", "/sys/fs/cgroup/pids/kubepods"},
          .cgroup_v2 = true};
}

PodPlan FilledPod(uint16_t) {
  return {.pod_id = "0p1",
          .hostname = "web-0",
          .new_net = false,
          .new_ipc = false,
          .new_uts = false,
          .shared_pid = true,
          .uid_maps = {{0, 100000, 65536}},
          .gid_maps = {{0, 200000, 65536}},
          .sysctls = {{"net.ipv4.ip_unprivileged_port_start", "0"}, {"kernel.msgmax", "8192"}},
          .state_dir = "/run/crisp/pods/0p1",
          .shm_bytes = 1 << 20,
          .mount_label = "system_u:object_r:container_file_t:s0:c1,c2",
          .init_label = "system_u:system_r:container_t:s0:c1,c2",
          .cgroup_dirs = {"/sys/fs/cgroup/kubepods/pod1"},
          .cgroup_v2 = true};
}

// Looks at each field that the schema describes, of one struct and not of those within it.
template <class Owner>
class ExpectsFilled {
 public:
  template <class T>
  void operator()(const T& value) {
    ++fields_;
    EXPECT_FALSE(value == *DefaultOf(&value)) << typeid(Owner).name() << ", field " << fields_;
  }
  template <class T>
  void Since(uint16_t, const char* what, const Owner& owner, T Owner::*member) {
    EXPECT_FALSE(owner.*member == default_.*member) << what;
  }
  explicit ExpectsFilled(const Owner& owner) : owner_(owner) {}

 private:
  // The same place in a struct with nothing but defaults.
  template <class T>
  const T* DefaultOf(const T* value) const {
    const auto offset =
        reinterpret_cast<const char*>(value) - reinterpret_cast<const char*>(&owner_);
    return reinterpret_cast<const T*>(reinterpret_cast<const char*>(&default_) + offset);
  }
  const Owner& owner_;
  const Owner default_ = {};
  int fields_ = 0;
};

TEST(PlanSamples, LeaveNoFieldAtItsDefault) {
  const ContainerPlan container = FilledContainer(kPlanVersion);
  const ExecPlan exec = FilledExec(kPlanVersion);
  const PodPlan pod = FilledPod(kPlanVersion);
  ExpectsFilled<ContainerPlan> in_container(container);
  DescribeContainer(in_container, container);
  ExpectsFilled<ProcessPlan> in_process(container.process);
  DescribeProcess(in_process, container.process);
  ExpectsFilled<MountPlan> in_mount(container.mounts[0]);
  DescribeMount(in_mount, container.mounts[0]);
  ExpectsFilled<DevicePlan> in_device(container.devices[0]);
  DescribeDevice(in_device, container.devices[0]);
  ExpectsFilled<ExecPlan> in_exec(exec);
  DescribeExec(in_exec, exec);
  ExpectsFilled<PodPlan> in_pod(pod);
  DescribePod(in_pod, pod);
}

std::string FileOf(uint16_t version) {
  return absl::StrCat(CRISP_GOLDEN_DIR, "/plan-", version, ".txt");
}

std::string Dump(absl::string_view name, absl::string_view bytes) {
  std::string out = absl::StrCat("\n", name, ", ", bytes.size(), " bytes\n");
  for (size_t at = 0; at < bytes.size(); at += 16) {
    std::string hex, text;
    for (const char c : bytes.substr(at, 16)) {
      absl::StrAppendFormat(&hex, " %02x", static_cast<unsigned char>(c));
      text += absl::ascii_isprint(static_cast<unsigned char>(c)) ? c : '.';
    }
    absl::StrAppendFormat(&out, "%04x %-48s  %s\n", at, hex, text);
  }
  return out;
}

// By name: "pod", "container", "exec".
std::map<std::string, std::string> ReadDump(const std::string& text) {
  std::map<std::string, std::string> plans;
  std::string name;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.empty() || line[0] == '#') continue;
    if (const size_t comma = line.find(", "); absl::ascii_isalpha(line[0]) && comma != line.npos) {
      name = std::string(line.substr(0, comma));
      continue;
    }
    for (const absl::string_view byte :
         absl::StrSplit(line.substr(5, 48), ' ', absl::SkipEmpty())) {
      plans[name] += absl::HexStringToBytes(byte);
    }
  }
  return plans;
}

std::map<std::string, std::string> Encoded(uint16_t version) {
  std::map<std::string, std::string> plans;
  plans["pod"] = EncodePlan(FilledPod(version), version).value_or("refused");
  plans["container"] = EncodePlan(FilledContainer(version), version, {0, 1}).value_or("refused");
  plans["exec"] = EncodePlan(FilledExec(version), version).value_or("refused");
  return plans;
}

class PlanGolden : public ::testing::TestWithParam<uint16_t> {
 protected:
  void SetUp() override {
    const absl::StatusOr<std::string> text = ReadFile(FileOf(GetParam()));
    if (absl::IsNotFound(text.status()) && getenv("CRISP_WRITE_GOLDEN") != nullptr) {
      std::string written = absl::StrCat("# Launch plans of version ", GetParam(),
                                         ", see plan_golden_test.cc: what a release ",
                                         "has written stays as it is.\n");
      for (const auto& [name, bytes] : Encoded(GetParam())) written += Dump(name, bytes);
      ASSERT_OK(AtomicWriteFile(FileOf(GetParam()), written, 0644, Durability::kNone));
      golden_ = ReadDump(written);
      return;
    }
    ASSERT_OK(text)
        << "a version of plans without its golden bytes: CRISP_WRITE_GOLDEN=1 writes them";
    golden_ = ReadDump(*text);
    ASSERT_EQ(golden_.size(), 3u);
  }

  std::map<std::string, std::string> golden_;
};

TEST_P(PlanGolden, IsReadAsWhatWasMeant) {
  ASSERT_OK_AND_ASSIGN(const PodPlan pod, DecodePodPlan(golden_["pod"]));
  EXPECT_EQ(pod, FilledPod(GetParam()));
  ASSERT_OK_AND_ASSIGN(const ContainerPlan container, DecodeContainerPlan(golden_["container"]));
  EXPECT_EQ(container, FilledContainer(GetParam()));
  ASSERT_OK_AND_ASSIGN(const ExecPlan exec, DecodeExecPlan(golden_["exec"]));
  EXPECT_EQ(exec, FilledExec(GetParam()));
}

TEST_P(PlanGolden, IsWrittenForWhoReadsIt) {
  const std::map<std::string, std::string> encoded = Encoded(GetParam());
  for (const auto& [name, bytes] : encoded) {
    EXPECT_TRUE(golden_[name] == bytes)
        << name << " plans of version " << GetParam()
        << " are no longer written as they were: a change of the schema "
        << "needs a new version (runtime/wire/plan_schema.h)\nnow:" << Dump(name, bytes);
  }
}

// As the shim reads lists: an element's own fields have versions as well.
TEST_P(PlanGolden, TheShimsViewReadsItToo) {
  const std::string& bytes = golden_["container"];
  ContainerView view;
  ASSERT_TRUE(ParsePlan(bytes.data(), bytes.size(), PlanKind::kContainer, &view));
  EXPECT_EQ(view.mounts.size(), 2u);
  for (const MountView& mount : view.mounts) EXPECT_EQ(mount.destination.data[0], '/');
  EXPECT_TRUE(view.exit_record == "/run/crisp/pods/0p1/exits/0c1");
  EXPECT_EQ(view.process.io_priority, GetParam() >= 4 ? 3 << 13 | 4 : 0);
}

INSTANTIATE_TEST_SUITE_P(EveryVersion,
                         PlanGolden,
                         ::testing::Range<uint16_t>(kFirstPlanVersion, kPlanVersion + 1));

TEST(PlanVersions, WhatAnOlderOneLacksIsRefusedByNameUnlessItIsTheDefault) {
  ContainerPlan plan = FilledContainer(3);
  EXPECT_OK(EncodePlan(plan, 3, {0, 1}));
  plan.process.io_priority = 1 << 13;
  EXPECT_THAT(EncodePlan(plan, 3, {0, 1}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("ioPriority")));
  EXPECT_OK(EncodePlan(plan, 4, {0, 1}));
  ExecPlan exec = FilledExec(4);
  EXPECT_THAT(EncodePlan(exec, 3),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 4")));
  exec.process.io_priority = 0;
  EXPECT_OK(EncodePlan(exec, 3));
}

TEST(PlanVersions, AShimOfALaterReleaseGetsOurs) {
  const PodPlan pod = FilledPod(kPlanVersion);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePlan(pod, kPlanVersion + 5));
  EXPECT_EQ(bytes, EncodePlan(pod));
  EXPECT_THAT(EncodePlan(pod, kFirstPlanVersion - 1), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(PlanVersions, LaterPlansAreRefusedAsSuch) {
  std::string bytes = EncodePlan(FilledPod(kPlanVersion));
  ++bytes[offsetof(PlanHeader, version)];
  EXPECT_THAT(DecodePodPlan(bytes),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("later version")));
}

}  // namespace
}  // namespace crisp::runtime
