#include "base/log.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log_writer.h"
#include "base/pipe.h"
#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

struct Ended {
  int status = 0;
  std::string written;
};

// Runs `body` in a process whose stderr is a pipe, which is read from when it calls `may_read` on.
Ended RunUnread(absl::FunctionRef<void(const std::function<void()>& may_read)> body) {
  absl::StatusOr<Pipe> pipe = MakePipe("a test's pipe"), go = MakePipe("another");
  EXPECT_OK(pipe);
  EXPECT_OK(go);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // who hangs dies of it
    dup2(pipe->write_end.get(), STDERR_FILENO);
    pipe->write_end.reset();
    body([&] { go->write_end.reset(); });
    _exit(0);
  }
  pipe->write_end.reset();
  go->write_end.reset();
  EXPECT_EQ(ReadFd(go->read_end.get(), "the word to read").value_or("?"), "");
  Ended ended;
  ended.written = ReadFd(pipe->read_end.get(), "the pipe").value_or("");
  EXPECT_EQ(waitpid(child, &ended.status, 0), child);
  return ended;
}

Ended RunWithPipe(absl::FunctionRef<void()> body) {
  return RunUnread([&](const std::function<void()>& may_read) {
    may_read();
    body();
  });
}

TEST(LogTest, NobodyWaitsForAReaderThatStalls) {
  const Ended ended = RunUnread([](const std::function<void()>& may_read) {
    if (!StartLogWriter().ok()) _exit(1);
    for (int i = 0; i < 40000; ++i) LogInfo("many", {{"line", i}, {"text", std::string(50, 'x')}});
    may_read();
    if (DroppedLogLines() == 0) _exit(3);
    if (!FlushLog(absl::Seconds(30))) _exit(4);
    LogInfo("last");
    _exit(FlushLog(absl::Seconds(30)) ? 0 : 5);
  });
  ASSERT_TRUE(WIFEXITED(ended.status)) << "it waited for a reader";
  EXPECT_EQ(WEXITSTATUS(ended.status), 0);
  EXPECT_THAT(ended.written, HasSubstr("many line=0 "));
  EXPECT_THAT(ended.written, HasSubstr("log.dropped lines="));
  EXPECT_THAT(ended.written, HasSubstr("info last\n"));
}

TEST(LogTest, ACrashLosesNothing) {
  const Ended ended = RunWithPipe([] {
    if (!StartLogWriter().ok()) _exit(1);
    LogError("about to crash");
    std::abort();
  });
  EXPECT_TRUE(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGABRT) << ended.status;
  EXPECT_THAT(ended.written, HasSubstr("error about to crash\n"));
}

TEST(LogTest, WithoutAWriterALineIsThereWhenItIsLogged) {
  const Ended ended = RunWithPipe([] {
    LogInfo("at once", {{"key", "two words"}});
    (void)kill(getpid(), SIGKILL);
  });
  EXPECT_THAT(ended.written, HasSubstr(" info at once key=\"two words\"\n"));
}

// Says in this process that its stderr is the journal, or another file that is not; then logs as a
// daemon does.
void LogBesideJournal(bool right) {
  struct stat about;
  if (fstat(STDERR_FILENO, &about) != 0) _exit(1);
  setenv("JOURNAL_STREAM", absl::StrCat(about.st_dev, ":", about.st_ino + (right ? 0 : 1)).c_str(),
         1);
  if (!StartLogWriter().ok()) _exit(1);
}

TEST(LogTest, TheJournalIsToldPriorities) {
  const Ended ended = RunWithPipe([] {
    LogBesideJournal(true);
    LogInfo("one");
    LogWarning("two", {{"why", "a b"}});
    LogError("three");
    (void)FlushLog(absl::Seconds(10));
  });
  EXPECT_EQ(ended.written, "<6>info one\n<4>warning two why=\"a b\"\n<3>error three\n");
}

TEST(LogTest, AsJsonEachLineIsAnObject) {
  const Ended ended = RunWithPipe([] {
    if (!SetLogFormat("json").ok()) _exit(1);
    Log(LogLevel::kInfo, "pod.ready", {{"pod", "a/b"}}, {{"error", "say \"no\"\n\xff"}});
    LogBesideJournal(true);
    LogWarning("two", {{"n", 2}});
    (void)FlushLog(absl::Seconds(10));
  });
  const std::vector<std::string> lines = absl::StrSplit(ended.written, '\n');
  ASSERT_EQ(lines.size(), 3u) << ended.written;
  const absl::StatusOr<Json> first = ParseJson(lines[0]);
  ASSERT_OK(first) << lines[0];
  EXPECT_THAT(first->value("time", ""), MatchesRegex("[0-9-]+T[0-9:.]+Z"));
  EXPECT_EQ(first->value("level", ""), "info");
  EXPECT_EQ(first->value("event", ""), "pod.ready");
  EXPECT_EQ(first->value("pod", ""), "a/b");
  EXPECT_EQ(first->value("error", ""), "say \"no\"\n\xef\xbf\xbd");
  ASSERT_TRUE(absl::StartsWith(lines[1], "<4>{")) << "the journal's priority stands in front";
  const absl::StatusOr<Json> second = ParseJson(lines[1].substr(3));
  ASSERT_OK(second) << lines[1];
  EXPECT_EQ(second->value("n", ""), "2");
  EXPECT_THAT(SetLogFormat("xml"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(LogTest, OthersAreToldTheTime) {
  const Ended ended = RunWithPipe([] {
    LogBesideJournal(false);
    LogWarning("two");
    (void)FlushLog(absl::Seconds(10));
  });
  EXPECT_THAT(ended.written, MatchesRegex("[0-9-]+T[0-9:.]+Z warning two\n"));
}

}  // namespace
}  // namespace crisp
