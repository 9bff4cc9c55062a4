#include "cli/explain/explain_collect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testing/status_matchers.h"
#include "cli/client/testing/fake_daemon.h"

namespace crisp::cli {
namespace {

using ::testing::ElementsAre;

TEST(ExplainCollectTest, ReadsIdMaps) {
  const std::vector<IdMapFact> map =
      ParseIdMap("         0     100000      65536\n\n  70000 5 1\nno map\n");
  ASSERT_EQ(map.size(), 2u);
  EXPECT_EQ(map[0].outside, 100000u);
  EXPECT_EQ(map[0].count, 65536u);
  EXPECT_EQ(map[1].inside, 70000u);
}

TEST(ExplainCollectTest, FindsThisProcessesNamespaces) {
  const std::vector<NamespaceFact> found = CollectNamespaces("/proc", getpid());
  ASSERT_GE(found.size(), 7u);
  struct stat first;
  const bool hidden = stat("/proc/1/ns/user", &first) != 0;
  for (const NamespaceFact& fact : found) {
    EXPECT_NE(fact.inode, 0u) << fact.name;
    EXPECT_TRUE(fact.of_host || !hidden) << fact.name;
  }
  EXPECT_TRUE(CollectNamespaces("/proc", 0).empty());
}

TEST(ExplainCollectTest, AsksTheDaemonForTheRest) {
  FakeDaemon daemon;
  daemon.AddPod("p1", "shop", "web");
  daemon.AddContainer("c1", "p1", "nginx", v1::CONTAINER_EXITED);
  v1::ContainerStatusResponse& status = daemon.container_statuses["c1"];
  status.mutable_status()->set_state(v1::CONTAINER_EXITED);
  status.mutable_status()->set_exit_code(3);
  status.mutable_status()->set_image_id("i1");
  status.mutable_status()->mutable_resources()->mutable_linux()->set_cpu_quota(1000);
  v1::PodSandboxStatusResponse& pod = daemon.pod_statuses["p1"];
  pod.mutable_status()->mutable_network()->set_ip("10.1.2.3");
  (*pod.mutable_status()->mutable_annotations())["kubernetes.io/egress-bandwidth"] = "10M";
  (*pod.mutable_info())["info"] =
      R"({"config":{"port_mappings":[{"container_port":80,"host_port":8080,"protocol":1}]}})";
  daemon.explained_json = R"({"cgroups":["/none"],"spec":{"ociVersion":"1.2.0",
    "process":{"args":["sh"],"cwd":"/x","user":{"uid":5,"gid":6,"additionalGids":[6,7]},
    "capabilities":{"bounding":["CAP_KILL","CAP_CHOWN"],"effective":["CAP_KILL"]}},
    "mounts":[{"destination":"/d","source":"/s","type":"bind","options":["ro"]}]},
    "timing":[{"operation":"CreateContainer","step":"shim","at":"2026-12-01T05:44:03.5+00:00",
    "microseconds":1500}]})";
  auto* layer = daemon.history.add_entries();
  layer->set_digest("sha256:1");
  layer->add_containers("c1");
  layer->add_containers("gone");
  daemon.AddImage("i1", {"mine:1"}, 1);
  daemon.AddImage("i2", {"other:1"}, 1);

  const std::unique_ptr<Client> client = daemon.Connect();
  const absl::StatusOr<Inventory> inventory = Inventory::Read(*client);
  ASSERT_OK(inventory);
  const auto entry = inventory->FindContainer("shop/web/nginx");
  ASSERT_OK(entry);
  const absl::StatusOr<ExplainFacts> facts = CollectContainer(*client, *inventory, *entry);
  ASSERT_OK(facts);
  EXPECT_EQ(facts->state, "exited");
  EXPECT_EQ(facts->exit_code, 3);
  EXPECT_EQ(facts->limits.cpu_quota, 1000);
  EXPECT_THAT(facts->args, ElementsAre("sh"));
  EXPECT_EQ(facts->security.user, "5:6, also in groups 7");
  EXPECT_THAT(facts->security.capabilities, ElementsAre("KILL"));
  EXPECT_EQ(facts->security.bounding, 2);
  ASSERT_EQ(facts->mounts.size(), 1u);
  ASSERT_EQ(facts->steps.size(), 1u);
  EXPECT_EQ(facts->steps[0].took, absl::Microseconds(1500));
  ASSERT_EQ(facts->layers.size(), 1u);
  EXPECT_THAT(facts->layers[0].containers, ElementsAre("gone"));
  EXPECT_THAT(facts->layers[0].images, ElementsAre("other:1"));
  EXPECT_THAT(facts->network.addresses, ElementsAre("10.1.2.3"));
  EXPECT_EQ(facts->network.egress_limit, "10M");
  ASSERT_EQ(facts->network.ports.size(), 1u);
  EXPECT_EQ(facts->network.ports[0].protocol, "udp");
  EXPECT_FALSE(facts->usage.has_value());
}

}  // namespace
}  // namespace crisp::cli
