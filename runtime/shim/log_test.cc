#include "runtime/shim/log.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/testing/temp_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/shim/sys.h"

namespace crisp::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LogFileTest : public ::testing::Test {
 protected:
  LogFileTest() { EXPECT_TRUE(log_.Open(path_.c_str())) << g_error.text; }
  void Feed(const std::string& text, bool is_stderr = false) {
    lines_.Feed(&log_, is_stderr, text.data(), static_cast<uint32_t>(text.size()));
  }
  std::vector<std::string> Lines() {
    return absl::StrSplit(ReadFile(path_).value_or(""), '\n', absl::SkipEmpty());
  }
  // Without their times.
  std::vector<std::string> Records() {
    std::vector<std::string> records;
    for (const std::string& line : Lines()) records.push_back(line.substr(line.find(' ') + 1));
    return records;
  }
  const TempDir dir_;
  const std::string path_ = dir_.path() + "/0.log";
  LogFile log_;
  LineSplitter lines_;
};

TEST_F(LogFileTest, LinesAreWholeHoweverTheyCome) {
  log_.SetTime(1000000000);
  Feed("one\ntw");
  EXPECT_THAT(Records(), ElementsAre("stdout F one"));
  Feed("");
  Feed("o\n\nlast");
  lines_.Finish(&log_, false);
  lines_.Finish(&log_, false);
  EXPECT_THAT(Records(), ElementsAre("stdout F one", "stdout F two", "stdout F ", "stdout P last"));
  EXPECT_EQ(Lines()[0].substr(0, 31), "1970-01-01T00:00:01.000000000Z ");
}

TEST_F(LogFileTest, EachStreamHasItsName) {
  LineSplitter errors;
  Feed("half");
  errors.Feed(&log_, true, "oops\n", 5);
  Feed(" done\n");
  EXPECT_THAT(Records(), ElementsAre("stderr F oops", "stdout F half done"));
}

TEST_F(LogFileTest, LongLinesAreCutWhereverTheyAreRead) {
  lines_.SetLimit(4);
  for (const char c : std::string("abcdefghi\nabcd\nabcde\n")) Feed(std::string(1, c));
  EXPECT_THAT(Records(), ElementsAre("stdout P abcd", "stdout P efgh", "stdout F i",
                                     "stdout F abcd", "stdout P abcd", "stdout F e"));
}

TEST_F(LogFileTest, ACarriageReturnBeforeTheEndIsNoText) {
  Feed("whole\r\nin two\r");
  Feed("\nin\rside\n\r\n");
  EXPECT_THAT(Records(),
              ElementsAre("stdout F whole", "stdout F in two", "stdout F in\rside", "stdout F "));
}

TEST_F(LogFileTest, TimesGrowThoughTheClockStands) {
  log_.SetTime(5);
  for (int i = 0; i < 100; ++i) Feed("x\n");
  std::string last;
  for (const std::string& line : Lines()) {
    const std::string time = line.substr(0, line.find(' '));
    EXPECT_GT(time, last);
    last = time;
  }
}

TEST_F(LogFileTest, ManyRecordsAreInOrder) {
  std::string text;
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&text, i, "\n");
  Feed(text);
  const std::vector<std::string> records = Records();
  ASSERT_EQ(records.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(records[i], absl::StrCat("stdout F ", i));
}

// A disk that is full, as far as this process can tell.
class Full {
 public:
  explicit Full(size_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    rlimit now = before_;
    now.rlim_cur = bytes;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &now), 0);
  }
  ~Full() { EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before_), 0); }

 private:
  rlimit before_;
};

TEST_F(LogFileTest, WhatAFullDiskTookNotIsCounted) {
  Feed("before\n");
  {
    // Some of the first record still fits.
    const Full full(ReadFile(path_).value_or("").size() + 10);
    Feed("lost\n");
    EXPECT_TRUE(log_.dropping());
    Feed("lost as well\n");
  }
  EXPECT_TRUE(log_.dropping());
  Feed("after\n");
  EXPECT_FALSE(log_.dropping());
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 4u) << ReadFile(path_).value_or("");
  EXPECT_THAT(lines[0], HasSubstr("stdout F before"));
  EXPECT_EQ(lines[1].size(), 10u);  // what is torn is a line of its own
  EXPECT_THAT(lines[2], HasSubstr("stderr F crisp: "));
  EXPECT_THAT(lines[2], HasSubstr(" bytes of log dropped"));
  EXPECT_THAT(lines[3], HasSubstr("stdout F after"));
}

TEST_F(LogFileTest, WhatSomebodyElseDroppedIsToldWithTheNextRecord) {
  log_.Drop(12);
  EXPECT_THAT(Records(), IsEmpty());
  Feed("on\n");
  EXPECT_THAT(Records(), ElementsAre("stderr F crisp: 12 bytes of log dropped", "stdout F on"));
}

TEST_F(LogFileTest, AnOpenFileIsReplacedOnlyByAnother) {
  Feed("old\n");
  ASSERT_EQ(rename(path_.c_str(), (path_ + ".1").c_str()), 0);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(log_.Open(path_.c_str()));
  EXPECT_THAT(std::string(g_error.text), HasSubstr("a FIFO"));
  Feed("still\n");
  ASSERT_EQ(unlink(path_.c_str()), 0);
  EXPECT_TRUE(log_.Open(path_.c_str()));
  Feed("new\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F new"));
  EXPECT_THAT(ReadFile(path_ + ".1").value_or(""), HasSubstr("stdout F still\n"));
}

TEST(OpenLogFileTest, MakesDirectoriesAndFollowsNoLinkBelowTheTrustedOne) {
  const TempDir dir;
  const auto open = [&](const std::string& name) {
    const Fd fd(OpenLogFile(absl::StrCat(dir.path(), name).c_str()));
    return fd.valid() ? std::string("open") : std::string(g_error.text);
  };
  EXPECT_EQ(open("/trusted/./a/b/0.log"), "open");
  struct stat status;
  ASSERT_EQ(stat((dir.path() + "/trusted/a/b/0.log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  ASSERT_EQ(symlink("a", (dir.path() + "/trusted/link").c_str()), 0);
  EXPECT_THAT(open("/trusted/./link/0.log"), HasSubstr("open the log"));
  EXPECT_THAT(open("/trusted/./../escaped.log"), HasSubstr("open the log"));
  EXPECT_THAT(open("/trusted/./a"), HasSubstr("a directory"));
  EXPECT_THAT(open("/trusted/./"), HasSubstr("open the log"));
  EXPECT_EQ(OpenLogFile("relative.log"), -1);
  EXPECT_THAT(std::string(g_error.text), HasSubstr("no path for a log"));
}

}  // namespace
}  // namespace crisp::shim
