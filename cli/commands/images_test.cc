#include "base/file.h"
#include "base/testing/temp_dir.h"
#include "cli/commands/testing/command_fixture.h"

namespace crisp::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ImagesTest : public CommandFixture {
 protected:
  void SetUp() override {
    AddSome();
    daemon_.AddImage("sha256:1111", {"docker.io/library/app:1", "quay.io/x/app:2"}, 3 << 20);
    daemon_.AddImage("sha256:2222", {"docker.io/library/dns:latest"}, 5);
    daemon_.AddImage("sha256:3333", {}, 7).add_repo_digests("docker.io/library/old@sha256:44");
  }
};

TEST_F(ImagesTest, TheBareWordLists) {
  EXPECT_EQ(Crisp({"images"}), 0) << err_;
  const std::string listed = out_;
  EXPECT_THAT(listed, AllOf(HasSubstr("ID       SIZE  NAMES\n"),
                            HasSubstr("1111  3.0 MiB  docker.io/library/app:1 quay.io/x/app:2\n"),
                            HasSubstr("3333      7 B  docker.io/library/old@sha256:44\n")));
  EXPECT_EQ(Crisp({"images", "list"}), 0);
  EXPECT_EQ(out_, listed);
  EXPECT_EQ(Crisp({"images", "-q", "--filter", "dangling=true"}), 0);
  EXPECT_EQ(out_, "3333\n");
  EXPECT_EQ(Crisp({"images", "list", "--filter", "name=quay", "-o", "template={{.Id}}"}), 0);
  EXPECT_EQ(out_, "sha256:1111\n");
}

TEST_F(ImagesTest, PullPrintsTheId) {
  EXPECT_EQ(Crisp({"pull", "-q", "app:1"}), 0) << err_;
  EXPECT_EQ(out_, "sha256:pulled\n");
  in_ = "secret\n";
  EXPECT_EQ(Crisp({"pull", "-u", "me", "--password-stdin", "app:1"}), 0) << err_;
  EXPECT_THAT(daemon_.calls(), ElementsAre("PullImage app:1", "PullImage app:1 as me"));
  EXPECT_EQ(Crisp({"pull", "-u", "me", "app:1"}), kCrispFailed);
  EXPECT_EQ(Crisp({"pull", "--password-stdin", "app:1"}), kCrispFailed);
}

TEST_F(ImagesTest, ATagThatIsOneOfSeveralGoesAlone) {
  EXPECT_EQ(Crisp({"rmi", "docker.io/library/app:1"}), 0) << err_;
  EXPECT_THAT(daemon_.calls(), ElementsAre("UntagImage docker.io/library/app:1"));
}

TEST_F(ImagesTest, AnImageInUseStaysWithoutForce) {
  EXPECT_EQ(Crisp({"rmi", "docker.io/library/dns:latest", "sha256:3333"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("is used by kube-system/dns-1/dns"));
  EXPECT_THAT(daemon_.calls(), ElementsAre("RemoveImage sha256:3333"));
  EXPECT_EQ(Crisp({"rmi", "-f", "docker.io/library/dns:latest", "nothing"}), 0);
  EXPECT_THAT(daemon_.calls(), ElementsAre("RemoveImage sha256:3333", "RemoveImage sha256:2222"));
}

TEST_F(ImagesTest, AnUnknownImageGivesTheNearest) {
  EXPECT_EQ(Crisp({"rmi", "dsn"}), kCrispFailed);
  EXPECT_EQ(err_, "crisp: there is no image dsn: did you mean dns?\n");
  EXPECT_THAT(daemon_.calls(), IsEmpty());
}

TEST_F(ImagesTest, TagPrintsTheNewName) {
  EXPECT_EQ(Crisp({"tag", "docker.io/library/dns:latest", "mine:1"}), 0) << err_;
  EXPECT_EQ(out_, "mine:1\n");
  EXPECT_THAT(daemon_.calls(), ElementsAre("TagImage sha256:2222 mine:1"));
}

TEST_F(ImagesTest, HistoryCutsWhatIsLong) {
  auto& entry = *daemon_.history.add_entries();
  entry.set_digest("sha256:0123456789abcdef");
  entry.set_size_bytes(1 << 20);
  entry.set_unpacked_bytes(2 << 20);
  entry.set_created_by("RUN " + std::string(100, 'x'));
  entry.add_containers("c1c1000000000000");
  daemon_.history.add_entries()->set_empty_layer(true);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"history", "app:1"}, {"images", "history", "app:1"}}) {
    EXPECT_EQ(Crisp(words), 0) << err_;
    EXPECT_THAT(out_,
                AllOf(HasSubstr("sha256:0123456789ab  "), HasSubstr("1.0 MiB"),
                      HasSubstr("c1c100000000"), HasSubstr("xxx…"), Not(HasSubstr("abcdef"))));
  }
  const Json rows = CrispJson({"history", "-o", "json", "app:1"});
  EXPECT_EQ(rows[0]["usedBy"], Json::array({"c1c1000000000000"}));
  EXPECT_EQ(rows[1]["size"], nullptr) << "it made no layer";
}

TEST_F(ImagesTest, ArchivesComeAndGo) {
  TempDir dir;
  const std::string archive = dir.path() + "/a.tar";
  for (const char* verb : {"export", "save"}) {
    EXPECT_EQ(Crisp({verb, "-o", archive, "app:1", "dns"}), 0) << err_;
    EXPECT_EQ(*ReadFile(archive), "archive of app:1 dns");
  }
  EXPECT_EQ(Crisp({"images", "export", "-o", archive, "app:1"}), 0) << err_;
  EXPECT_EQ(Crisp({"import", "--name", "mine:1", archive}), 0) << err_;
  EXPECT_EQ(out_, "mine:1\n");
  EXPECT_EQ(Crisp({"load", "-i", archive}), 0) << err_;
  EXPECT_EQ(out_, "imported\n");
  terminal_ = true;
  EXPECT_EQ(Crisp({"export", "app:1"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("to a terminal"));
  EXPECT_EQ(Crisp({"load"}), kCrispFailed);
}

}  // namespace
}  // namespace crisp::cli
