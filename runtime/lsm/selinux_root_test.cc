#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "runtime/lsm/selinux.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

constexpr char kLabel[] = "system_u:object_r:container_file_t:s0:c1,c2";

std::string LabelOf(const std::string& path) {
  char value[256] = {};
  const ssize_t size = ::lgetxattr(path.c_str(), "security.selinux", value, sizeof(value) - 1);
  return size < 0 ? "" : std::string(value);
}

// Labels are extended attributes also if no SELinux looks at them, so most of this needs none. If
// SELinux is on, the policy must know the context.
class RelabelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const SelinuxHost host = DetectSelinux();
    if (host.enabled && !host.unusable.empty()) GTEST_SKIP() << host.unusable;
    ASSERT_EQ(::mount("labels", dir_.path().c_str(), "tmpfs", 0, nullptr), 0);
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) ::umount2(dir_.path().c_str(), MNT_DETACH);
  }
  std::string At(const std::string& name) { return absl::StrCat(dir_.path(), "/", name); }
  void Write(const std::string& name) {
    ASSERT_OK(AtomicWriteFile(At(name), "x", 0644, Durability::kNone));
  }

  TempDir dir_;
  bool mounted_ = false;
};

TEST_F(RelabelTest, LabelsAllThatIsInATreeAndNothingBehindItsLinks) {
  ASSERT_OK(MakeDirs(At("volume/a/b")));
  ASSERT_OK(MakeDirs(At("outside")));
  Write("volume/a/b/file");
  Write("outside/file");
  ASSERT_EQ(::symlink("../outside", At("volume/link").c_str()), 0);
  ASSERT_EQ(::symlink("../outside/file", At("volume/a/link").c_str()), 0);
  ASSERT_EQ(::mkfifo(At("volume/a/fifo").c_str(), 0600), 0);
  const std::string before = LabelOf(At("outside/file"));
  ASSERT_OK(RelabelTree(At("volume"), kLabel));
  for (const char* name :
       {"volume", "volume/a", "volume/a/b", "volume/a/b/file", "volume/link", "volume/a/fifo"}) {
    EXPECT_EQ(LabelOf(At(name)), kLabel) << name;
  }
  EXPECT_EQ(LabelOf(At("outside/file")), before);
  EXPECT_EQ(LabelOf(At("outside")), before);
}

TEST_F(RelabelTest, AVolumeMayBeOneFile) {
  Write("file");
  ASSERT_OK(RelabelTree(At("file"), kLabel));
  EXPECT_EQ(LabelOf(At("file")), kLabel);
}

TEST_F(RelabelTest, WhatIsMountedInATreeBelongsToIt) {
  ASSERT_OK(MakeDirs(At("volume/inner")));
  ASSERT_OK(MakeDirs(At("volume/sys")));
  ASSERT_EQ(::mount("inner", At("volume/inner").c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_EQ(::mount("sys", At("volume/sys").c_str(), "sysfs", MS_RDONLY, nullptr), 0);
  Write("volume/inner/file");
  Write("volume/last");
  const std::string before = LabelOf(At("volume/sys"));
  EXPECT_OK(RelabelTree(At("volume"), kLabel));
  for (const char* name : {"volume", "volume/inner", "volume/inner/file", "volume/last"}) {
    EXPECT_EQ(LabelOf(At(name)), kLabel) << name;
  }
  EXPECT_EQ(LabelOf(At("volume/sys")), before) << "the kernel's own";
  ::umount2(At("volume/inner").c_str(), MNT_DETACH);
  ::umount2(At("volume/sys").c_str(), MNT_DETACH);
}

TEST_F(RelabelTest, NoBindMountLeadsToTheSystemsDirectories) {
  ASSERT_OK(MakeDirs(At("volume/inner")));
  const std::string before = LabelOf("/etc");
  for (const char* name : {"volume/inner", "volume"}) {
    ASSERT_EQ(::mount("/etc", At(name).c_str(), nullptr, MS_BIND, nullptr), 0);
    EXPECT_THAT(RelabelTree(At("volume"), kLabel),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the system's /etc")));
    ::umount2(At(name).c_str(), MNT_DETACH);
  }
  EXPECT_EQ(LabelOf("/etc"), before);
}

TEST_F(RelabelTest, DeepTreesEndSomewhere) {
  std::string path = At("deep");
  ASSERT_OK(MakeDirs(path));
  const UniqueFd home(::open(".", O_PATH | O_CLOEXEC));
  ASSERT_EQ(::chdir(path.c_str()), 0);
  for (int i = 0; i < 1100; ++i) {
    ASSERT_EQ(::mkdir("d", 0755), 0);
    ASSERT_EQ(::chdir("d"), 0);
  }
  ASSERT_EQ(::fchdir(home.get()), 0);
  EXPECT_THAT(RelabelTree(path, kLabel),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too deeply")));
}

TEST(SelinuxTest, TheSystemsDirectoriesKeepTheirLabels) {
  for (const char* path : {"/", "/etc", "/etc/", "//var/./lib", "/usr", "/usr/lib/x", "/proc/1",
                           "/home", "/tmp", "/etc/shadow", "/etc/pki/tls", "/dev/shm"}) {
    EXPECT_TRUE(IsSystemPath(path)) << path;
    EXPECT_THAT(RelabelTree(path, kLabel), StatusIs(absl::StatusCode::kInvalidArgument)) << path;
  }
  for (const char* path : {"/var/lib/kubelet/pods/x", "/srv/data", "/etc/app", "/home/me", "/tmp/x",
                           "/data", "/usrlocal", "/run/secrets"}) {
    EXPECT_FALSE(IsSystemPath(path)) << path;
  }
}

TEST(SelinuxTest, WhatIsMissingIsSaid) {
  EXPECT_THAT(RelabelTree("/nowhere/at/all", kLabel), StatusIs(absl::StatusCode::kNotFound));
}

TEST(SelinuxTest, TheKernelKnowsWhichContextsThereAre) {
  const SelinuxHost host = DetectSelinux();
  if (!host.enabled) GTEST_SKIP() << "no SELinux in this kernel";
  EXPECT_THAT(CheckSelinuxContext("system_u:system_r:no_such_type_t:s0"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no_such_type_t")));
  EXPECT_OK(CheckSelinuxContext("system_u:system_r:init_t:s0"));
  EXPECT_TRUE(host.levels);
}

}  // namespace
}  // namespace crisp::runtime
