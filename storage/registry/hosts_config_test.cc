#include "storage/registry/hosts_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<std::vector<RegistryHost>> Parse(absl::string_view text,
                                                absl::string_view registry = "docker.io",
                                                bool shared = false) {
  return ParseHostsToml(text, "/c/hosts.toml", "/c", registry, shared);
}

void Put(const std::string& path, absl::string_view text) {
  ASSERT_OK(MakeDirs(path.substr(0, path.rfind('/'))));
  ASSERT_OK(AtomicWriteFile(path, text, 0644, Durability::kNone));
}

TEST(HostsTomlTest, KeepsTheFilesOrder) {
  ASSERT_OK_AND_ASSIGN(const auto hosts, Parse(R"(
server = "https://registry-1.docker.io"
[host."https://z.example"]
  capabilities = ["pull"]
[host."http://a.example:5000/prefix"]
  capabilities = ["pull", "resolve", "push"]
[host."m.example/x/v2/"]
  override_path = true
)"));
  ASSERT_EQ(hosts.size(), 4u);
  EXPECT_EQ(hosts[0].host, "z.example");
  EXPECT_EQ(hosts[0].path, "/v2");
  EXPECT_TRUE(hosts[0].can_pull);
  EXPECT_FALSE(hosts[0].can_resolve);
  EXPECT_TRUE(hosts[0].send_namespace);
  EXPECT_FALSE(hosts[0].upstream);
  EXPECT_EQ(hosts[1].scheme, "http");
  EXPECT_EQ(hosts[1].host, "a.example:5000");
  EXPECT_EQ(hosts[1].path, "/prefix/v2");
  EXPECT_EQ(hosts[2].scheme, "https");
  EXPECT_EQ(hosts[2].path, "/x/v2");
  EXPECT_EQ(hosts[3].host, "registry-1.docker.io");
  EXPECT_TRUE(hosts[3].upstream);
  EXPECT_FALSE(hosts[3].send_namespace);
}

TEST(HostsTomlTest, ReadsEverySetting) {
  ASSERT_OK_AND_ASSIGN(const auto hosts, Parse(R"(
[host."https://m.example"]
  ca = ["ca.pem", "/abs/ca.pem"]
  client = [["c.cert", "c.key"], "both.pem"]
  skip_verify = true
  dial_timeout = "1m30s"
  [host."https://m.example".header]
    x-custom = ["1", "2"]
    authorization = "Basic Zm9v"
)"));
  ASSERT_EQ(hosts.size(), 2u);
  EXPECT_THAT(hosts[0].ca_files, ElementsAre("/c/ca.pem", "/abs/ca.pem"));
  EXPECT_THAT(hosts[0].client_pairs,
              ElementsAre(Pair("/c/c.cert", "/c/c.key"), Pair("/c/both.pem", "")));
  EXPECT_TRUE(hosts[0].skip_verify);
  EXPECT_EQ(hosts[0].dial_timeout, absl::Seconds(90));
  EXPECT_THAT(hosts[0].headers, ElementsAre(Pair("authorization", "Basic Zm9v"),
                                            Pair("x-custom", "1"), Pair("x-custom", "2")));
  EXPECT_FALSE(hosts[1].skip_verify);
}

TEST(HostsTomlTest, PlainHttpBesideTlsSettingsTriesTlsFirst) {
  ASSERT_OK_AND_ASSIGN(const auto hosts, Parse(R"(
[host."http://a.example:5000"]
  skip_verify = true
[host."http://b.example:80"]
  skip_verify = true
[host."http://c.example"]
)"));
  EXPECT_TRUE(hosts[0].http_fallback);
  EXPECT_EQ(hosts[0].scheme, "https");
  EXPECT_FALSE(hosts[1].http_fallback);
  EXPECT_EQ(hosts[1].scheme, "http");
  EXPECT_FALSE(hosts[2].http_fallback);
}

TEST(HostsTomlTest, ServerIsTheRegistryOnlyInItsOwnDirectory) {
  const char* text = "server = \"https://other.example\"";
  ASSERT_OK_AND_ASSIGN(const auto own, Parse(text, "r.example", false));
  EXPECT_TRUE(own[0].upstream);
  EXPECT_TRUE(own[0].send_namespace);
  ASSERT_OK_AND_ASSIGN(const auto shared, Parse(text, "r.example", true));
  EXPECT_FALSE(shared[0].upstream);
  ASSERT_OK_AND_ASSIGN(const auto none, Parse("capabilities = [\"push\"]", "r.example", true));
  EXPECT_EQ(none[0].host, "r.example");
  EXPECT_TRUE(none[0].upstream);
  EXPECT_TRUE(none[0].can_resolve);
}

TEST(HostsTomlTest, NamesFileAndLineOfWhatIsWrong) {
  EXPECT_THAT(Parse("server = \"x\"\nnonsense"), StatusIs(kInvalid, HasSubstr("/c/hosts.toml:2")));
  EXPECT_THAT(Parse("\n[host.\"https://a\"]\ncapabilities = [\"fly\"]"),
              StatusIs(kInvalid, HasSubstr("/c/hosts.toml:3: unknown capability \"fly\"")));
  const char* bad[] = {
      "host = 1",
      "host.a = 1",
      "server = 1",
      "skip_verify = \"yes\"",
      "ca = 3",
      "client = [[\"a\"]]",
      "dial_timeout = \"soon\"",
      "dial_timeout = \"-1s\"",
      "header = 1",
      "server = \"ftp://x\"",
      "server = \"https://u:p@x\"",
      "server = \"https:///v2\"",
      "server = \"a b\"",
      "[host.\"https://x\"]\n[host.\"https://x\"]",
      "[header]\nx = \"a\\r\\nb\"",
      "[header]\n\"a: b\" = \"c\"",
      "server = \"https://x/?q\"",
  };
  for (const char* text : bad) EXPECT_THAT(Parse(text), StatusIs(kInvalid)) << text;
}

TEST(HostsTomlTest, TellsUnknownKeys) {
  EXPECT_THAT(
      Parse("server = \"https://a\"\ncapabilites = [\"pull\"]\n"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(":2: unknown key 'capabilites'")));
  EXPECT_THAT(
      Parse("[host.\"https://a\"]\n  skip-verify = true\n"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(":2: unknown key 'skip-verify'")));
}

TEST(LoadRegistryHostsTest, DefaultsWithoutConfiguration) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto hub, LoadRegistryHosts({dir.path()}, "docker.io"));
  EXPECT_EQ(hub[0].host, "registry-1.docker.io");
  EXPECT_EQ(hub[0].scheme, "https");
  EXPECT_FALSE(hub[0].send_namespace);
  ASSERT_OK_AND_ASSIGN(auto local, LoadRegistryHosts({}, "localhost:5000"));
  EXPECT_TRUE(local[0].http_fallback);
  EXPECT_TRUE(local[0].skip_verify);
  ASSERT_OK_AND_ASSIGN(auto web, LoadRegistryHosts({}, "127.0.0.1:80"));
  EXPECT_EQ(web[0].scheme, "http");
  ASSERT_OK_AND_ASSIGN(auto tls, LoadRegistryHosts({}, "localhost"));
  EXPECT_FALSE(tls[0].http_fallback);
  ASSERT_OK_AND_ASSIGN(auto remote, LoadRegistryHosts({}, "r.example:5000"));
  EXPECT_FALSE(remote[0].http_fallback);
  EXPECT_FALSE(remote[0].skip_verify);
}

TEST(LoadRegistryHostsTest, FindsEachDirectoryForm) {
  const TempDir dir;
  Put(dir.path() + "/1/r.example_5000_/hosts.toml", "server = \"https://spelled\"");
  Put(dir.path() + "/1/r.example:5000/hosts.toml", "server = \"https://colon\"");
  Put(dir.path() + "/1/q.example:5000/hosts.toml", "server = \"https://q\"");
  Put(dir.path() + "/2/_default/hosts.toml", "server = \"https://fallback\"");
  const std::vector<std::string> dirs = {dir.path() + "/1", dir.path() + "/2"};
  EXPECT_EQ(LoadRegistryHosts(dirs, "r.example:5000")->back().host, "spelled");
  EXPECT_EQ(LoadRegistryHosts(dirs, "q.example:5000")->back().host, "q");
  EXPECT_EQ(LoadRegistryHosts(dirs, "other.example")->back().host, "fallback");
  EXPECT_FALSE(LoadRegistryHosts(dirs, "other.example")->back().upstream);
  // Read anew by every call.
  Put(dir.path() + "/1/q.example:5000/hosts.toml", "server = \"https://moved\"");
  EXPECT_EQ(LoadRegistryHosts(dirs, "q.example:5000")->back().host, "moved");
  Put(dir.path() + "/1/q.example:5000/hosts.toml", "server = ");
  EXPECT_THAT(LoadRegistryHosts(dirs, "q.example:5000"), StatusIs(kInvalid));
}

TEST(LoadRegistryHostsTest, ReadsDockersCertificateFiles) {
  const TempDir dir;
  const std::string own = dir.path() + "/r.example";
  for (const char* name : {"/ca.crt", "/client.cert", "/client.key", "/notes.txt"}) {
    Put(own + name, "x");
  }
  ASSERT_OK_AND_ASSIGN(const auto hosts, LoadRegistryHosts({dir.path()}, "r.example"));
  ASSERT_EQ(hosts.size(), 1u);
  EXPECT_THAT(hosts[0].ca_files, ElementsAre(own + "/ca.crt"));
  EXPECT_THAT(hosts[0].client_pairs, ElementsAre(Pair(own + "/client.cert", own + "/client.key")));
  Put(own + "/lonely.cert", "x");
  EXPECT_THAT(LoadRegistryHosts({dir.path()}, "r.example"),
              StatusIs(kInvalid, HasSubstr("lonely.key")));
}

TEST(HostTest, CanonicalAndLoopback) {
  EXPECT_EQ(CanonicalHost("R.example:443", "https"), "r.example");
  EXPECT_EQ(CanonicalHost("r.example:80", "https"), "r.example:80");
  EXPECT_EQ(CanonicalHost("[::1]:80", "http"), "[::1]");
  EXPECT_EQ(CanonicalHost("docker.io", "https"), CanonicalHost("index.docker.io", "https"));
  for (const char* host : {"localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:5000", "[::1]:5"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host : {"localhost.example", "128.0.0.1", "[::2]:5", "[", "127.0.0.1.example"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

}  // namespace
}  // namespace crisp::storage
