#include "cli/names/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/client/labels.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

PodEntry Pod(const std::string& id,
             const std::string& name_space,
             const std::string& name,
             bool run = false) {
  PodEntry entry;
  entry.pod.set_id(id);
  entry.pod.mutable_metadata()->set_namespace_(name_space);
  entry.pod.mutable_metadata()->set_name(name);
  if (run) (*entry.pod.mutable_labels())[kRunLabel] = "true";
  return entry;
}

ContainerEntry In(const PodEntry& pod,
                  const std::string& id,
                  const std::string& name,
                  uint32_t attempt = 0,
                  v1::ContainerState state = v1::CONTAINER_EXITED) {
  ContainerEntry entry;
  entry.pod = pod;
  entry.container.set_id(id);
  entry.container.set_pod_sandbox_id(pod.pod.id());
  entry.container.mutable_metadata()->set_name(name);
  entry.container.mutable_metadata()->set_attempt(attempt);
  entry.container.set_state(state);
  return entry;
}

class InventoryTest : public ::testing::Test {
 protected:
  std::string Found(const std::string& text) const {
    const auto found = inventory_.FindContainer(text);
    return found.ok() ? found->container.id() : std::string(found.status().message());
  }
  std::string FoundAny(const std::string& text) const {
    const auto found = inventory_.Find(text);
    if (!found.ok()) return std::string(found.status().message());
    if (const auto* pod = std::get_if<PodEntry>(&*found)) return "pod " + pod->pod.id();
    return std::get<ContainerEntry>(*found).container.id();
  }

  const PodEntry web_ = Pod("aa01", "default", "web", true);
  const PodEntry dns_ = Pod("bb01", "kube-system", "dns-1");
  const Inventory inventory_{
      {web_, dns_, Pod("cd77", "default", "empty")},
      {In(web_, "abc1", "web"), In(dns_, "abd2", "dns", 0), In(dns_, "abd3", "dns", 1),
       In(dns_, "cd44", "side", 1), In(dns_, "cd45", "side", 0, v1::CONTAINER_RUNNING)}};
};

TEST_F(InventoryTest, ANameIsTheOneThatRunGave) { EXPECT_EQ(Found("web"), "abc1"); }

TEST_F(InventoryTest, AContainerOfTheKubeletIsNamedByItsPod) {
  EXPECT_EQ(inventory_.containers()[1].name(), "kube-system/dns-1/dns");
  EXPECT_EQ(Found("kube-system/dns-1/dns"), "abd3") << "the last attempt";
  EXPECT_EQ(Found("kube-system/dns-1/side"), "cd45") << "the one that runs";
}

TEST_F(InventoryTest, AnIdIsFoundByItsPrefix) {
  EXPECT_EQ(Found("abc1"), "abc1");
  EXPECT_EQ(Found("abc"), "abc1");
  EXPECT_EQ(Found("crisp://abd2"), "abd2");
  EXPECT_EQ(Found("crisp://abc"), "abc1");
}

TEST_F(InventoryTest, AnAmbiguousPrefixListsItsCandidates) {
  EXPECT_THAT(Found("abd"), AllOf(HasSubstr("abd2  kube-system/dns-1/dns"), HasSubstr("abd3"),
                                  Not(HasSubstr("abc1"))));
  EXPECT_EQ(inventory_.FindContainer("abd").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(InventoryTest, AnUnknownNameGivesTheNearest) {
  EXPECT_EQ(Found("wbe"), "there is no container wbe: did you mean web?");
  EXPECT_EQ(Found("sidr"), "there is no container sidr: did you mean kube-system/dns-1/side?");
  EXPECT_EQ(Found("zzzzzzzz"), "there is no container zzzzzzzz");
  EXPECT_EQ(inventory_.FindContainer("wbe").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(InventoryTest, TheSchemeIsForIdsOnly) {
  EXPECT_THAT(Found("crisp://web"), HasSubstr("there is no container"));
  EXPECT_THAT(Found("crisp://"), HasSubstr("empty name"));
  EXPECT_THAT(Found(""), HasSubstr("empty name"));
}

TEST_F(InventoryTest, APodIsFoundWhereNoContainerIs) {
  EXPECT_EQ(FoundAny("web"), "abc1") << "the container's name first";
  EXPECT_EQ(FoundAny("kube-system/dns-1"), "pod bb01");
  EXPECT_EQ(FoundAny("bb"), "pod bb01");
  EXPECT_EQ(FoundAny("cd45"), "cd45");
  EXPECT_EQ(FoundAny("cd7"), "pod cd77");
}

TEST_F(InventoryTest, APrefixOfAPodAndAContainerIsAmbiguous) {
  const PodEntry pod = Pod("ee01", "default", "one");
  const Inventory both{{pod}, {In(pod, "ee02", "c")}};
  const auto found = both.Find("ee");
  EXPECT_THAT(std::string(found.status().message()),
              AllOf(HasSubstr("ee02  default/one/c"), HasSubstr("ee01  default/one")));
  EXPECT_TRUE(std::holds_alternative<PodEntry>(*both.Find("ee01")));
}

}  // namespace
}  // namespace crisp::cli
