#include "cri/config/config_docs.h"

#include <cstdlib>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "cri/config/config.h"
#include "cri/config/config_schema.h"

namespace crisp::cri {
namespace {

using ::testing::HasSubstr;

// The document that is checked in must be the one that the table gives. With
// CRISP_WRITE_DOCUMENTS=1, as hack/docs.sh sets it, it is written.
void ExpectGenerated(const std::string& name, const std::string& text) {
  const std::string path = absl::StrCat(CRISP_SOURCE_DIR "/", name);
  if (getenv("CRISP_WRITE_DOCUMENTS") != nullptr) {
    ASSERT_OK(AtomicWriteFile(path, text, 0644, Durability::kNone));
  }
  const auto found = ReadFile(path);
  ASSERT_OK(found.status());
  EXPECT_EQ(*found, text) << name << " is not what the table of the keys says: run hack/docs.sh";
}

TEST(ConfigDocsTest, TheInstalledFileIsGenerated) {
  ExpectGenerated("packaging/config.yaml", ConfigYaml());
}

TEST(ConfigDocsTest, TheDocumentIsGenerated) {
  ExpectGenerated("docs/configuration.md", ConfigMarkdown());
}

TEST(ConfigDocsTest, TheManualsListIsGenerated) {
  ASSERT_OK_AND_ASSIGN(const std::string page, ReadFile(CRISP_SOURCE_DIR "/packaging/crispd.8"));
  ASSERT_OK_AND_ASSIGN(const std::string wanted, WithConfigManual(page));
  ExpectGenerated("packaging/crispd.8", wanted);
}

TEST(ConfigDocsTest, APageWithoutAPlaceForTheListIsRefused) {
  EXPECT_THAT(WithConfigManual(".Sh NAME\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("begins here")));
}

// Every key has a text of whole sentences, and its default keeps its rule.
class Reviewer {
 public:
  template <typename T>
  void Key(const char* name, const T& value, const Rule& rule, const char* text) {
    EXPECT_THAT(text, ::testing::EndsWith(".")) << name;
    EXPECT_TRUE(absl::ascii_isupper(*text) || absl::StartsWith(text, "/")) << name;
    EXPECT_EQ(Broken(rule, value), "") << name;
    EXPECT_TRUE(names_.insert(absl::StrCat(section_, name)).second) << name << " stands twice";
  }
  void Section(const char* name, const std::function<void(Reviewer&)>& visit, const char* text) {
    EXPECT_THAT(text, ::testing::EndsWith(".")) << name;
    section_ = absl::StrCat(name, ".");
    visit(*this);
    section_.clear();
  }
  size_t keys() const { return names_.size(); }

 private:
  std::string section_;
  std::set<std::string> names_;
};

TEST(ConfigDocsTest, EveryKeyIsExplained) {
  const Config config;
  Reviewer reviewer;
  VisitConfig(reviewer, config);
  EXPECT_GT(reviewer.keys(), 40u);
}

TEST(ConfigDocsTest, EveryDocumentHasEveryKeyWithItsDefault) {
  const std::string yaml = ConfigYaml(), markdown = ConfigMarkdown(), manual = ConfigManual();
  std::string section;
  const std::vector<std::string> lines =
      absl::StrSplit(DumpConfig(Config{}), '\n', absl::SkipEmpty());
  for (const std::string& line : lines) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(line, absl::MaxSplits(": ", 1));
    if (absl::EndsWith(line, ":")) {
      section = absl::StrCat(line.substr(0, line.size() - 1), ".");
      EXPECT_THAT(yaml, HasSubstr(absl::StrCat("\n", line, "\n")));
      continue;
    }
    const std::string name(absl::StripAsciiWhitespace(parts.first));
    EXPECT_THAT(yaml, HasSubstr(absl::StrCat("#", name, ": ", parts.second, "\n")));
    EXPECT_THAT(markdown, HasSubstr(absl::StrCat("| `", section, name, "` | ")));
    EXPECT_THAT(markdown, HasSubstr(absl::StrCat(" | `", parts.second, "` | ")));
    EXPECT_THAT(manual, HasSubstr(absl::StrCat(".It Cm ", section, name, "\n")));
  }
}

}  // namespace
}  // namespace crisp::cri
