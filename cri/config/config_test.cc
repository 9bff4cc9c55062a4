#include "cri/config/config.h"

#include <regex>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::cri {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::Status Apply(const std::string& text, Config* config = nullptr) {
  Config scratch;
  return ApplyConfig(text, "c.yaml", config ? *config : scratch);
}

TEST(ConfigTest, ReadsEveryKindOfValue) {
  Config config;
  ASSERT_OK(
      Apply("root: /r\nnetwork:\n  mtu: 1400\n  masquerade: false\n  attach_spares: false\n"
            "image:\n  pinned: [a, 'b*']\n  stall_timeout: 90s\n",
            &config));
  EXPECT_EQ(config.root, "/r");
  EXPECT_EQ(config.network.mtu, 1400);
  EXPECT_FALSE(config.network.attach_spares);
  EXPECT_FALSE(config.network.masquerade);
  EXPECT_THAT(config.image.pinned_images, ElementsAre("a", "b*"));
  EXPECT_EQ(config.image.stall_timeout, absl::Seconds(90));
  EXPECT_EQ(config.state, "/run/crisp") << "what is not named keeps its default";
}

TEST(ConfigTest, EmptyTextAndEmptyValuesKeepDefaults) {
  Config config;
  EXPECT_OK(Apply("", &config));
  EXPECT_OK(Apply("# only a comment\n", &config));
  EXPECT_OK(Apply("root:\nnetwork:\n", &config));
  EXPECT_EQ(config.root, "/var/lib/crisp");
}

// The file that a node gets: every key at its default behind a "#", prose behind "# ".
TEST(ConfigTest, TheInstalledFileShowsEveryDefault) {
  ASSERT_OK_AND_ASSIGN(const std::string installed,
                       ReadFile(CRISP_SOURCE_DIR "/packaging/config.yaml"));
  Config config;
  ASSERT_OK(Apply(installed, &config));
  EXPECT_EQ(DumpConfig(config), DumpConfig(Config{})) << "what it says uncommented is the default";

  std::string shown;
  for (absl::string_view line : absl::StrSplit(installed, '\n')) {
    const absl::string_view text = absl::StripLeadingAsciiWhitespace(line);
    if (text.empty() || absl::StartsWith(text, "# ")) continue;
    absl::StrAppend(&shown, absl::StrReplaceAll(line, {{"#", ""}}), "\n");
  }
  EXPECT_EQ(shown, DumpConfig(Config{})) << "no key is missing, none has another default";
}

// The keys that docs/migrating.md tells operators to set exist.
TEST(ConfigTest, TheGuideNamesOnlyKeysThatThereAre) {
  ASSERT_OK_AND_ASSIGN(const std::string guide, ReadFile(CRISP_SOURCE_DIR "/docs/migrating.md"));
  const std::regex key("`(metrics|image|network|runtime|streaming)\\.([a-z_]+)");
  int named = 0;
  for (std::sregex_iterator match(guide.begin(), guide.end(), key), end; match != end; ++match) {
    ++named;
    // "key:" without a value leaves the default, whatever its type.
    EXPECT_OK(Apply(absl::StrCat("{", (*match)[1].str(), ": {", (*match)[2].str(), ": }}")));
  }
  EXPECT_GT(named, 25);
}

struct BadText {
  const char* text;
  const char* message;
};

TEST(ConfigTest, ErrorsNameFileLineAndKey) {
  const BadText kCases[] = {
      {"root: /r\nroots: /x\n", "c.yaml:2: unknown key roots"},
      {"network:\n  mtu: 1\n  bridge: x\n", "c.yaml:3: unknown key network.bridge"},
      {"network:\n  mtu: many\n", "c.yaml:2: network.mtu must be an integer"},
      {"network:\n  masquerade: 7\n", "c.yaml:2: network.masquerade must be true or false"},
      {"image:\n  stall_timeout: 5\n", "c.yaml:2: image.stall_timeout must be a duration"},
      {"image:\n  stall_timeout: -5s\n", "c.yaml:2: image.stall_timeout must be a duration"},
      {"image:\n  pinned: a\n", "c.yaml:2: image.pinned must be a list of strings"},
      {"image:\n  pinned: [[a]]\n", "c.yaml:2: image.pinned must be a list of strings"},
      {"root: [a]\n", "c.yaml:1: root must be a string"},
      {"\nnetwork: 5\n", "c.yaml:2: network must be a mapping"},
      {"- a\n", "c.yaml:1: the document must be a mapping"},
      {"root: /a\nroot: /b\n", "c.yaml:2: key root is given twice"},
      {"root: /a\n---\nroot: /b\n", "only one document"},
      {"root: [open\n", "c.yaml:"},
      {"? [a]\n: b\n", "c.yaml:1: a key must be a plain word"},
  };
  for (const BadText& bad : kCases) {
    EXPECT_THAT(Apply(bad.text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.message)))
        << bad.text;
  }
}

TEST(ConfigTest, StreamingNeedsItsLimits) {
  for (const char* bad : {"creation_timeout: 0s", "url_timeout: 0s", "max_connections: 0",
                          "max_connections_per_pod: 0"}) {
    Config config;
    ASSERT_OK(Apply(std::string("streaming: {") + bad + "}", &config));
    EXPECT_THAT(config.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("streaming.")))
        << bad;
  }
  Config config;
  ASSERT_OK(Apply("streaming: {idle_timeout: 0s, address: ''}", &config));
  EXPECT_OK(config.Validate());
}

TEST(ConfigTest, DumpReadsBackEqual) {
  Config config;
  config.root = "/with \"quotes\" and: colon";
  config.image.pinned_images = {"a:b", "*"};
  config.image.stall_timeout = absl::Milliseconds(1500);
  config.network.masquerade = false;
  const std::string dump = DumpConfig(config);
  Config again;
  ASSERT_OK(ApplyConfig(dump, "dump", again));
  EXPECT_EQ(DumpConfig(again), dump);
  EXPECT_EQ(again.root, config.root);
  EXPECT_EQ(again.image.pinned_images, config.image.pinned_images);
  EXPECT_EQ(again.image.stall_timeout, config.image.stall_timeout);
  EXPECT_FALSE(again.network.masquerade);
}

TEST(ConfigTest, DropInsOverrideInNameOrder) {
  TempDir dir;
  ASSERT_OK(MakeDirs(dir.path() + "/config.d"));
  const auto write = [&](const std::string& name, const std::string& text) {
    ASSERT_OK(AtomicWriteFile(dir.path() + "/" + name, text, 0600, Durability::kNone));
  };
  write("config.yaml", "root: /main\nstate: /main-state\n");
  write("config.d/20.yaml", "root: /second\n");
  write("config.d/10.yaml", "root: /first\nlog_level: debug\n");
  write("config.d/30.yml.bak", "root: /never\n");
  ASSERT_OK_AND_ASSIGN(const Config config,
                       LoadConfig(dir.path() + "/config.yaml", ConfigFile::kRequired));
  EXPECT_EQ(config.root, "/second");
  EXPECT_EQ(config.state, "/main-state");
  EXPECT_EQ(config.log_level, "debug");

  write("config.d/40.yaml", "nonsense: 1\n");
  EXPECT_THAT(LoadConfig(dir.path() + "/config.yaml", ConfigFile::kRequired),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("40.yaml:1: unknown key")));
}

TEST(ConfigTest, HandlersAreMappingsOrNames) {
  Config config;
  ASSERT_OK(ApplyConfig("runtime: {handlers: [plain, {name: other, type: crisp}, {name: third}]}",
                        "f", config));
  const std::vector<HandlerConfig> wanted = {
      {.name = "plain"}, {.name = "other", .type = "crisp"}, {.name = "third"}};
  EXPECT_EQ(config.runtime.handlers, wanted);
  EXPECT_OK(config.Validate());
  EXPECT_THAT(DumpConfig(config), HasSubstr("{name: \"third\", type: \"crisp\"}"));
  Config again;
  ASSERT_OK(ApplyConfig(DumpConfig(config), "dump", again));
  EXPECT_EQ(again.runtime.handlers, wanted);
  for (const char* item : {"{type: crisp}", "{name: x, path: /y}", "[x]", "{name: {x: y}}"}) {
    EXPECT_THAT(ApplyConfig(absl::StrCat("runtime:\n  handlers: [", item, "]\n"), "f", again),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("f:2: runtime.handlers must be a list of mappings")))
        << item;
  }
}

TEST(ConfigTest, AnUnknownTypeOfRuntimeIsRefusedByName) {
  Config config;
  ASSERT_OK(ApplyConfig("runtime:\n  handlers: [{name: small, type: vm}]\n", "f", config));
  EXPECT_THAT(config.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::AllOf(HasSubstr("f:2: runtime.handlers"), HasSubstr("\"vm\""),
                                        HasSubstr("\"small\""), HasSubstr("\"crisp\""))));
}

TEST(ConfigTest, AbsentFileIsAnErrorOnlyWhenAskedFor) {
  TempDir dir;
  EXPECT_THAT(LoadConfig(dir.path() + "/config.yaml", ConfigFile::kRequired),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const Config config,
                       LoadConfig(dir.path() + "/config.yaml", ConfigFile::kOptional));
  EXPECT_EQ(DumpConfig(config), DumpConfig(Config{}));
}

TEST(ConfigTest, DefaultsAreValid) {
  EXPECT_OK(Config{}.Validate());
  EXPECT_EQ(Config{}.SocketPath(), "/run/crisp/crisp.sock");
  EXPECT_EQ(Config{}.OperatorSocketPath(), "/run/crisp/operator.sock");
  EXPECT_EQ(Config{.operator_listen = ""}.OperatorSocketPath(), "");
  EXPECT_OK(Config{.operator_listen = ""}.Validate());
}

TEST(ConfigTest, ChangedKeysAreNamedInFull) {
  const Config before;
  EXPECT_THAT(ChangedKeys(before, before), ::testing::IsEmpty());
  Config after;
  after.log_level = "debug";
  after.image.stall_timeout = absl::Seconds(1);
  after.runtime.handlers.push_back({.name = "other"});
  after.places["root"] = "elsewhere";
  EXPECT_THAT(ChangedKeys(before, after),
              ::testing::ElementsAre("log_level", "image.stall_timeout", "runtime.handlers"));
}

TEST(ConfigTest, ValidateNamesTheKey) {
  const auto expect = [](const char* key, auto change) {
    Config config;
    change(config);
    EXPECT_THAT(config.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument, ::testing::StartsWith(key)));
  };
  expect("root", [](Config& c) { c.root = "relative"; });
  expect("root", [](Config& c) { c.root = "/.."; });
  expect("state", [](Config& c) { c.state = ""; });
  expect("state", [](Config& c) { c.state = c.root + "/run"; });
  expect("state", [](Config& c) { c.root = "/run/crisp/lib"; });
  expect("operator_listen", [](Config& c) { c.operator_listen = "/run/x.sock"; });
  expect("operator_listen", [](Config& c) { c.operator_listen = "unix://relative"; });
  expect("operator_listen",
         [](Config& c) { c.operator_listen = "unix:///" + std::string(200, 'x'); });
  expect("operator_listen",
         [](Config& c) { c.operator_listen = "unix:///run/crisp/./crisp.sock"; });
  expect("listen", [](Config& c) { c.listen = "tcp://127.0.0.1:1"; });
  expect("listen", [](Config& c) { c.listen = "unix://relative"; });
  expect("listen", [](Config& c) { c.listen = "unix:///" + std::string(200, 'x'); });
  expect("log_level", [](Config& c) { c.log_level = "loud"; });
  expect("log_format", [](Config& c) { c.log_format = "xml"; });
  expect("image.max_parallel_downloads", [](Config& c) { c.image.max_parallel_downloads = 0; });
  expect("image.max_parallel_unpacks", [](Config& c) { c.image.max_parallel_unpacks = 65; });
  expect("image.max_layer_bytes", [](Config& c) { c.image.max_layer_bytes = 0; });
  expect("image.max_layer_files", [](Config& c) { c.image.max_layer_files = -1; });
  expect("image.max_unpack_cpu",
         [](Config& c) { c.image.max_unpack_cpu = absl::Milliseconds(10); });
  expect("image.layer_format", [](Config& c) { c.image.layer_format = "tar"; });
  expect("network.name", [](Config& c) { c.network.bridge_name = "a-name-much-too-long"; });
  expect("network.name", [](Config& c) { c.network.bridge_name = "a/b"; });
  expect("network.mtu", [](Config& c) { c.network.mtu = 10; });
  expect("network.subnets", [](Config& c) {
    c.network.subnets = {"10.1.0.0/16", "fd00::/64", "fd01::/64"};
  });
  expect("network.builtin", [](Config& c) { c.network.builtin = "sometimes"; });
  expect("runtime.handlers", [](Config& c) { c.runtime.handlers = {{.name = ""}}; });
  expect("runtime.handlers", [](Config& c) {
    c.runtime.handlers = {{.name = "a"}, {.name = "b"}, {.name = "a"}};
  });
  expect("runtime.handlers", [](Config& c) { c.runtime.handlers = {{.name = "a", .type = "vm"}}; });
  expect("runtime.cgroup_writable_handlers", [](Config& c) {
    c.runtime.cgroup_writable_handlers = {"", "nobody"};
  });
  expect("runtime.cgroup_driver", [](Config& c) { c.runtime.cgroup_driver = "other"; });
  expect("runtime.selinux", [](Config& c) { c.runtime.selinux = "permissive"; });
  expect("runtime.selinux_category_range", [](Config& c) { c.runtime.selinux_category_range = 1; });
  expect("runtime.shim", [](Config& c) { c.runtime.shim = "shim"; });
  expect("runtime.spare_pods", [](Config& c) { c.runtime.spare_pods = -1; });
  expect("runtime.max_log_rate", [](Config& c) { c.runtime.max_log_rate = -1; });
  expect("runtime.spare_roots", [](Config& c) { c.runtime.spare_roots = 257; });
}

}  // namespace
}  // namespace crisp::cri
