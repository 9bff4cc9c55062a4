#include "network/cni/cni_config.h"

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::network {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST(CniConfigTest, ReadsListsAndSinglePlugins) {
  ASSERT_OK_AND_ASSIGN(const CniConfig list, ParseCniConfig(R"({"name":"net","cniVersion":"1.0.0",
      "plugins":[{"type":"bridge"},{"type":"portmap","capabilities":{"portMappings":true}}]})"));
  EXPECT_EQ(list.version, "1.0.0");
  ASSERT_EQ(list.plugins.size(), 2u);
  EXPECT_TRUE(list.plugins[1].Declares("portMappings"));
  EXPECT_FALSE(list.plugins[0].Declares("portMappings"));
  ASSERT_OK_AND_ASSIGN(const CniConfig one,
                       ParseCniConfig(R"({"name":"n","cniVersion":"0.3.1","type":"ptp"})"));
  EXPECT_EQ(one.plugins[0].type, "ptp");
  EXPECT_FALSE(one.HasStatusAndGc());
}

TEST(CniConfigTest, TakesTheNewestVersionOffered) {
  ASSERT_OK_AND_ASSIGN(
      const CniConfig config,
      ParseCniConfig(
          R"({"name":"n","cniVersions":["0.4.0","1.1.0","2.0.0"],"plugins":[{"type":"x"}]})"));
  EXPECT_EQ(config.version, "1.1.0");
  EXPECT_TRUE(config.HasStatusAndGc());
}

TEST(CniConfigTest, RefusesWhatTheSpecificationForbids) {
  for (const char* text :
       {"", "[]", "{}", R"({"name":"n","cniVersion":"9.0.0","type":"x"})",
        R"({"name":"n","cniVersion":"1.0.0"})", R"({"name":"n","cniVersion":"1.0.0","plugins":[]})",
        R"({"name":"../n","cniVersion":"1.0.0","type":"x"})",
        R"({"name":"n","cniVersion":"1.0.0","type":"../../bin/sh"})",
        R"({"name":"n","cniVersion":"1.0.0","type":".."})",
        R"({"name":"n","cniVersion":"1.0.0","plugins":[1]})",
        R"({"name":"n","cniVersion":"1.0.0","plugins":[{"type":"x","capabilities":[]}]})"}) {
    EXPECT_THAT(ParseCniConfig(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(CniConfigTest, FirstFileByNameCounts) {
  TempDir dir;
  EXPECT_THAT(FindCniConfig(dir.path() + "/absent"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(FindCniConfig(dir.path()), StatusIs(absl::StatusCode::kNotFound));
  for (const char* name : {"/20-b.conflist", "/10-a.conf", "/00-readme.txt"}) {
    ASSERT_OK(AtomicWriteFile(dir.path() + name, "{}", 0644, Durability::kNone));
  }
  ASSERT_OK_AND_ASSIGN(const CniConfigFile file, FindCniConfig(dir.path()));
  EXPECT_THAT(file.path, EndsWith("/10-a.conf"));
  ASSERT_OK(AtomicWriteFile(file.path, "{} ", 0644, Durability::kNone));
  EXPECT_NE(FindCniConfig(dir.path())->stamp, file.stamp);
}

TEST(CniInputTest, HandsOverOnlyDeclaredCapabilities) {
  const CniConfig config = ParseCniConfig(R"({"name":"n","cniVersion":"1.0.0","plugins":[
      {"type":"x","capabilities":{"dns":true,"bandwidth":false},"own":1}]})")
                               .value();
  const Json args = {{"dns", {{"servers", {"1.1.1.1"}}}}, {"bandwidth", 5}, {"portMappings", 6}};
  const Json previous = {{"ips", Json::array()}};
  const Json input = ParseJson(CniInput(config, config.plugins[0], args, &previous)).value();
  EXPECT_EQ(input["name"], "n");
  EXPECT_EQ(input["cniVersion"], "1.0.0");
  EXPECT_EQ(input["own"], 1);
  EXPECT_EQ(input["runtimeConfig"].size(), 1u);
  EXPECT_EQ(input["prevResult"], previous);
  EXPECT_FALSE(ParseJson(CniInput(config, config.plugins[0], Json::object(), nullptr))
                   ->contains("runtimeConfig"));
}

TEST(CniResultTest, TakesTheAddressesOfThePodsInterface) {
  ASSERT_OK_AND_ASSIGN(const CniResult result, ParseCniResult(R"({"cniVersion":"0.4.0",
      "interfaces":[{"name":"veth1"},{"name":"eth0","mac":"aa:bb","sandbox":"/run/netns/x"},
                    {"name":"net1","sandbox":"/run/netns/x"}],
      "ips":[{"version":"4","address":"10.1.0.2/24","interface":1},{"address":"fd00::2/64"},
             {"address":"10.9.0.2/24","interface":2}]})",
                                                              "eth0"));
  EXPECT_THAT(result.addresses, ElementsAre("10.1.0.2", "fd00::2"));
  EXPECT_THAT(result.host_interfaces, ElementsAre("veth1"));
  EXPECT_EQ(result.mac, "aa:bb");
}

TEST(CniResultTest, RefusesNonsense) {
  for (const char* text :
       {"", "5", R"({"ips":5})", R"({"ips":[5]})", R"({"ips":[{"address":"x"}]})",
        R"({"ips":[{"address":"10.0.0.1"}]})",
        R"({"ips":[{"address":"10.0.0.1/8","interface":3}]})", R"({"interfaces":[{"name":7}]})"}) {
    EXPECT_THAT(ParseCniResult(text, "eth0"), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(CniErrorTest, PrefersTheErrorObject) {
  EXPECT_EQ(CniErrorText(R"({"code":7,"msg":"no","details":"why"})", "noise"), "no; why");
  EXPECT_EQ(CniErrorText("garbage", " panic: x\n"), "panic: x");
  EXPECT_THAT(CniErrorText("", ""), HasSubstr("no reason"));
}

}  // namespace
}  // namespace crisp::network
