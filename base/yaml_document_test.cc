#include "base/yaml_document.h"

#include "absl/strings/str_cat.h"
#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(YamlDocumentTest, ScalarsAreStrings) {
  ASSERT_OK_AND_ASSIGN(const Json json, ParseYaml("a: 1\nb: [x, 'y', ~]\nc: {d: true}\n"));
  EXPECT_EQ(json.dump(), R"({"a":"1","b":["x","y",null],"c":{"d":"true"}})");
  ASSERT_OK_AND_ASSIGN(const Json same,
                       ParseYaml(R"({"a": 1, "b": ["x", "y", null], "c": {"d": true}})"));
  EXPECT_EQ(same, json);
  ASSERT_OK_AND_ASSIGN(const Json empty, ParseYaml(""));
  EXPECT_TRUE(empty.is_null());
}

TEST(YamlDocumentTest, RefusesWhatIsMalformed) {
  for (const char* bad : {"a: [1", "a: 1\na: 2\n", "? [a]\n: b\n", "a: 1\n---\nb: 2\n"}) {
    EXPECT_THAT(ParseYaml(bad), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line ")))
        << bad;
  }
}

TEST(YamlDocumentTest, AliasesDoNotMultiply) {
  std::string bomb = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    absl::StrAppend(&bomb, "l", i, ": &l", i, " [");
    for (int k = 0; k < 10; ++k) absl::StrAppend(&bomb, k > 0 ? "," : "", "*l", i - 1);
    absl::StrAppend(&bomb, "]\n");
  }
  EXPECT_THAT(ParseYaml(bomb),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("too large")));
  EXPECT_THAT(ParseYaml(std::string(60, '[') + std::string(60, ']')),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("too deep")));
  EXPECT_THAT(ParseYaml("aaaa", {.max_bytes = 3}), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(YamlDocumentTest, AliasesStandForWhatTheyName) {
  ASSERT_OK_AND_ASSIGN(const Json json, ParseYaml("a: &x [1, {b: 2}]\nc: *x\nd: ~\n"));
  EXPECT_EQ(json["c"], json["a"]);
  EXPECT_EQ(json["a"][1]["b"], "2");
  EXPECT_TRUE(json["d"].is_null());
  EXPECT_THAT(ParseYaml("a: &x [*x]\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("inside what it names")));
  // Each alias is shallow enough, but not where it stands.
  EXPECT_THAT(ParseYaml("a: &x [[[[1]]]]\nb: [[[*x]]]\n", {.max_depth = 6}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("line 2")));
}

// yaml-cpp never gets to the end of such texts.
TEST(YamlDocumentTest, EndlessDocumentsAreRefused) {
  for (const char* bad : {"}", "- a\n]]", "a: b\n}}"}) EXPECT_FALSE(ParseYaml(bad).ok()) << bad;
}

TEST(YamlDocumentTest, Integers) {
  for (const auto& [text, number] :
       {std::pair{"438", 438}, {"0666", 438}, {"0o666", 438}, {"0x1b6", 438}, {"0", 0}}) {
    ASSERT_OK_AND_ASSIGN(const int64_t value, YamlInt(Json(text), "n", 0, 1000));
    EXPECT_EQ(value, number) << text;
  }
  for (const char* bad :
       {"", " 1", "1 ", "+1", "1e3", "-1", "1001", "099", "0x", "99999999999999999999"}) {
    EXPECT_THAT(YamlInt(Json(bad), "n", 0, 1000),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("n: ")))
        << bad;
  }
}

TEST(YamlDocumentTest, Strings) {
  ASSERT_OK_AND_ASSIGN(const auto strings, YamlStrings(Json{"a", "b"}, "s"));
  EXPECT_THAT(strings, ElementsAre("a", "b"));
  EXPECT_FALSE(YamlStrings(Json("a"), "s").ok());
  EXPECT_FALSE(YamlStrings(Json::array({Json::array()}), "s").ok());
  EXPECT_FALSE(YamlString(Json(std::string("a\0b", 3)), "s").ok());
}

}  // namespace
}  // namespace crisp
