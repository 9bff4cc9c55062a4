#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"

// The things that a container finds where something was mounted.

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

class ShimMountsTest : public ShimTest {
 protected:
  void StartUsernsPod() {
    PodPlan pod = MakePod();
    pod.uid_maps = pod.gid_maps = {{0, 200000, 65536}};
    StartPod(pod);
  }
  std::string StartSleeper() {
    const ContainerPlan plan = MakeContainer("sleep 1000");
    EXPECT_OK(shim_->CreateContainer(plan, Operation()));
    EXPECT_OK(shim_->StartContainer(plan.container_id, Operation()));
    return plan.container_id;
  }
  absl::Status StartError(const ContainerPlan& plan) {
    EXPECT_OK(shim_->CreateContainer(plan, Operation()));
    return shim_->StartContainer(plan.container_id, Operation()).status();
  }
};

TEST_F(ShimMountsTest, APodsFilesAreOnASmallFileSystemOfItsOwn) {
  for (const bool userns : {false, true}) {
    if (userns)
      StartUsernsPod();
    else
      StartPod();
    const UniqueFd files = shim_->TakeFiles();
    ASSERT_TRUE(files.valid());
    EXPECT_FALSE(shim_->TakeFiles().valid());
    ASSERT_OK_AND_ASSIGN(const UniqueFd file,
                         OpenAt(files.get(), "hosts", O_WRONLY | O_CREAT | O_EXCL, 0644));
    ASSERT_OK(WriteAll(file.get(), "127.0.0.1 me\n", "hosts"));
    ASSERT_EQ(fchown(file.get(), userns ? 200000 : 0, userns ? 200000 : 0), 0);
    ContainerPlan plan = MakeContainer(
        "cat /etc/hosts; stat -c %u:%a /etc/hosts; dd if=/dev/zero of=/etc/hosts bs=64k count=64 "
        "2>/dev/null || echo full;"
        "test $(stat -c %s /etc/hosts) -le 262144 && echo bounded");
    plan.mounts.push_back({.destination = "/etc/hosts", .source = "pod:hosts", .attributes = 6});
    EXPECT_EQ(Run(plan), "127.0.0.1 me\n0:644\nfull\nbounded\n") << userns;
    struct stat status;
    ASSERT_EQ(fstat(file.get(), &status), 0);
    EXPECT_GT(status.st_size, 0) << "the container wrote to another file";
    for (const char* source : {"pod:", "pod:absent", "pod:../shim.sock"}) {
      ContainerPlan wrong = MakeContainer("true");
      wrong.mounts.push_back({.destination = "/etc/x", .source = source});
      const absl::Status created = shim_->CreateContainer(wrong, Operation());
      EXPECT_FALSE(created.ok()) << source;
    }
    TearDown();
  }
}

TEST_F(ShimMountsTest, AVolumeBelowAMountIsFilledFromTheImage) {
  const std::string above = MakeDir("above"), volume = MakeDir("own-volume");
  const std::string agent = busybox_layer_ + "/home/j/agent";
  ASSERT_OK(MakeDirs(agent));
  ASSERT_OK(AtomicWriteFile(agent + "/seed", "s\n", 0644, Durability::kNone));
  ASSERT_EQ(chown(agent.c_str(), 1000, 1001), 0);
  ASSERT_EQ(chmod(agent.c_str(), 0710), 0);
  StartPod();
  ContainerPlan plan =
      MakeContainer("stat -c %u:%g:%a /home/j/agent; cat /home/j/agent/seed; ls /home/j");
  plan.mounts.push_back({.destination = "/home/j", .source = above});
  plan.mounts.push_back({.destination = "/home/j/agent", .source = volume, .copy_up = true});
  EXPECT_EQ(Run(plan), "1000:1001:710\ns\nagent\n");
}

TEST_F(ShimMountsTest, WhatMayBeMissingIsLeftOutWhereItHasNoPlace) {
  const std::string volume = MakeDir("etc-volume");
  ASSERT_OK(AtomicWriteFile(volume + "/mine", "mine\n", 0644, Durability::kNone));
  ASSERT_OK(AtomicWriteFile(dir_.path() + "/hosts", "podhosts\n", 0644, Durability::kNone));
  StartPod();
  for (const bool read_only : {true, false}) {
    ContainerPlan plan = MakeContainer("cat /etc/mine; cat /etc/hosts 2>/dev/null; true");
    plan.mounts.push_back(
        {.destination = "/etc", .source = volume, .attributes = read_only ? 1u : 0u});
    plan.mounts.push_back(
        {.destination = "/etc/hosts", .source = dir_.path() + "/hosts", .optional = true});
    EXPECT_EQ(Run(plan), read_only ? "mine\n" : "mine\npodhosts\n");
  }
}

TEST_F(ShimMountsTest, ADirectoryAndAFileDoNotGoTogetherAndItSaysSo) {
  const std::string directory = MakeDir("a-directory"), file = storage_ + "/a-file";
  ASSERT_OK(AtomicWriteFile(file, "", 0644, Durability::kNone));
  ASSERT_OK(AtomicWriteFile(busybox_layer_ + "/etc/group", "", 0644, Durability::kNone));
  StartPod();
  ContainerPlan onto_file = MakeContainer("true");
  onto_file.mounts.push_back({.destination = "/etc/group", .source = directory});
  EXPECT_THAT(StartError(onto_file),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr(absl::StrCat("a directory cannot be mounted on a file: ",
                                              directory, " on /etc/group"))));
  ContainerPlan onto_directory = MakeContainer("true");
  onto_directory.mounts.push_back({.destination = "/tmp", .source = file});
  EXPECT_THAT(StartError(onto_directory),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr(absl::StrCat("a file cannot be mounted on a directory: ", file,
                                              " on /tmp"))));
}

// As with an export that squashes root: in a user namespace root is nobody to a directory of the
// host's.
TEST_F(ShimMountsTest, TheUserEntersADirectoryThatRootMayNot) {
  const std::string volume = MakeDir("squashed");
  ASSERT_OK(MakeDirs(volume + "/home"));
  for (const std::string& path : {volume, volume + "/home"}) {
    ASSERT_EQ(chown(path.c_str(), 0, 201000), 0);
    ASSERT_EQ(chmod(path.c_str(), 0770), 0);
  }
  StartUsernsPod();
  ContainerPlan plan = MakeContainer("pwd; sleep 1000");
  plan.mounts.push_back({.destination = "/vol", .source = volume});
  plan.process.cwd = "/vol/home";
  plan.process.uid = plan.process.gid = 1000;
  plan.process.groups = {1000};
  plan.process.cap_effective = plan.process.cap_permitted = 0;
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  ExecPlan exec = MakeExec(plan.container_id, "pwd");
  exec.process.cwd = plan.process.cwd;
  exec.process.uid = exec.process.gid = 1000;
  EXPECT_EQ(RunExec(exec), "/vol/home\n");
  EXPECT_TRUE(AwaitLog(plan, "\n"));
  ASSERT_OK(shim_->Signal(plan.container_id, SIGKILL));
  observer_.WaitContainer(plan.container_id);
  EXPECT_EQ(LogOf(plan), "/vol/home\n");
  ContainerPlan other = plan;
  other.container_id = MakeContainer("").container_id;
  other.upper_dir = MakeDir("other/upper");
  other.work_dir = MakeDir("other/work");
  other.process.uid = other.process.gid = 1002;
  other.process.groups = {1002};
  EXPECT_THAT(StartError(other), StatusIs(absl::StatusCode::kPermissionDenied,
                                          HasSubstr("change to working directory /vol/home")));
}

TEST_F(ShimMountsTest, StdioCanBeOpenedByName) {
  const std::string script =
      "echo out > /dev/stdout; echo err > /dev/stderr; echo again >> /proc/self/fd/1; stat -L -c "
      "%u /dev/stdout";
  for (const bool userns : {false, true}) {
    if (userns)
      StartUsernsPod();
    else
      StartPod();
    const std::string sleeper = StartSleeper();
    for (const uint32_t uid : {0u, 1000u}) {
      const std::string expected = absl::StrCat("out\nerr\nagain\n", uid, "\n");
      ContainerPlan plan = MakeContainer(script);
      plan.process.uid = plan.process.gid = uid;
      if (uid != 0) plan.process.cap_effective = plan.process.cap_permitted = 0;
      const std::string log =
          Run(plan);  // of two pipes: stderr's line is anywhere between stdout's
      EXPECT_THAT(log, HasSubstr("err\n")) << userns;
      EXPECT_EQ(absl::StrReplaceAll(log, {{"err\n", ""}}), absl::StrCat("out\nagain\n", uid, "\n"))
          << userns;
      ExecPlan exec = MakeExec(sleeper, script);
      exec.process.uid = exec.process.gid = uid;
      if (uid != 0) exec.process.cap_effective = exec.process.cap_permitted = 0;
      EXPECT_EQ(RunExec(exec), expected) << userns;
    }
    TearDown();
  }
}

TEST_F(ShimMountsTest, AFreshFileSystemHasThePlansLinks) {
  StartPod();
  ContainerPlan plan =
      MakeContainer("readlink /groups/cpu; touch /groups/x 2>/dev/null || echo ro");
  plan.mounts.push_back({.kind = MountKind::kFs,
                         .destination = "/groups",
                         .type = "tmpfs",
                         .options = {"mode=755"},
                         .lowers = {"cpu cpu,cpuacct"},
                         .attributes = 1});
  EXPECT_EQ(Run(plan), "cpu,cpuacct\nro\n");
}

}  // namespace
}  // namespace crisp::runtime
