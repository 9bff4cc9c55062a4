// Mounts that travel between the host and containers.

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"

namespace crisp::runtime {
namespace {

constexpr int kMounts = 300;

class ShimPropagationTest : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    shared_ = MakeDir("shared");
    ASSERT_EQ(mount(shared_.c_str(), shared_.c_str(), nullptr, MS_BIND, nullptr), 0);
    // A peer group of its own: in that of a shared parent everything would be seen there once more.
    ASSERT_EQ(mount(nullptr, shared_.c_str(), nullptr, MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount(nullptr, shared_.c_str(), nullptr, MS_SHARED, nullptr), 0);
  }
  void TearDown() override {
    ShimTest::TearDown();
    while (umount2(shared_.c_str(), MNT_DETACH) == 0) {
    }
  }

  // Mounts below the source, one after another, until it is told to stop or has made them all.
  void MountBelow(const std::atomic<bool>& stop) {
    while (mounted_ < kMounts && !stop) {
      const std::string target = absl::StrCat(shared_, "/", mounted_.load());
      ASSERT_OK(MakeDirs(target));
      ASSERT_EQ(mount("none", target.c_str(), "tmpfs", 0, "size=4k"), 0);
      ++mounted_;
      usleep(300);
    }
  }
  void UnmountBelow() {
    for (int i = 0; i < mounted_; ++i) {
      ASSERT_TRUE(Unmount(absl::StrCat(shared_, "/", i))) << i;
    }
  }
  // Somebody may be on his way through it at this moment, or look at all there are.
  bool Unmount(const std::string& path) {
    int error = 0;
    return Eventually([&] {
             error = umount2(path.c_str(), 0) == 0 ? 0 : errno;
             return error != EBUSY;
           }) &&
           error == 0;
  }
  // How many of them a process sees below `path`.
  int SeenBelow(pid_t pid, const std::string& path) {
    const std::string table = ReadFile(absl::StrCat("/proc/", pid, "/mountinfo")).value_or("");
    int seen = 0;
    for (absl::string_view line : absl::StrSplit(table, '\n')) {
      seen += absl::StrContains(line, absl::StrCat(" ", path, "/")) ? 1 : 0;
    }
    return seen;
  }
  // A container is created and started while the host mounts: it has to see every single one.
  void LoseNothing(const PodPlan& pod, Propagation propagation) {
    StartPod(pod);
    for (int round = 0; round < 5; ++round) {
      ContainerPlan plan = MakeContainer("sleep 100");
      plan.mounts.push_back({.destination = "/mounts",
                             .source = shared_,
                             .recursive = true,
                             .propagation = propagation});
      std::atomic<bool> stop = false;
      mounted_ = 0;
      std::thread host([&] { MountBelow(stop); });
      EXPECT_TRUE(Eventually([this] { return mounted_ > 0; }));
      ASSERT_OK(shim_->CreateContainer(plan, Operation()));
      const absl::StatusOr<StartedProcess> started =
          shim_->StartContainer(plan.container_id, Operation());
      usleep(2000);
      stop = true;
      host.join();
      ASSERT_OK(started);
      EXPECT_GT(mounted_, 0);
      EXPECT_EQ(SeenBelow(started->pid, "/mounts"), mounted_);
      EXPECT_EQ(SeenBelow(getpid(), shared_), mounted_);  // none was taken from the host
      UnmountBelow();
      EXPECT_EQ(SeenBelow(started->pid, "/mounts"), 0);
      ASSERT_OK(shim_->Signal(plan.container_id, SIGKILL));
      (void)observer_.WaitContainer(plan.container_id);
      ASSERT_OK(shim_->RemoveContainer(plan.container_id));
    }
  }

  std::string shared_;
  std::atomic<int> mounted_ = 0;
};

TEST_F(ShimPropagationTest, BidirectionalMountReachesTheHost) {
  StartPod();
  ASSERT_OK(MakeDirs(shared_ + "/sub"));
  ContainerPlan plan = MakeContainer(
      "mount -t tmpfs none /shared/sub && echo seen >/shared/sub/g && mv /shared/sub/g "
      "/shared/sub/f; sleep 100");
  plan.mounts.push_back(
      {.destination = "/shared", .source = shared_, .propagation = Propagation::kShared});
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  EXPECT_TRUE(Eventually([&] { return access((shared_ + "/sub/f").c_str(), F_OK) == 0; }));
  EXPECT_EQ(ReadFile(shared_ + "/sub/f").value_or("missing"), "seen\n");
  EXPECT_TRUE(Unmount(shared_ + "/sub"));
}

TEST_F(ShimPropagationTest, HostToContainerLosesNothing) {
  LoseNothing(MakePod(), Propagation::kSlave);
}

TEST_F(ShimPropagationTest, BidirectionalLosesNothing) {
  LoseNothing(MakePod(), Propagation::kShared);
}

TEST_F(ShimPropagationTest, HostToContainerLosesNothingWithMappedUsers) {
  PodPlan pod = MakePod();
  pod.uid_maps = pod.gid_maps = {{0, 200000, 65536}};
  LoseNothing(pod, Propagation::kSlave);
}

TEST_F(ShimPropagationTest, SourceThatIsGoneAtTheStart) {
  StartPod();
  const std::string gone = MakeDir("gone");
  ContainerPlan plan = MakeContainer("true");
  plan.mounts.push_back(
      {.destination = "/gone", .source = gone, .propagation = Propagation::kSlave});
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_EQ(rmdir(gone.c_str()), 0);
  const absl::Status started = shim_->StartContainer(plan.container_id, Operation()).status();
  EXPECT_THAT(started.ToString(), ::testing::HasSubstr(gone));
}

}  // namespace
}  // namespace crisp::runtime
