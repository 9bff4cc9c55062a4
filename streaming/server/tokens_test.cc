#include "streaming/server/tokens.h"

#include <gtest/gtest.h>

#include <set>

#include "base/testing/status_matchers.h"

namespace crisp::streaming {
namespace {

constexpr absl::Time kNow = absl::UnixEpoch();

SessionRequest Exec(const std::string& id) {
  return {.kind = SessionRequest::Kind::kExec, .id = id, .argv = {"true"}};
}

TEST(TokensTest, ATokenWorksOnce) {
  Tokens tokens(absl::Minutes(1), 10);
  ASSERT_OK_AND_ASSIGN(std::string token, tokens.Add(Exec("c1"), kNow));
  auto request = tokens.Take(token, SessionRequest::Kind::kExec, kNow);
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->id, "c1");
  EXPECT_FALSE(tokens.Take(token, SessionRequest::Kind::kExec, kNow).has_value());
  EXPECT_EQ(tokens.size(), 0u);
}

TEST(TokensTest, ATokenIsGoodForItsOwnKindOnly) {
  Tokens tokens(absl::Minutes(1), 10);
  ASSERT_OK_AND_ASSIGN(std::string token, tokens.Add(Exec("c1"), kNow));
  EXPECT_FALSE(tokens.Take(token, SessionRequest::Kind::kAttach, kNow).has_value());
  EXPECT_TRUE(tokens.Take(token, SessionRequest::Kind::kExec, kNow).has_value());
}

TEST(TokensTest, ATokenExpires) {
  Tokens tokens(absl::Minutes(1), 10);
  ASSERT_OK_AND_ASSIGN(std::string token, tokens.Add(Exec("c1"), kNow));
  EXPECT_FALSE(
      tokens.Take(token, SessionRequest::Kind::kExec, kNow + absl::Minutes(1)).has_value());
  EXPECT_EQ(tokens.size(), 0u);
}

TEST(TokensTest, TheCapCountsOnlyWhatIsStillGood) {
  Tokens tokens(absl::Minutes(1), 2);
  ASSERT_OK(tokens.Add(Exec("c1"), kNow));
  ASSERT_OK(tokens.Add(Exec("c2"), kNow + absl::Seconds(30)));
  EXPECT_THAT(tokens.Add(Exec("c3"), kNow + absl::Seconds(59)),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_OK(tokens.Add(Exec("c3"), kNow + absl::Seconds(60)));
  EXPECT_EQ(tokens.size(), 2u);
}

TEST(TokensTest, TokensDifferAndFitAUrl) {
  Tokens tokens(absl::Minutes(1), 100);
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK_AND_ASSIGN(std::string token, tokens.Add(Exec("c"), kNow));
    EXPECT_EQ(token.size(), 22u);
    EXPECT_EQ(token.find_first_of("+/=%? "), std::string::npos);
    seen.insert(token);
  }
  EXPECT_EQ(seen.size(), 100u);
}

}  // namespace
}  // namespace crisp::streaming
