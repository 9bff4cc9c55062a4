#include "streaming/server/tokens.h"

#include <gtest/gtest.h>

#include <set>

#include "base/testing/manual_clock.h"
#include "base/testing/status_matchers.h"

namespace crisp::streaming {
namespace {

SessionRequest Exec(const std::string& id) {
  return {.kind = SessionRequest::Kind::kExec, .id = id, .argv = {"true"}};
}

TEST(TokensTest, ATokenWorksOnce) {
  ManualClock clock;
  Tokens tokens(absl::Minutes(1), 10, clock);
  ASSERT_OK_AND_ASSIGN(std::string token, tokens.Add(Exec("c1")));
  auto request = tokens.Take(token, SessionRequest::Kind::kExec);
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->id, "c1");
  EXPECT_FALSE(tokens.Take(token, SessionRequest::Kind::kExec).has_value());
  EXPECT_EQ(tokens.size(), 0u);
}

TEST(TokensTest, ATokenIsGoodForItsOwnKindOnly) {
  ManualClock clock;
  Tokens tokens(absl::Minutes(1), 10, clock);
  ASSERT_OK_AND_ASSIGN(std::string token, tokens.Add(Exec("c1")));
  EXPECT_FALSE(tokens.Take(token, SessionRequest::Kind::kAttach).has_value());
  EXPECT_TRUE(tokens.Take(token, SessionRequest::Kind::kExec).has_value());
}

TEST(TokensTest, ATokenExpires) {
  ManualClock clock;
  Tokens tokens(absl::Minutes(1), 10, clock);
  ASSERT_OK_AND_ASSIGN(std::string token, tokens.Add(Exec("c1")));
  clock.Advance(absl::Minutes(1));
  EXPECT_FALSE(tokens.Take(token, SessionRequest::Kind::kExec).has_value());
  EXPECT_EQ(tokens.size(), 0u);
}

TEST(TokensTest, TheCapCountsOnlyWhatIsStillGood) {
  ManualClock clock;
  Tokens tokens(absl::Minutes(1), 2, clock);
  ASSERT_OK(tokens.Add(Exec("c1")));
  clock.Advance(absl::Seconds(30));
  ASSERT_OK(tokens.Add(Exec("c2")));
  clock.Advance(absl::Seconds(29));
  EXPECT_THAT(tokens.Add(Exec("c3")), StatusIs(absl::StatusCode::kResourceExhausted));
  clock.Advance(absl::Seconds(1));
  EXPECT_OK(tokens.Add(Exec("c3")));
  EXPECT_EQ(tokens.size(), 2u);
}

TEST(TokensTest, TokensDifferAndFitAUrl) {
  ManualClock clock;
  Tokens tokens(absl::Minutes(1), 100, clock);
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK_AND_ASSIGN(std::string token, tokens.Add(Exec("c")));
    EXPECT_EQ(token.size(), 22u);
    EXPECT_EQ(token.find_first_of("+/=%? "), std::string::npos);
    seen.insert(token);
  }
  EXPECT_EQ(seen.size(), 100u);
}

}  // namespace
}  // namespace crisp::streaming
