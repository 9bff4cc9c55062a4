#include "storage/registry/registry_auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "storage/registry/testing/registry_test_util.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using Request = HttpTestServer::Request;
using Response = HttpTestServer::Response;
using Code = absl::StatusCode;

TEST(WwwAuthenticateTest, ReadsOneAndSeveralChallenges) {
  const auto one = ParseWwwAuthenticate(
      R"(Bearer realm="https://a.example/token?x=\"1\"",service="s",scope="repository:a/b:pull,push")");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].scheme, "bearer");
  EXPECT_THAT(one[0].parameters,
              ElementsAre(Pair("realm", "https://a.example/token?x=\"1\""),
                          Pair("scope", "repository:a/b:pull,push"), Pair("service", "s")));
  const auto two = ParseWwwAuthenticate("Negotiate, BASIC Realm = plain , Bearer realm=\"r\"");
  ASSERT_EQ(two.size(), 3u);
  EXPECT_EQ(two[1].scheme, "basic");
  EXPECT_THAT(two[1].parameters, ElementsAre(Pair("realm", "plain")));
  EXPECT_EQ(two[2].scheme, "bearer");
}

TEST(WwwAuthenticateTest, LeavesOutWhatItCannotUnderstand) {
  EXPECT_TRUE(ParseWwwAuthenticate("").empty());
  EXPECT_TRUE(ParseWwwAuthenticate(",,;;\"").empty());
  EXPECT_TRUE(ParseWwwAuthenticate("realm=\"x\"").empty());
  const auto cut = ParseWwwAuthenticate("Bearer service=s,realm=\"https://cut");
  ASSERT_EQ(cut.size(), 1u);
  EXPECT_THAT(cut[0].parameters, ElementsAre(Pair("service", "s")));
}

TEST(CredentialsTest, PrefersInTheDocumentedOrder) {
  RegistryAuth auth{.username = "u",
                    .password = "p",
                    .auth = absl::Base64Escape("a:b:c"),
                    .identity_token = "i",
                    .registry_token = "r"};
  EXPECT_EQ(DecodeCredentials(auth)->username, "u");
  EXPECT_EQ(DecodeCredentials(auth)->identity_token, "");
  auth.username = "";
  EXPECT_EQ(DecodeCredentials(auth)->username, "a");
  EXPECT_EQ(DecodeCredentials(auth)->password, "b:c");
  auth.auth = "";
  EXPECT_EQ(DecodeCredentials(auth)->identity_token, "i");
  auth.identity_token = "";
  EXPECT_EQ(DecodeCredentials(auth)->registry_token, "r");
  EXPECT_TRUE(DecodeCredentials({})->empty());
}

TEST(CredentialsTest, RefusesWhatCannotBeSentWithoutRepeatingIt) {
  EXPECT_THAT(DecodeCredentials({.auth = "s3cret!"}),
              StatusIs(Code::kInvalidArgument, Not(HasSubstr("s3cret"))));
  EXPECT_THAT(DecodeCredentials({.auth = absl::Base64Escape("nocolon")}),
              StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(DecodeCredentials({.registry_token = "a\r\nX: y"}), StatusIs(Code::kInvalidArgument));
}

TEST(CredentialsTest, AreForTheExactHostOnly) {
  const RegistryHost self{.host = "r.example", .upstream = true};
  const RegistryHost mirror{.host = "m.example"};
  const RegistryHost hub = DefaultRegistryHost("docker.io");
  EXPECT_TRUE(MaySeeCredentials(self, "r.example", ""));
  EXPECT_FALSE(MaySeeCredentials(mirror, "r.example", ""));
  EXPECT_TRUE(MaySeeCredentials(self, "r.example", "https://R.example:443/v1/"));
  EXPECT_FALSE(MaySeeCredentials(self, "r.example", "other.example"));
  EXPECT_FALSE(MaySeeCredentials(self, "r.example", "r.example.evil"));
  EXPECT_FALSE(MaySeeCredentials(self, "r.example", "r.example:5000"));
  EXPECT_FALSE(MaySeeCredentials(self, "r.example", "m.example"));
  EXPECT_TRUE(MaySeeCredentials(mirror, "r.example", "m.example"));
  for (const char* address : {"docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"}) {
    EXPECT_TRUE(MaySeeCredentials(hub, "docker.io", address)) << address;
  }
}

TEST(TokenReplyTest, TakesEitherNameAndBoundsTheLifetime) {
  const absl::Time now = absl::FromUnixSeconds(1000);
  EXPECT_EQ(ParseTokenReply(R"({"token":"t","expires_in":300})", now)->expires,
            now + absl::Seconds(300));
  EXPECT_EQ(ParseTokenReply(R"({"access_token":"a"})", now)->value, "a");
  EXPECT_EQ(ParseTokenReply(R"({"token":"t","expires_in":-5})", now)->expires,
            now + absl::Seconds(60));
  EXPECT_EQ(ParseTokenReply(R"({"token":"t","expires_in":9999999999})", now)->expires,
            now + absl::Hours(24));
  for (const char* bad :
       {"", "[]", "{}", R"({"token":"a b"})", R"({"token":"a\r\nb"})", R"({"token":7})"}) {
    EXPECT_THAT(ParseTokenReply(bad, now), StatusIs(Code::kInvalidArgument)) << bad;
  }
}

TEST(TokenCacheTest, ForgetsWhatExpired) {
  TokenCache cache;
  cache.Put("a", {"1", absl::Now() + absl::Minutes(1)});
  cache.Put("b", {"2", absl::Now() + absl::Seconds(1)});  // within the margin
  EXPECT_EQ(cache.Find("a"), "1");
  EXPECT_EQ(cache.Find("b"), std::nullopt);
  for (int i = 0; i < 2000; ++i) {
    cache.Put(absl::StrCat("k", i), {"x", absl::Now() + absl::Minutes(1)});
  }
  EXPECT_EQ(cache.Find("k1999"), "x");
}

// A registry that wants "Bearer good" and a token server of another origin.
class AuthFlowTest : public RegistryFixture {
 protected:
  Response Registry(const Request& request) {
    if (request.Header("authorization") == wanted_) return Serve(image_, request);
    return {.status = 401, .headers = {{"WWW-Authenticate", challenge_}}};
  }
  std::string BearerChallenge(const HttpTestServer& tokens) {
    return absl::StrCat("Bearer realm=\"", tokens.url(), "/token?a=b\",service=\"the service\"");
  }
  absl::Status Resolve(const HttpTestServer& server, const RegistryAuth& auth) {
    Configure(server.host(), absl::StrCat("server = \"", server.url(), "\""));
    return Open(server.host() + "/team/app:1", auth)->Resolve(Soon()).status();
  }

  std::string wanted_ = "Bearer good";
  std::string challenge_;
  HttpTestServer server_{[this](const Request& request) { return Registry(request); }};
};

TEST_F(AuthFlowTest, FetchesAnAnonymousTokenOnceForSeveralPulls) {
  HttpTestServer tokens([](const Request&) { return Response{.body = R"({"token":"good"})"}; });
  challenge_ = BearerChallenge(tokens);
  EXPECT_OK(Resolve(server_, {}));
  EXPECT_OK(Resolve(server_, {}));
  ASSERT_EQ(tokens.requests().size(), 1u);
  EXPECT_EQ(tokens.requests()[0].method, "GET");
  EXPECT_EQ(tokens.requests()[0].query,
            "a=b&scope=repository%3Ateam%2Fapp%3Apull&service=the%20service");
  EXPECT_EQ(tokens.requests()[0].Header("authorization"), "");
}

TEST_F(AuthFlowTest, TradesUserAndPasswordForAToken) {
  HttpTestServer tokens([](const Request& request) {
    if (request.Header("authorization") != "Basic " + absl::Base64Escape("me:pw")) {
      return Response{.status = 401};
    }
    return Response{.body = R"({"token":"good"})"};
  });
  challenge_ = BearerChallenge(tokens);
  EXPECT_OK(Resolve(server_, {.username = "me", .password = "pw"}));
  EXPECT_THAT(tokens.requests()[0].query, HasSubstr("account=me"));
  EXPECT_THAT(Resolve(server_, {.username = "me", .password = "wrong-password"}),
              StatusIs(Code::kUnauthenticated, Not(HasSubstr("wrong-password"))));
}

TEST_F(AuthFlowTest, TradesAnIdentityTokenByPost) {
  HttpTestServer tokens(
      [](const Request&) { return Response{.body = R"({"access_token":"good"})"}; });
  challenge_ = BearerChallenge(tokens) + ",scope=\"repository:team/app:pull\"";
  EXPECT_OK(Resolve(server_, {.identity_token = "refresh/me"}));
  ASSERT_EQ(tokens.requests().size(), 1u);
  EXPECT_EQ(tokens.requests()[0].method, "POST");
  EXPECT_THAT(tokens.requests()[0].body, HasSubstr("grant_type=refresh_token"));
  EXPECT_THAT(tokens.requests()[0].body, HasSubstr("refresh_token=refresh%2Fme"));
  EXPECT_THAT(tokens.requests()[0].query, Not(HasSubstr("refresh")));
}

TEST_F(AuthFlowTest, NeverRedirectsAForm) {
  HttpTestServer thief([](const Request&) { return Response{.body = R"({"token":"good"})"}; });
  HttpTestServer tokens([&](const Request&) {
    return Response{.status = 307, .headers = {{"Location", thief.url() + "/x"}}};
  });
  challenge_ = BearerChallenge(tokens);
  EXPECT_THAT(Resolve(server_, {.identity_token = "refresh-me"}), StatusIs(Code::kUnauthenticated));
  EXPECT_TRUE(thief.requests().empty());
}

TEST_F(AuthFlowTest, SendsARegistryTokenAsItIs) {
  EXPECT_OK(Resolve(server_, {.registry_token = "good"}));
  EXPECT_EQ(server_.requests()[0].Header("authorization"), "Bearer good");
  challenge_ = "Bearer realm=\"http://127.0.0.1:1/\"";
  EXPECT_THAT(Resolve(server_, {.registry_token = "not-good"}),
              StatusIs(Code::kUnauthenticated, Not(HasSubstr("not-good"))));
}

TEST_F(AuthFlowTest, AnswersABasicChallenge) {
  wanted_ = "Basic " + absl::Base64Escape("me:pw");
  challenge_ = "Basic realm=\"x\"";
  EXPECT_OK(Resolve(server_, {.username = "me", .password = "pw"}));
  EXPECT_THAT(Resolve(server_, {.username = "me", .password = "bad"}),
              StatusIs(Code::kUnauthenticated, HasSubstr("refused")));
  EXPECT_THAT(Resolve(server_, {}), StatusIs(Code::kUnauthenticated, HasSubstr("no credentials")));
}

TEST_F(AuthFlowTest, RenewsATokenThatTheRegistryNoLongerTakes) {
  std::atomic<int> issued = 0;
  HttpTestServer tokens([&](const Request&) {
    return Response{.body = absl::StrCat(R"({"token":"t)", ++issued, R"("})")};
  });
  challenge_ = BearerChallenge(tokens);
  wanted_ = "Bearer t1";
  EXPECT_OK(Resolve(server_, {}));
  wanted_ = "Bearer t2";
  EXPECT_OK(Resolve(server_, {}));
  EXPECT_EQ(issued, 2);
}

TEST_F(AuthFlowTest, SaysForbiddenAndUnreachable) {
  HttpTestServer forbidden([](const Request&) { return Response{.status = 403}; });
  EXPECT_THAT(Resolve(forbidden, {}), StatusIs(Code::kPermissionDenied));
  challenge_ = "Bearer realm=\"http://127.0.0.1:1/token\"";
  EXPECT_THAT(Resolve(server_, {}),
              StatusIs(Code::kUnavailable, ::testing::StartsWith("RegistryUnavailable")));
  challenge_ = "Bearer realm=\"file:///etc/passwd\"";
  EXPECT_THAT(Resolve(server_, {}), StatusIs(Code::kUnauthenticated));
}

TEST_F(AuthFlowTest, KeepsCredentialsFromMirrorsAndForeignAddresses) {
  challenge_ = "Basic realm=\"x\"";
  wanted_ = "Basic " + absl::Base64Escape("me:pw");
  HttpTestServer mirror([](const Request&) {
    return Response{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"m\""}}};
  });
  Configure("r.example",
            absl::StrCat("server = \"", server_.url(), "\"\n[host.\"", mirror.url(), "\"]\n"));
  RegistryAuth auth{.username = "me", .password = "pw"};
  EXPECT_OK(Open("r.example/team/app:1", auth)->Resolve(Soon()));
  for (const Request& request : mirror.requests()) {
    EXPECT_EQ(request.Header("authorization"), "");
  }
  auth.server_address = "https://elsewhere.example";
  EXPECT_THAT(Open("r.example/team/app:1", auth)->Resolve(Soon()),
              StatusIs(Code::kUnauthenticated));
}

TEST_F(AuthFlowTest, DropsAuthorizationOnARedirectToAnotherOrigin) {
  wanted_ = "Basic " + absl::Base64Escape("me:pw");
  challenge_ = "Basic realm=\"x\"";
  HttpTestServer storage([&](const Request& request) { return Ranged(request, image_.layer); });
  HttpTestServer redirecting([&](const Request& request) {
    Response response = Registry(request);
    if (response.status == 200 && absl::StrContains(request.path, "/blobs/")) {
      return Response{.status = 307,
                      .headers = {{"Location", storage.url() + "/b?X-Signature=s3cr3t"}}};
    }
    return response;
  });
  Configure(redirecting.host(),
            absl::StrCat("server = \"", redirecting.url(), "\"\n[header]\nx-private = \"mine\"\n"));
  auto session = Open(redirecting.host() + "/team/app:1", {.username = "me", .password = "pw"});
  EXPECT_OK(session->FetchBlob(
      image_.layer_descriptor, [](absl::string_view) { return absl::OkStatus(); }, Soon()));
  ASSERT_EQ(storage.requests().size(), 1u);
  EXPECT_EQ(storage.requests()[0].query, "X-Signature=s3cr3t");
  EXPECT_EQ(storage.requests()[0].Header("authorization"), "");
  EXPECT_EQ(storage.requests()[0].Header("x-private"), "");
  EXPECT_EQ(redirecting.requests().back().Header("x-private"), "mine");
}

TEST_F(AuthFlowTest, ScrubsSecretsFromErrors) {
  HttpTestServer echo([](const Request& request) {
    return Response{
        .status = 403,
        .body = absl::StrCat(R"({"errors":[{"code":"DENIED","message":"see )",
                             "http://u:p@h/x?sig=abcdef and hunter2 ", request.query, R"("}]})")};
  });
  EXPECT_THAT(Resolve(echo, {.username = "me", .password = "hunter2"}),
              StatusIs(Code::kPermissionDenied,
                       ::testing::AllOf(HasSubstr("DENIED: see http://h/x and [redacted]"),
                                        Not(HasSubstr("abcdef")), Not(HasSubstr("u:p")))));
}

TEST_F(AuthFlowTest, ScrubsAPairThatIsSentBackEncoded) {
  challenge_ = "Basic realm=\"x\"";
  HttpTestServer echo([](const Request& request) {
    if (request.Header("authorization").empty()) {
      return Response{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}};
    }
    return Response{.status = 403,
                    .body = absl::StrCat(R"({"errors":[{"code":"DENIED","message":"you sent )",
                                         request.Header("authorization"), R"("}]})")};
  });
  for (const std::string password : {"hunter22", "hunter2", "hunter"}) {  // each padding
    const std::string pair = absl::Base64Escape("me:" + password);
    EXPECT_THAT(
        Resolve(echo, {.username = "me", .password = password}),
        StatusIs(Code::kPermissionDenied, ::testing::AllOf(HasSubstr("you sent Basic [redacted]"),
                                                           Not(HasSubstr(pair.substr(0, 10))))));
  }
  const std::vector<std::string> secrets =
      SecretsOf({.username = "me", .password = "a b/c", .identity_token = "t/k"});
  EXPECT_THAT(secrets, ::testing::IsSupersetOf({"a b/c", "a%20b%2Fc", "t/k", "t%2Fk"}));
}

TEST_F(AuthFlowTest, WaitsForATokenServerThatIsThrottled) {
  std::atomic<int> asked = 0;
  HttpTestServer tokens([&](const Request&) {
    if (++asked == 1) return Response{.status = 429, .headers = {{"Retry-After", "1"}}};
    if (asked == 2) return Response{.status = 503};
    return Response{.body = R"({"token":"t1"})"};
  });
  challenge_ = BearerChallenge(tokens);
  wanted_ = "Bearer t1";
  const absl::Time start = absl::Now();
  EXPECT_OK(Resolve(server_, {}));
  EXPECT_EQ(asked, 3);
  EXPECT_GE(absl::Now() - start, absl::Seconds(1));
}

}  // namespace
}  // namespace crisp::storage
