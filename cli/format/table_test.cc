#include "cli/format/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/yaml_document.h"
#include "cli/format/render.h"
#include "cli/format/yaml.h"

namespace crisp::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Thing {
  std::string id;
  uint64_t size = 0;
  std::string note;
};

class TableTest : public ::testing::Test {
 protected:
  const std::vector<Column<Thing>> columns_ = {
      {.name = "Id",
       .cell =
           [](const Thing& t) {
             return Cell{.value = t.id, .text = t.id.substr(0, 4), .full = t.id};
           }},
      {.name = "DiskSize",
       .cell =
           [](const Thing& t) {
             return Cell{.value = t.size,
                         .text = std::to_string(t.size) + " B",
                         .tint = t.size == 0 ? Tint::kBad : Tint::kGood};
           },
       .align = Align::kRight},
      {.name = "Note", .cell = [](const Thing& t) { return TextCell(t.note); }},
      {.name = "Twice",
       .cell = [](const Thing& t) { return TextCell(t.note + t.note); },
       .shown = Shown::kWide},
      {.name = "Secret",
       .cell = [](const Thing&) { return Cell{.value = Json::array({"s"}), .text = "s"}; },
       .shown = Shown::kNamed}};
  const Table table_ =
      MakeTable(columns_, {Thing{"abcdefgh", 1234, "x"}, Thing{"bcdefghi", 0, "long"}});

  std::string Rendered(const TableOptions& options, const Table* table = nullptr) const {
    const auto text = Render(table == nullptr ? table_ : *table, options);
    return text.ok() ? *text : "error: " + std::string(text.status().message());
  }
};

TEST_F(TableTest, ATableIsAsWideAsItsCells) {
  EXPECT_EQ(Rendered({}),
            "ID    DISK SIZE  NOTE\n"
            "abcd     1234 B  x\n"
            "bcde        0 B  long\n");
}

TEST_F(TableTest, WideHasMoreColumns) {
  EXPECT_EQ(Rendered({.output = "wide"}),
            "ID    DISK SIZE  NOTE  TWICE\n"
            "abcd     1234 B  x     xx\n"
            "bcde        0 B  long  longlong\n");
}

TEST_F(TableTest, NothingIsCutWithNoTrunc) {
  EXPECT_THAT(Rendered({.no_trunc = true}), HasSubstr("\nabcdefgh     1234 B  x\n"));
}

TEST_F(TableTest, QuietIsTheFirstColumn) {
  EXPECT_EQ(Rendered({.quiet = true}), "abcd\nbcde\n");
  EXPECT_EQ(Rendered({.quiet = true, .no_trunc = true}), "abcdefgh\nbcdefghi\n");
}

TEST_F(TableTest, ColoursTakeNoSpace) {
  EXPECT_EQ(Rendered({.colours = Colours(true)}),
            "ID    DISK SIZE  NOTE\n"
            "abcd     \x1b[32m1234 B\x1b[0m  x\n"
            "bcde        \x1b[31m0 B\x1b[0m  long\n");
}

TEST_F(TableTest, JsonHasEveryColumnAsItIs) {
  const auto json = ParseJson(Rendered({.output = "json"}));
  ASSERT_TRUE(json.ok()) << json.status();
  ASSERT_EQ(json->size(), 2u);
  EXPECT_EQ((*json)[0], (Json{{"id", "abcdefgh"},
                              {"diskSize", 1234},
                              {"note", "x"},
                              {"twice", "xx"},
                              {"secret", Json::array({"s"})}}));
  const Table none = MakeTable(columns_, std::vector<Thing>());
  EXPECT_EQ(Rendered({.output = "json"}, &none), "[]\n");
  EXPECT_EQ(Rendered({.output = "yaml"}, &none), "[]\n");
}

TEST_F(TableTest, YamlSaysTheSame) {
  const auto yaml = ParseYaml(Rendered({.output = "yaml"}));
  ASSERT_TRUE(yaml.ok()) << yaml.status();
  EXPECT_EQ((*yaml)[0]["id"], "abcdefgh");
  EXPECT_EQ((*yaml)[0]["diskSize"], "1234");
  EXPECT_EQ((*yaml)[1]["secret"], Json::array({"s"}));
}

TEST_F(TableTest, ATemplateHasPlaceholders) {
  EXPECT_EQ(Rendered({.output = "template={{.Id}}\\t{{ .disksize }}!"}),
            "abcdefgh\t1234 B!\nbcdefghi\t0 B!\n");
  EXPECT_THAT(Rendered({.output = "template={{json .DiskSize}} {{json .}}"}),
              HasSubstr("1234 {\"diskSize\":1234,\"id\":\"abcdefgh\""));
}

TEST_F(TableTest, AWrongTemplateSaysWhatThereIs) {
  EXPECT_THAT(Rendered({.output = "template={{.Name}}"}),
              AllOf(HasSubstr("no .Name"), HasSubstr(".Id .DiskSize .Note .Twice .Secret")));
  EXPECT_THAT(Rendered({.output = "template={{.Id"}), HasSubstr("{{ has no }}"));
  EXPECT_THAT(Rendered({.output = "template={{range .}}"}), HasSubstr("{{range .}} is no"));
  EXPECT_THAT(Rendered({.output = "xml"}), HasSubstr("table, wide, json, yaml"));
}

TEST_F(TableTest, AWrongTemplateIsWrongWithoutRows) {
  const Table none = MakeTable(columns_, std::vector<Thing>());
  EXPECT_THAT(Rendered({.output = "template={{.Name}}"}, &none), HasSubstr("error: "));
}

TEST_F(TableTest, NoControlCharacterReachesATerminal) {
  const Table table = MakeTable(columns_, {Thing{"a\x1b[2Jb", 1, "x\ny"}});
  EXPECT_EQ(Rendered({}, &table),
            "ID    DISK SIZE  NOTE\n"
            "a [2        1 B  x y\n");
}

TEST(YamlTest, AStringStaysAString) {
  const Json json = {{"bool", "true"},      {"number", "12"},        {"float", "1e3"},
                     {"null", "null"},      {"empty", ""},           {"plain", "web"},
                     {"real", true},        {"none", nullptr},       {"colon", "a: b #c"},
                     {"lines", "a\nb"},     {"list", Json::array()}, {"object", Json::object()},
                     {"date", "2026-12-01"}};
  const std::string yaml = DumpYaml(json);
  for (const char* line : {"bool: \"true\"", "number: \"12\"", "float: \"1e3\"",
                           "\"null\": \"null\"", "empty: \"\"", "plain: web", "real: true",
                           "none: null", "list: []", "object: {}", "date: \"2026-12-01\""}) {
    EXPECT_THAT(yaml, HasSubstr(line));
  }
  const auto back = ParseYaml(yaml);
  ASSERT_TRUE(back.ok()) << back.status() << "\n" << yaml;
  EXPECT_EQ((*back)["colon"], "a: b #c");
  EXPECT_EQ((*back)["lines"], "a\nb");
}

}  // namespace
}  // namespace crisp::cli
