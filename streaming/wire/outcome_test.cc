#include "streaming/wire/outcome.h"

#include <gmock/gmock.h>

#include "base/json.h"

namespace crisp::streaming {
namespace {

TEST(OutcomeMessage, SaysExitCodesAsAStatus) {
  EXPECT_EQ(OutcomeMessage({}, true), R"({"metadata":{},"status":"Success"})");
  EXPECT_EQ(OutcomeMessage({}, false), "");
  const Json failed = *ParseJson(OutcomeMessage({.exit_code = 42}, true));
  EXPECT_EQ(failed["status"], "Failure");
  EXPECT_EQ(failed["reason"], "NonZeroExitCode");
  EXPECT_EQ(failed["details"]["causes"][0]["reason"], "ExitCode");
  EXPECT_EQ(failed["details"]["causes"][0]["message"], "42");
  EXPECT_THAT(OutcomeMessage({.exit_code = 42}, false), ::testing::HasSubstr("exit code: 42"));
}

TEST(OutcomeMessage, SaysErrorsAsInternal) {
  const Outcome outcome{.status = absl::NotFoundError("no \"prog\xff")};
  const Json failed = *ParseJson(OutcomeMessage(outcome, true));
  EXPECT_EQ(failed["reason"], "InternalError");
  EXPECT_EQ(failed["code"], 500);
  EXPECT_THAT(failed["message"].get<std::string>(), ::testing::HasSubstr("no \"prog"));
  EXPECT_EQ(OutcomeMessage(outcome, false), "no \"prog\xff");
}

TEST(TerminalSizeReader, ReadsSizesHoweverTheyAreCut) {
  TerminalSizeReader reader;
  EXPECT_EQ(reader.Feed("{\"Width\":80,\"Hei"), std::nullopt);
  EXPECT_EQ(reader.Feed("ght\":24}\n{\"Width\":132,\"Height\":50}{\"Wid"),
            (TerminalSize{.columns = 132, .rows = 50}));
  EXPECT_EQ(reader.Feed("th\":1,\"Height\":2}"), (TerminalSize{.columns = 1, .rows = 2}));
}

TEST(TerminalSizeReader, PassesOverWhatIsNoSize) {
  TerminalSizeReader reader;
  for (const char* bad :
       {"}", "[1,2}", "{\"Width\":0,\"Height\":5}", "{\"Width\":70000,\"Height\":5}",
        "{\"Width\":-1,\"Height\":5}", "{\"Width\":\"x\",\"Height\":5}"}) {
    EXPECT_EQ(reader.Feed(bad), std::nullopt) << bad;
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(reader.Feed(std::string(500, 'x')), std::nullopt);
  EXPECT_EQ(reader.Feed("}{\"Width\":3,\"Height\":4}"), (TerminalSize{.columns = 3, .rows = 4}));
}

}  // namespace
}  // namespace crisp::streaming
