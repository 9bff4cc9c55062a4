#include "cli/commands/testing/command_fixture.h"

namespace crisp::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class NodeTest : public CommandFixture {
 protected:
  void SetUp() override {
    AddSome();
    daemon_.AddPod("dddd000000000000", "default", "old", true);
    daemon_.AddContainer("d1d1000000000000", "dddd000000000000", "old", v1::CONTAINER_EXITED);
    daemon_.AddPod("eeee000000000000", "default", "new", true);  // crisp run is making it
    daemon_.AddImage("sha256:1111", {"app:1"}, 5);
    daemon_.AddImage("sha256:2222", {}, 5);  // in use, without a name
    daemon_.AddImage("sha256:3333", {}, 5);
    daemon_.AddImage("sha256:4444", {"unused:1"}, 5);
    daemon_.AddImage("sha256:5555", {"pinned:1"}, 5).set_pinned(true);
  }
};

TEST_F(NodeTest, PruneRemovesNothingWithoutAnAnswer) {
  EXPECT_EQ(Crisp({"prune"}), kCrispFailed);
  EXPECT_THAT(err_, AllOf(HasSubstr("old"), HasSubstr("give -f")));
  terminal_ = true;
  for (const char* answer : {"n\n", "\n", ""}) {
    in_ = answer;
    EXPECT_EQ(Crisp({"prune"}), kCrispFailed);
  }
  EXPECT_THAT(daemon_.calls(), IsEmpty());
}

TEST_F(NodeTest, PruneRemovesWhatIsOver) {
  terminal_ = true;
  in_ = "y\n";
  EXPECT_EQ(Crisp({"prune"}), 0) << err_;
  EXPECT_EQ(out_, "old\n3333\n");
  EXPECT_THAT(daemon_.calls(),
              ElementsAre("StopPodSandbox dddd000000000000", "RemovePodSandbox dddd000000000000",
                          "RemoveImage sha256:3333"));
}

TEST_F(NodeTest, PruneTakesEveryUnusedImageIfAsked) {
  EXPECT_EQ(Crisp({"prune", "-f", "--all"}), 0) << err_;
  EXPECT_EQ(out_, "old\n3333\nunused:1\n") << "not the pinned one";
}

TEST_F(NodeTest, DfHasImagesAndContainers) {
  auto& images = *daemon_.image_fs.add_image_filesystems();
  images.mutable_used_bytes()->set_value(3 << 20);
  images.mutable_fs_id()->set_mountpoint("/var/lib/crisp");
  daemon_.image_fs.add_container_filesystems()->mutable_used_bytes()->set_value(1024);
  EXPECT_EQ(Crisp({"df"}), 0) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("TYPE"), HasSubstr("/var/lib/crisp"), HasSubstr("3.0 MiB")));
  const Json rows = CrispJson({"df", "-o", "json"});
  EXPECT_EQ(rows[0]["total"], 5);
  EXPECT_EQ(rows[0]["active"], 2);
  EXPECT_EQ(rows[1]["total"], 4);
  EXPECT_EQ(rows[1]["active"], 2);
  EXPECT_EQ(rows[1]["size"], 1024);
}

TEST_F(NodeTest, ExplainTakesNames) {
  daemon_.explained_json =
      R"({"timing": [{"operation": "StartContainer", "step": "shim", "at": "T", "microseconds": 1500}]})";
  EXPECT_EQ(CrispJson({"explain", "-o", "json", "web"})["timing"].size(), 1u);
  EXPECT_EQ(Crisp({"explain", "--timing", "kube-system/dns-1"}), 0);
  EXPECT_THAT(out_, HasSubstr("StartContainer     shim            1.500 ms  T"));
  EXPECT_THAT(daemon_.calls(), ElementsAre("Explain c1c1000000000000", "Explain bbbb000000000000"));
}

TEST_F(NodeTest, InfoIsTheDaemonsDocument) {
  daemon_.info_json = R"({"version": "1"})";
  EXPECT_EQ(CrispJson({"info"})["version"], "1");
}

}  // namespace
}  // namespace crisp::cli
