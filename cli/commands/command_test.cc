#include "cli/commands/command.h"

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "cli/commands/manual.h"
#include "cli/commands/suggest.h"
#include "cli/commands/testing/command_fixture.h"

namespace crisp::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using CommandTest = CommandFixture;
using Words = std::vector<std::string>;

TEST_F(CommandTest, AWrongCommandLineIsToldWithTheNearestWord) {
  EXPECT_EQ(Crisp({"imgaes"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("there is no command imgaes: did you mean images?"));
  EXPECT_EQ(Crisp({"images", "lst"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("crisp images takes no lst: did you mean list?"));
  EXPECT_EQ(Crisp({"ps", "--no-trnc"}), kCrispFailed);
  EXPECT_THAT(err_, AllOf(HasSubstr("crisp ps has no flag --no-trnc: did you mean --no-trunc?"),
                          HasSubstr("See `crisp ps --help`")));
  EXPECT_EQ(Crisp({"stop"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("TARGET"));
  EXPECT_EQ(Crisp({}), kCrispFailed);
  EXPECT_EQ(daemon_.calls(), Words());
}

TEST_F(CommandTest, AnErrorOfTheDaemonExitsWith125) {
  daemon_.errors["ListContainers"] = grpc::Status(grpc::StatusCode::INTERNAL, "broken");
  EXPECT_EQ(Crisp({"ps"}), kCrispFailed);
  EXPECT_THAT(err_, HasSubstr("broken"));
  EXPECT_EQ(out_, "");
}

TEST_F(CommandTest, TheAddressIsTakenBeforeAndBehindTheCommand) {
  EXPECT_EQ(Crisp({"--address", "/x.sock", "ps"}), 0);
  EXPECT_EQ(address_, "/x.sock");
  EXPECT_EQ(Crisp({"ps", "--address", "/y.sock"}), 0);
  EXPECT_EQ(address_, "/y.sock");
  EXPECT_EQ(Crisp({"ps"}), 0);
  EXPECT_EQ(address_, "");
}

// Every command of the tree, with those below it.
void EachCommand(const Commands& commands,
                 const CLI::App& app,
                 const Words& typed,
                 const std::function<void(const CLI::App&, const Words&)>& look) {
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; })) {
    Words words = typed;
    words.push_back(below->get_name());
    look(*below, words);
    EachCommand(commands, *below, words, look);
  }
}

TEST_F(CommandTest, EveryCommandHasHelpAnExampleAndFlagsWithATextEach) {
  CLI::App app("", "crisp");
  Commands commands(app);
  AddAll(commands);
  int count = 0;
  EachCommand(commands, app, {}, [&](const CLI::App& command, const Words& typed) {
    ++count;
    const std::string name = absl::StrJoin(typed, " ");
    const CommandText* text = commands.TextOf(&command);
    ASSERT_NE(text, nullptr) << name;
    EXPECT_FALSE(text->help.empty()) << name;
    EXPECT_NE(text->help.back(), '.') << name;
    ASSERT_FALSE(text->examples.empty()) << name;
    for (const CLI::Option* option : command.get_options()) {
      EXPECT_FALSE(option->get_description().empty()) << name << " " << option->get_name();
    }
    Words help = typed;
    help.push_back("--help");
    EXPECT_EQ(Crisp(help), 0) << name;
    EXPECT_THAT(out_, AllOf(HasSubstr(text->help), HasSubstr(text->examples[0]))) << name;
  });
  EXPECT_GT(count, 30);
  EXPECT_EQ(daemon_.calls(), Words());
}

class SplitTest : public ::testing::Test {
 protected:
  SplitTest() {
    app_.add_option("--address", address_);
    CLI::App* run = commands_.Add({.name = "run", .own_positionals = 1}, nullptr);
    run->add_flag("-t,--tty", flag_);
    run->add_option("-e,--env", text_);
    commands_.Add({.name = "ps"}, nullptr);
  }
  std::string Split(const std::string& line) const {
    return absl::StrJoin(commands_.SplitProgram(absl::StrSplit(line, ' ')), " ");
  }

  CLI::App app_{"", "crisp"};
  Commands commands_{app_};
  std::string address_, text_;
  bool flag_ = false;
};

TEST_F(SplitTest, TheProgramsWordsAreItsOwn) {
  EXPECT_EQ(Split("run box ls -a --help"), "run box -- ls -a --help");
  EXPECT_EQ(Split("run -t -e A=B box ls"), "run -t -e A=B box -- ls");
  EXPECT_EQ(Split("run -te A=B box ls"), "run -te A=B box -- ls");
  EXPECT_EQ(Split("run -eA=B box ls"), "run -eA=B box -- ls");
  EXPECT_EQ(Split("run --env=A=B --env C=D box ls"), "run --env=A=B --env C=D box -- ls");
  EXPECT_EQ(Split("--address x run --address y box ls"), "--address x run --address y box -- ls");
  EXPECT_EQ(Split("run box -- ls"), "run box -- -- ls") << "the program gets what stands behind";
  EXPECT_EQ(Split("run -- box ls"), "run -- box ls");
  EXPECT_EQ(Split("run box run"), "run box -- run");
  EXPECT_EQ(Split("ps run -a"), "ps run -a");
}

// What bash's completion offers for `typed`, one a line. `dir` has the script and a crisp.
std::string Offered(const std::string& dir, const std::string& typed) {
  const char* const harness =
      "source \"$1/script\"; read -ra COMP_WORDS <<<\"$2\"; [[ $2 != *' ' ]] || COMP_WORDS+=(''); "
      "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _crisp; printf '%s\\n' \"${COMPREPLY[@]}\"";
  const auto result = RunCommand({.argv = {"/bin/bash", "-c", harness, "bash", dir, typed},
                                  .env = {absl::StrCat("PATH=", dir, ":/usr/bin:/bin")}},
                                 Operation());
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return "";
  EXPECT_EQ(result->errors, "") << typed;
  return result->output;
}

TEST_F(CommandTest, BashCompletesCommandsFlagsAndNames) {
  ASSERT_EQ(Crisp({"completion", "bash"}), 0) << err_;
  TempDir temp;
  const std::string dir = temp.path();
  ASSERT_OK(AtomicWriteFile(dir + "/script", out_, 0644, Durability::kNone));
  const char* const names =
      "#!/bin/sh\ncase $1 in ps) echo web; echo wiki;; images) echo app:1;; esac\n";
  ASSERT_OK(AtomicWriteFile(dir + "/crisp", names, 0755, Durability::kNone));
  EXPECT_EQ(Offered(dir, "crisp pu"), "pull\n");
  EXPECT_EQ(Offered(dir, "crisp images li"), "list\n");
  EXPECT_EQ(Offered(dir, "crisp --address x images li"), "list\n");
  EXPECT_EQ(Offered(dir, "crisp ps --no-"), "--no-trunc\n");
  EXPECT_EQ(Offered(dir, "crisp ps -o y"), "yaml\n");
  EXPECT_EQ(Offered(dir, "crisp stop "), "web\nwiki\n");
  EXPECT_EQ(Offered(dir, "crisp stop wi"), "wiki\n");
  EXPECT_EQ(Offered(dir, "crisp rmi a"), "app:1\n");
  const Words all = absl::StrSplit(Offered(dir, "crisp "), '\n');
  EXPECT_THAT(all, AllOf(Contains("ps"), Contains("events"), Not(Contains("manual"))));
}

TEST_F(CommandTest, TheOtherShellsHaveEveryCommand) {
  for (const char* shell : {"zsh", "fish"}) {
    ASSERT_EQ(Crisp({"completion", shell}), 0) << err_;
    for (const char* word : {"ps", "images", "no-trunc", "crisp ps -a"}) {
      EXPECT_THAT(out_, HasSubstr(word)) << shell;
    }
  }
  EXPECT_EQ(Crisp({"completion", "csh"}), kCrispFailed);
}

TEST_F(CommandTest, EveryCommandHasAPageOfTheManual) {
  CLI::App app("", "crisp");
  Commands commands(app);
  AddAll(commands);
  const auto pages = ManualPages(commands);
  EXPECT_THAT(pages.at("crisp.1"), AllOf(HasSubstr(".It Xr crisp-ps 1"), HasSubstr("125"),
                                         HasSubstr("CRISP_ADDRESS"), Not(HasSubstr("manual 1"))));
  EXPECT_THAT(pages.at("crisp-ps.1"),
              AllOf(HasSubstr(".Dt CRISP-PS 1"), HasSubstr(".It Li \\-a, \\-\\-all\n"),
                    HasSubstr("crisp ps \\-a \\-\\-filter namespace=kube\\-system")));
  EXPECT_THAT(pages.at("crisp-images-history.1"), HasSubstr(".Ar IMAGE"));
  EXPECT_EQ(pages.count("crisp-manual.1"), 0u);
  for (const auto& [name, page] : pages) {
    for (const absl::string_view line : absl::StrSplit(page, '\n')) {
      EXPECT_FALSE(absl::StartsWith(line, "'")) << name << ": " << line;
      EXPECT_FALSE(absl::EndsWith(line, "..") && !absl::EndsWith(line, "..."))
          << name << ": " << line;
    }
  }
}

}  // namespace
}  // namespace crisp::cli
