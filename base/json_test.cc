#include "base/json.h"

#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

TEST(JsonTest, ParsesAndReadsTypedMembers) {
  ASSERT_OK_AND_ASSIGN(const Json json, ParseJson(R"({"s":"x","n":-3,"b":true,"o":{},"z":null})"));
  EXPECT_EQ(JsonString(json, "s").value(), "x");
  EXPECT_EQ(JsonString(json, "z", "d").value(), "d");
  EXPECT_EQ(JsonInt(json, "n").value(), -3);
  EXPECT_TRUE(JsonBool(json, "b").value());
  EXPECT_THAT(JsonInt(json, "s"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(JsonArray(json, "o"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(JsonTest, RefusesWhatIsMalformedDeepOrHuge) {
  EXPECT_THAT(ParseJson("{"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseJson("{} x"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseJson(std::string(65, '[') + std::string(65, ']')),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("nested deeper")));
  EXPECT_OK(ParseJson(std::string(64, '[') + std::string(64, ']')));
  EXPECT_THAT(ParseJson("[1,2,3]", {.max_bytes = 6}),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(JsonTest, IntegersBeyondInt64AreRefused) {
  ASSERT_OK_AND_ASSIGN(const Json json, ParseJson(R"({"n":18446744073709551615,"f":1.5})"));
  EXPECT_THAT(JsonInt(json, "n"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(JsonInt(json, "f"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(JsonTest, DumpSurvivesInvalidUtf8) { EXPECT_NE(DumpJson(Json("\xff")), ""); }

}  // namespace
}  // namespace crisp
