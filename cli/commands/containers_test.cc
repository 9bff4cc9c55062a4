#include <unistd.h>

#include "cli/commands/testing/command_fixture.h"

namespace crisp::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class ContainersTest : public CommandFixture {
 protected:
  void SetUp() override {
    AddSome();
    daemon_.containers[0].set_created_at(Ago(absl::Minutes(5)));
    daemon_.containers[0].mutable_image()->set_image("app:1");
    v1::ContainerStatus& web = *daemon_.container_statuses["c1c1000000000000"].mutable_status();
    web.set_id("c1c1000000000000");
    web.set_state(v1::CONTAINER_RUNNING);
    web.set_started_at(Ago(absl::Minutes(3)));
    v1::ContainerStatus& init = *daemon_.container_statuses["c3c3000000000000"].mutable_status();
    init.set_id("c3c3000000000000");
    init.set_state(v1::CONTAINER_EXITED);
    init.set_exit_code(3);
    init.set_reason("Error");
    init.set_finished_at(Ago(absl::Hours(2)));
  }
};

TEST_F(ContainersTest, PsListsWhatRuns) {
  EXPECT_EQ(Crisp({"ps"}), 0) << err_;
  EXPECT_THAT(out_, AllOf(StartsWith("ID "), HasSubstr("c1c100000000  web "),
                          HasSubstr("app:1  5 minutes ago  Up 3 minutes"),
                          HasSubstr("kube-system/dns-1/dns"), Not(HasSubstr("init"))));
  EXPECT_EQ(Crisp({"ps", "-q"}), 0);
  EXPECT_EQ(out_, "c1c100000000\nc2c200000000\n");
}

TEST_F(ContainersTest, PsHasWhatExitedIfAsked) {
  EXPECT_EQ(Crisp({"ps", "-a"}), 0);
  EXPECT_THAT(out_, HasSubstr("Exited (3) 2 hours ago"));
  const Json rows = CrispJson({"ps", "--filter", "state=exited", "-o", "json"});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]["name"], "kube-system/dns-1/init");
  EXPECT_EQ(rows[0]["exitCode"], 3);
  EXPECT_EQ(rows[0]["reason"], "Error");
}

TEST_F(ContainersTest, PsFiltersAndTemplates) {
  EXPECT_EQ(Crisp({"ps", "-a", "-f", "namespace=kube-system", "-f", "name=dns-1/d", "-o",
                   "template={{.Name}}={{.State}}"}),
            0);
  EXPECT_EQ(out_, "kube-system/dns-1/dns=running\n");
  EXPECT_EQ(Crisp({"ps", "-f", "colour=red"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("the keys are id, name"));
  EXPECT_EQ(Crisp({"ps", "-o", "template={{.Colour}}"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr(".Id .Name .Image"));
}

TEST_F(ContainersTest, PodsCountsTheirContainers) {
  v1::PodSandboxStatus& status = *daemon_.pod_statuses["bbbb000000000000"].mutable_status();
  status.mutable_network()->set_ip("10.1.2.3");
  EXPECT_EQ(Crisp({"pods"}), 0) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("bbbb00000000  kube-system  dns-1  ready"),
                          HasSubstr("1/2  10.1.2.3")));
  const Json rows = CrispJson({"pods", "-f", "namespace=default", "-o", "json"});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]["containers"], Json::array({"web"}));
}

TEST_F(ContainersTest, StopGoesThroughAllTargets) {
  EXPECT_EQ(Crisp({"stop", "-t", "7", "web", "wbe", "kube-system/dns-1", "c2"}), kCrispFailed);
  EXPECT_EQ(out_, "web\nkube-system/dns-1\nc2\n");
  EXPECT_EQ(err_, "crisp: there is no container wbe: did you mean web?\n");
  EXPECT_THAT(daemon_.calls(),
              ElementsAre("StopContainer c1c1000000000000 7", "StopPodSandbox bbbb000000000000",
                          "StopContainer c2c2000000000000 7"));
}

TEST_F(ContainersTest, StopHasADefaultAndABound) {
  EXPECT_EQ(Crisp({"stop", "web"}), 0);
  EXPECT_THAT(daemon_.calls(), ElementsAre("StopContainer c1c1000000000000 10"));
  EXPECT_EQ(Crisp({"stop", "-t", "-1", "web"}), kCrispFailed);
}

TEST_F(ContainersTest, KillEndsOrSignals) {
  EXPECT_EQ(Crisp({"kill", "web"}), 0);
  EXPECT_EQ(Crisp({"kill", "-s", "SIGKILL", "web"}), 0);
  EXPECT_EQ(Crisp({"kill", "-s", "HUP", "web"}), 0);
  EXPECT_EQ(Crisp({"kill", "kube-system/dns-1/init"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("does not run"));
  EXPECT_THAT(daemon_.calls(),
              ElementsAre("StopContainer c1c1000000000000 0", "StopContainer c1c1000000000000 0",
                          "SignalContainer c1c1000000000000 HUP"));
}

TEST_F(ContainersTest, RmTakesThePodOfRunWithIt) {
  EXPECT_EQ(Crisp({"rm", "web"}), kCrispFailed) << "it runs";
  EXPECT_THAT(err_, HasSubstr("web runs: stop it first"));
  EXPECT_THAT(daemon_.calls(), IsEmpty());
  EXPECT_EQ(Crisp({"rm", "-f", "web"}), 0);
  EXPECT_THAT(daemon_.calls(),
              ElementsAre("StopPodSandbox aaaa000000000000", "RemovePodSandbox aaaa000000000000"));
}

TEST_F(ContainersTest, RmLeavesTheKubeletsPod) {
  EXPECT_EQ(Crisp({"rm", "kube-system/dns-1/init"}), 0);
  EXPECT_EQ(Crisp({"rm", "-f", "kube-system/dns-1/dns", "nobody"}), 0) << "-f overlooks nobody";
  EXPECT_THAT(daemon_.calls(),
              ElementsAre("RemoveContainer c3c3000000000000", "StopContainer c2c2000000000000 0",
                          "RemoveContainer c2c2000000000000"));
  EXPECT_EQ(Crisp({"rm", "kube-system/dns-1"}), kCrispFailed) << "the pod is ready";
}

TEST_F(ContainersTest, RestartMakesTheNextAttemptInTheSamePod) {
  v1::ContainerStatusResponse& web = daemon_.container_statuses["c1c1000000000000"];
  (*web.mutable_info())["info"] =
      R"({"config": {"metadata": {"name": "web", "attempt": 4}, "image": {"image": "app:1"}}})";
  v1::PodSandboxStatusResponse& pod = daemon_.pod_statuses["aaaa000000000000"];
  (*pod.mutable_info())["info"] = R"({"config": {"metadata": {"name": "web", "uid": "u"}}})";
  EXPECT_EQ(Crisp({"restart", "-t", "2", "web"}), 0) << err_;
  EXPECT_THAT(
      daemon_.calls(),
      ElementsAre("StopContainer c1c1000000000000 2", "CreateContainer aaaa000000000000 web 5",
                  "StartContainer made", "RemoveContainer c1c1000000000000"));
}

TEST_F(ContainersTest, RestartStopsNothingThatItCannotStart) {
  EXPECT_EQ(Crisp({"restart", "kube-system/dns-1/dns"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("is the kubelet's"));
  EXPECT_EQ(Crisp({"restart", "web"}), kCrispFailed) << "the daemon tells no configuration";
  (*daemon_.pods[0].mutable_annotations())["io.crisp.remove-on-exit"] = "true";
  EXPECT_EQ(Crisp({"restart", "web"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("--rm"));
  EXPECT_THAT(daemon_.calls(), IsEmpty());
}

TEST_F(ContainersTest, InspectFindsContainersPodsAndImages) {
  (*daemon_.container_statuses["c1c1000000000000"].mutable_info())["info"] = R"({"pid": 7})";
  daemon_.AddImage("sha256:1111", {"app:1"}, 5);
  daemon_.image_infos["sha256:1111"] = R"({"labels": {"a": "b"}})";
  const Json documents = CrispJson({"inspect", "web", "kube-system/dns-1", "app:1"});
  ASSERT_EQ(documents.size(), 3u);
  EXPECT_EQ(documents[0]["type"], "container");
  EXPECT_EQ(documents[0]["info"]["pid"], 7);
  EXPECT_EQ(documents[0]["status"]["id"], "c1c1000000000000");
  EXPECT_EQ(documents[1]["type"], "pod");
  EXPECT_EQ(documents[2]["info"]["labels"]["a"], "b");
  EXPECT_EQ(CrispJson({"inspect", "--type", "pod", "web"})[0]["type"], "pod");
}

TEST_F(ContainersTest, InspectSaysWhatItDoesNotFind) {
  EXPECT_EQ(Crisp({"inspect", "wbe", "web"}), kCrispFailed);
  EXPECT_THAT(err_,
              AllOf(HasSubstr("no container wbe: did you mean web?"), HasSubstr("no image wbe")));
  EXPECT_THAT(out_, HasSubstr("c1c1000000000000")) << "the other one is shown";
}

TEST_F(ContainersTest, StatsHasTheFiguresOnce) {
  v1::ContainerStats& stats = daemon_.stats.emplace_back();
  stats.mutable_attributes()->set_id("c1c1000000000000");
  stats.mutable_cpu()->mutable_usage_nano_cores()->set_value(250'000'000);
  stats.mutable_memory()->mutable_working_set_bytes()->set_value(64 << 20);
  stats.mutable_memory()->mutable_available_bytes()->set_value(192 << 20);
  stats.mutable_writable_layer()->mutable_used_bytes()->set_value(4096);
  daemon_.stats.emplace_back().mutable_attributes()->set_id("c2c2000000000000");
  EXPECT_EQ(Crisp({"stats", "--no-stream", "web"}), 0) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("25.00%"), HasSubstr("64.0 MiB"), HasSubstr("256.0 MiB"),
                          HasSubstr("4.0 KiB"), Not(HasSubstr("dns"))));
  const Json rows = CrispJson({"stats", "--no-stream", "-o", "json"});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["memory"], 64 << 20);
  EXPECT_EQ(rows[1]["limit"], nullptr) << "without a limit";
}

TEST_F(ContainersTest, EventsHaveNamesAndEnds) {
  v1::ContainerEventResponse& stopped = daemon_.events.emplace_back();
  stopped.set_container_id("c1c1000000000000");
  stopped.set_container_event_type(v1::CONTAINER_STOPPED_EVENT);
  stopped.set_created_at(absl::ToUnixNanos(now_));
  v1::PodSandboxStatus& pod = *stopped.mutable_pod_sandbox_status();
  pod.set_id("aaaa000000000000");
  pod.mutable_metadata()->set_name("web");
  (*pod.mutable_labels())[kRunLabel] = "true";
  v1::ContainerStatus& status = *stopped.add_containers_statuses();
  status.set_id("c1c1000000000000");
  status.set_state(v1::CONTAINER_EXITED);
  status.set_exit_code(137);
  status.set_reason("OOMKilled");
  v1::ContainerEventResponse& made = daemon_.events.emplace_back(stopped);
  made.set_container_id("aaaa000000000000");
  made.set_container_event_type(v1::CONTAINER_CREATED_EVENT);
  EXPECT_EQ(Crisp({"events"}), 0) << err_;
  EXPECT_EQ(out_,
            "2027-01-15T08:00:00.000Z  container stopped  c1c100000000  web  exit code 137 "
            "(OOMKilled)\n"
            "2027-01-15T08:00:00.000Z  pod created  aaaa00000000  web\n");
  const Json event = CrispJson({"events", "-n", "1", "-o", "json"});
  EXPECT_EQ(event["exitCode"], 137);
  EXPECT_EQ(event["reason"], "OOMKilled");
  EXPECT_EQ(Crisp({"events", "-o", "template={{.Colour}}"}), kCrispFailed);
}

TEST_F(ContainersTest, PauseUnpauseAndDiffAskTheDaemon) {
  EXPECT_EQ(Crisp({"pause", "web"}), 0);
  EXPECT_EQ(Crisp({"unpause", "web"}), 0);
  EXPECT_THAT(daemon_.calls(),
              ElementsAre("PauseContainer c1c1000000000000", "UnpauseContainer c1c1000000000000"));
  auto& change = *daemon_.changes.add_changes();
  change.set_path("/tmp/x");
  change.set_kind(::crisp::v1::ContainerChange::ADDED);
  daemon_.changes.set_truncated(true);
  EXPECT_EQ(Crisp({"diff", "web"}), 0);
  EXPECT_EQ(out_, "KIND  PATH\nA     /tmp/x\n");
  EXPECT_THAT(err_, HasSubstr("more changes"));
}

TEST_F(ContainersTest, TopShowsTheProcessesOfTheNode) {
  daemon_.explained_json = absl::StrCat(R"({"kernel": {"pids": [)", getpid(), ", 2147483646]}}");
  const Json rows = CrispJson({"top", "web", "-o", "json"});
  ASSERT_EQ(rows.size(), 1u) << "one has ended";
  EXPECT_EQ(rows[0]["pid"], getpid());
  EXPECT_THAT(rows[0]["command"].get<std::string>(), HasSubstr("cli_commands_test"));
  EXPECT_EQ(Crisp({"top", "kube-system/dns-1/init"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("does not run"));
}

}  // namespace
}  // namespace crisp::cli
