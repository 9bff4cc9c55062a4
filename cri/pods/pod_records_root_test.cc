// The fate of pods whose records are lost, spoilt or cannot be written, and `crispd reset`.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/database.h"
#include "base/file.h"
#include "base/id.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "cri/pods/pod_reset.h"
#include "cri/pods/testing/pod_faults_fixture.h"

namespace crisp::cri {
namespace {

class PodRecordsTest : public PodFaultsTest {
 protected:
  void LoseDatabase() {
    for (const char* part : {"", "-wal", "-shm"})
      (void)::unlink((State() + "/state.db" + part).c_str());
  }
  void Spoil(const std::string& id) {
    ASSERT_OK_AND_ASSIGN(auto rows,
                         Database::Open(State() + "/state.db", Database::Sync::kOff, ""));
    ASSERT_OK(rows->Execute("UPDATE records SET data = 'garbage' WHERE id = ?", {id}).status());
  }
  void LoseCopies(const std::string& pod) {
    ASSERT_OK(RemoveTree(absl::StrCat(State(), "/pods/", pod, "/record")));
    ASSERT_OK(RemoveTree(absl::StrCat(State(), "/pods/", pod, "/records")));
  }
  void Erase(const std::string& id) {
    ASSERT_OK_AND_ASSIGN(auto rows,
                         Database::Open(State() + "/state.db", Database::Sync::kOff, ""));
    ASSERT_OK(rows->Execute("DELETE FROM records WHERE id = ?", {id}).status());
  }
  // As a daemon leaves it that is killed in the middle of making or removing the container.
  void Interrupt(const std::string& id, state::ContainerRecord::Stage stage) {
    ASSERT_OK_AND_ASSIGN(auto rows,
                         Database::Open(State() + "/state.db", Database::Sync::kOff, ""));
    state::ContainerRecord record;
    ASSERT_OK(rows->Execute("SELECT data FROM records WHERE id = ?", {id},
                            [&](const Database::Row& row) {
                              ASSERT_TRUE(record.ParseFromString(row.Text(0)));
                            })
                  .status());
    record.set_stage(stage);
    ASSERT_OK(
        rows->Execute("UPDATE records SET data = ? WHERE id = ?", {record.SerializeAsString(), id})
            .status());
  }
  // Neither clients nor the pod's shim know any container, nor has the kernel a group of one.
  void ExpectNoContainer(const std::string& pod, const std::vector<std::string>& ids) {
    EXPECT_TRUE(Eventually([&] {
      EXPECT_EQ(Containers(), 0u);
      const auto shim = manager_->table().FindReadyPod(pod);
      if (!shim.ok()) return false;
      const auto reports = (*shim)->Report();
      if (!reports.ok()) return false;
      size_t held = reports->size();
      for (const std::string& id : ids)
        held += ::access(GroupOf(pod, id).PrimaryDir().c_str(), F_OK) == 0;
      return held == 0;
    }));
    EXPECT_EQ(Containers(), 0u);
  }
  void ExpectReleased() {
    EXPECT_TRUE(Eventually([&] { return images_->PinnedKeys().empty(); }));
  }
  // Everything is as before, and goes on.
  void ExpectAllThere(const std::string& pod,
                      const std::string& running,
                      const std::string& ended) {
    EXPECT_EQ(PodStatusOf(pod).state(), v1::SANDBOX_READY);
    EXPECT_EQ(PodStatusOf(pod).metadata().name(), "web");
    EXPECT_EQ(PodStatusOf(pod).network().ip(), "10.1.2.3");
    EXPECT_EQ(StatusOf(running).state(), v1::CONTAINER_RUNNING);
    EXPECT_EQ(AwaitExited(ended).exit_code(), 4);
    ASSERT_OK_AND_ASSIGN(const v1::ExecSyncResponse reply, Exec(running, "echo here", 10));
    EXPECT_EQ(reply.stdout(), "here\n");
    EXPECT_EQ(RunPod("web"), pod) << "no twin";
  }
};

TEST_F(PodRecordsTest, ALostDatabaseForgetsNothingThatLives) {
  const std::string pod = RunPod("web");
  const std::string running = RunContainer(pod, "running", "sleep 1000");
  const std::string ended = RunContainer(pod, "ended", "exit 4");
  AwaitExited(ended);
  End();
  LoseDatabase();
  Start();
  ExpectAllThere(pod, running, ended);
  End();
  ASSERT_EQ(::truncate((State() + "/state.db").c_str(), 0), 0);
  (void)::unlink((State() + "/state.db-wal").c_str());
  Start();
  ExpectAllThere(pod, running, ended);
  EXPECT_OK(RemovePod(pod));
  EXPECT_TRUE(GroupsGone(pod));
  // Removed pods do not come back.
  End();
  LoseDatabase();
  Start();
  EXPECT_EQ(manager_->PodCount(), 0);
}

TEST_F(PodRecordsTest, AMalformedDatabaseIsSetAside) {
  const std::string pod = RunPod("web");
  const std::string running = RunContainer(pod, "running", "sleep 1000");
  const std::string ended = RunContainer(pod, "ended", "exit 4");
  AwaitExited(ended);
  End();
  LoseDatabase();
  ASSERT_OK(
      AtomicWriteFile(State() + "/state.db", std::string(8192, 'x'), 0600, Durability::kNone));
  Start();
  ExpectAllThere(pod, running, ended);
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, ListDir(State()));
  EXPECT_TRUE(std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return absl::StartsWith(name, "state.db.bad-");
  }));
}

TEST_F(PodRecordsTest, AnUnreadableRowIsReadFromItsCopy) {
  const std::string pod = RunPod("web");
  const std::string running = RunContainer(pod, "running", "sleep 1000");
  const std::string ended = RunContainer(pod, "ended", "exit 4");
  AwaitExited(ended);
  End();
  Spoil(running);
  Spoil(pod);
  Start();
  ExpectAllThere(pod, running, ended);
}

TEST_F(PodRecordsTest, AContainerThatOnlyTheShimKnowsCanBeEnded) {
  const std::string pod = RunPod("web");
  const std::string running = RunContainer(pod, "running", "sleep 1000");
  End();
  Spoil(running);
  LoseCopies(pod);
  Start();
  EXPECT_EQ(StatusOf(running).state(), v1::CONTAINER_RUNNING);
  EXPECT_OK(StopOne(running, 0));
  EXPECT_TRUE(Dead(pod, running));
  EXPECT_OK(RemovePod(pod));
  EXPECT_TRUE(GroupsGone(pod));
}

// Holds also if the shim cannot be asked before leftovers are swept away.
TEST_F(PodRecordsTest, AContainerThatNoRecordTellsOfKeepsItsLayersWhileItRuns) {
  for (const bool hangs : {false, true}) {
    const std::string pod = RunPod(absl::StrCat("web-", hangs));
    const std::string running = RunContainer(pod, "running", "echo mine >/mine; sleep 1000");
    const std::string upper = absl::StrCat(dir_.path(), "/root/c/", running, "/upper");
    const std::string view = running + "-image-0",
                      volume = absl::StrCat(dir_.path(), "/root/volumes/", running);
    const std::string stale = std::string(64, '0');
    for (const std::string& key : {view, stale}) ASSERT_OK(images_->PrepareView(key, "").status());
    ASSERT_OK(MakeDirs(volume + "/0"));
    EXPECT_TRUE(Eventually([&] { return Exists(upper + "/mine"); }));
    const pid_t shim = ShimOf(pod);
    End();
    Erase(running);
    ASSERT_OK(RemoveTree(absl::StrCat(State(), "/pods/", pod, "/records")));
    ASSERT_EQ(::kill(shim, hangs ? SIGSTOP : 0), 0);
    Start();
    const std::vector<std::string> pinned = images_->PinnedKeys();
    EXPECT_EQ(std::set<std::string>(pinned.begin(), pinned.end()),
              (std::set<std::string>{running, view}));
    EXPECT_EQ(ReadFile(upper + "/mine").value_or(""), "mine\n");
    EXPECT_EQ(::access((volume + "/0").c_str(), F_OK), 0);
    ASSERT_EQ(::kill(shim, SIGCONT), 0);
    // ListContainers() gives its items serialized: only a client sees them.
    EXPECT_TRUE(Eventually([&] { return manager_->table().FindContainer(running).ok(); }));
    EXPECT_EQ(StatusOf(running).state(), v1::CONTAINER_RUNNING);
    EXPECT_OK(RemovePod(pod));
    ExpectReleased();
    EXPECT_TRUE(Eventually([&] { return !Exists(volume); }));
  }
}

TEST_F(PodRecordsTest, APodThatOnlyItsShimKnowsCanBeEnded) {
  const std::string pod = RunPod("web"), other = RunPod("other");
  const std::string running = RunContainer(pod, "running", "sleep 1000");
  RunContainer(other, "too", "sleep 1000");
  End();
  LoseDatabase();
  LoseCopies(pod);
  ASSERT_OK(RemoveTree(State() + "/pods/" + other));
  Start();
  EXPECT_EQ(PodStatusOf(pod).state(), v1::SANDBOX_NOTREADY);
  EXPECT_EQ(StatusOf(running).state(), v1::CONTAINER_RUNNING);
  EXPECT_TRUE(Eventually([&] { return manager_->PodCount() == 2; }));
  for (const std::string& id : {pod, other}) {
    EXPECT_OK(StopPod(id));
    EXPECT_FALSE(HasShim(id));
    EXPECT_OK(RemovePod(id));
    EXPECT_TRUE(GroupsGone(id));
  }
  ExpectReleased();
}

TEST_F(PodRecordsTest, AContainerThatOnlyTheShimKnowsAndDoesNotRunIsUndone) {
  const std::string pod = RunPod("web");
  const std::string created = Create(ContainerRequest(pod, "created", "true"));
  const std::string ended = RunContainer(pod, "ended", "exit 4");
  AwaitExited(ended);
  End();
  for (const std::string& id : {created, ended}) Erase(id);
  ASSERT_OK(RemoveTree(absl::StrCat(State(), "/pods/", pod, "/records")));
  Start();
  ExpectNoContainer(pod, {created, ended});
}

TEST_F(PodRecordsTest, WhatWasBeingMadeOrRemovedIsUndoneInTheShimToo) {
  for (int round = 0; round < 5; ++round) {
    const std::string pod = RunPod(absl::StrCat("web-", round));
    const std::string made = Create(ContainerRequest(pod, "made", "true"));
    const std::string removed = RunContainer(pod, "removed", "exit 4");
    AwaitExited(removed);
    End();
    Interrupt(made, state::ContainerRecord::MAKING);
    ASSERT_OK(RemoveTree(absl::StrCat(State(), "/pods/", pod, "/records/", made)));
    Interrupt(removed, state::ContainerRecord::REMOVING);
    Start();
    ExpectNoContainer(pod, {made, removed});
    EXPECT_OK(RemovePod(pod));
  }
  End();
  Start();
  EXPECT_EQ(manager_->PodCount(), 0);
}

TEST_F(PodRecordsTest, APodThatNoRecordTellsOfAndInWhichNothingLivesIsUndone) {
  const std::string pod = RunPod("web"), bare = RunPod("bare"), dead = RunPod("dead");
  AwaitExited(RunContainer(pod, "ended", "exit 4"));
  ASSERT_EQ(::kill(ShimOf(dead), SIGKILL), 0);
  End();
  LoseDatabase();
  for (const std::string& id : {pod, dead}) LoseCopies(id);
  ASSERT_OK(RemoveTree(State() + "/pods/" + bare));
  Start();
  for (const std::string& id : {pod, bare, dead}) {
    EXPECT_TRUE(Eventually([&] { return !HasShim(id); }));
    EXPECT_TRUE(GroupsGone(id));
    EXPECT_TRUE(Eventually([&] { return !Exists(State() + "/pods/" + id); }));
  }
  EXPECT_EQ(manager_->PodCount(), 0);
  EXPECT_OK(RemoveEveryPod());
}

TEST_F(PodRecordsTest, AGroupWithoutARowBlocksNoRemoval) {
  const std::string parent = absl::StrCat("/crisp-orphan-", ::getpid());
  v1::RunPodSandboxRequest request = PodRequest("web");
  request.mutable_config()->mutable_linux()->set_cgroup_parent(parent);
  v1::RunPodSandboxResponse reply;
  ASSERT_OK(manager_->RunPodSandbox(request, &reply, Operation()));
  auto layout = std::make_shared<const runtime::CgroupLayout>(runtime::DetectCgroups().value());
  ASSERT_OK(runtime::Cgroup(layout, parent + "/" + GenerateId()).CreateDirs());
  EXPECT_OK(RemovePod(reply.pod_sandbox_id()));
  const runtime::Cgroup group(layout, parent);
  EXPECT_TRUE(Eventually([&] { return !Exists(group.PrimaryDir()); }));
  (void)group.Remove(Operation(absl::Now() + absl::Seconds(1)));
}

TEST_F(PodRecordsTest, AFullTmpfsKeepsNoPod) {
  End();
  ASSERT_EQ(::mount("tmpfs", State().c_str(), "tmpfs", 0, "size=16m"), 0);
  Start();
  const std::string pod = RunPod("web");
  const std::string running = RunContainer(pod, "running", "sleep 1000");
  ASSERT_OK_AND_ASSIGN(UniqueFd fill, Open(State() + "/fill", O_WRONLY | O_CREAT, 0600));
  for (const size_t size : {size_t{65536}, size_t{4096}}) {
    const std::string block(size, 'x');
    while (::write(fill.get(), block.data(), size) > 0) {
    }
  }
  v1::RunPodSandboxResponse reply;
  EXPECT_FALSE(manager_->RunPodSandbox(PodRequest("more"), &reply, Operation()).ok());
  EXPECT_OK(StopOne(running, 0));
  EXPECT_OK(StopPod(pod));
  EXPECT_OK(RemovePod(pod));
  EXPECT_TRUE(GroupsGone(pod));
  fill.reset();
  EXPECT_EQ(::unlink((State() + "/fill").c_str()), 0);
  EXPECT_FALSE(RunPod("more").empty());
  EXPECT_OK(RemoveEveryPod());
  End();
  EXPECT_EQ(::umount2(State().c_str(), 0), 0);
  Start();
}

class ResetTest : public PodRecordsTest {
 protected:
  std::vector<std::string> Reset(network::PodNetwork* network) {
    const absl::Time begin = absl::Now();
    const runtime::CrispFinder finder;
    auto undone = EndEveryPod({.state = State(), .finders = {&finder}}, network,
                              Operation(absl::Now() + absl::Minutes(1)));
    EXPECT_LT(absl::Now() - begin, absl::Seconds(40));
    return undone;
  }
  void ExpectNothingLeft(const std::vector<std::string>& pods) {
    for (const std::string& pod : pods) {
      EXPECT_FALSE(HasShim(pod));
      EXPECT_TRUE(GroupsGone(pod));
    }
    ASSERT_OK(RemoveTree(State()));
    ASSERT_OK(RemoveTree(dir_.path() + "/root/c"));
    images_ = std::make_unique<BusyboxStore>(dir_.path() + "/root");
    Start();
  }
};

TEST_F(ResetTest, EndsWhatNobodyAnswersFor) {
  const std::string hung = RunPod("hung"), plain = RunPod("plain"), lost = RunPod("lost");
  for (const std::string& pod : {hung, plain, lost})
    RunContainer(pod, "deaf", "trap '' TERM; while true; do sleep 1; done");
  ASSERT_EQ(::kill(ShimOf(hung), SIGSTOP), 0);
  ASSERT_EQ(::unlink(absl::StrCat(State(), "/pods/", lost, "/shim.sock").c_str()), 0);
  End();
  EXPECT_TRUE(Reset(&network_).empty());
  EXPECT_GE(network_.detached, 3);
  ExpectNothingLeft({hung, plain, lost});
}

TEST_F(ResetTest, EndsWhatNoRecordTellsOf) {
  const std::string pod = RunPod("web"), gone = RunPod("gone");
  for (const std::string& id : {pod, gone}) RunContainer(id, "one", "sleep 1000");
  End();
  LoseDatabase();
  ASSERT_OK(
      AtomicWriteFile(State() + "/state.db", std::string(8192, 'x'), 0600, Durability::kNone));
  LoseCopies(pod);
  ASSERT_OK(RemoveTree(State() + "/pods/" + gone));
  (void)Reset(&network_);
  ExpectNothingLeft({pod, gone});
}

class NoDelNetwork : public OneAddressNetwork {
 public:
  absl::Status Detach(absl::string_view, int, const Operation&) override {
    ++detached;
    return absl::UnavailableError("the plug-in is gone");
  }
};

TEST_F(ResetTest, TriesAPluginOnceAndSaysSo) {
  const std::string pod = RunPod("web");
  RunContainer(pod, "one", "sleep 1000");
  End();
  NoDelNetwork network;
  const std::vector<std::string> undone = Reset(&network);
  ASSERT_EQ(undone.size(), 1u);
  EXPECT_TRUE(absl::StrContains(undone[0], "the plug-in is gone")) << undone[0];
  EXPECT_TRUE(absl::StrContains(undone[0], pod)) << undone[0];
  EXPECT_EQ(network.detached, 1);
  ExpectNothingLeft({pod});
}

}  // namespace
}  // namespace crisp::cri
