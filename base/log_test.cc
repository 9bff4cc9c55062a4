#include "base/log.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log_writer.h"
#include "base/testing/status_matchers.h"
#include "base/unique_fd.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

struct Ended {
  int status = 0;
  std::string written;
};

// Runs `body` in a process whose stderr is a pipe, which is read from `delay` on.
Ended RunWithPipe(absl::Duration delay, absl::FunctionRef<void()> body) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);  // who hangs dies of it
    dup2(write_end.get(), STDERR_FILENO);
    write_end.reset();
    body();
    _exit(0);
  }
  write_end.reset();
  absl::SleepFor(delay);
  Ended ended;
  ended.written = ReadFd(read_end.get(), "the pipe").value_or("");
  EXPECT_EQ(waitpid(child, &ended.status, 0), child);
  return ended;
}

TEST(LogTest, NobodyWaitsForAReaderThatStalls) {
  const Ended ended = RunWithPipe(absl::Seconds(2), [] {
    if (!StartLogWriter().ok()) _exit(1);
    const absl::Time begin = absl::Now();
    for (int i = 0; i < 40000; ++i) LogInfo("many", {{"line", i}, {"text", std::string(50, 'x')}});
    if (absl::Now() - begin > absl::Milliseconds(1500)) _exit(2);  // nobody has read yet
    if (DroppedLogLines() == 0) _exit(3);
    if (!FlushLog(absl::Seconds(10))) _exit(4);
    LogInfo("last");
    _exit(FlushLog(absl::Seconds(10)) ? 0 : 5);
  });
  ASSERT_TRUE(WIFEXITED(ended.status));
  EXPECT_EQ(WEXITSTATUS(ended.status), 0);
  EXPECT_THAT(ended.written, HasSubstr("many line=0 "));
  EXPECT_THAT(ended.written, HasSubstr("log.dropped lines="));
  EXPECT_THAT(ended.written, HasSubstr("info last\n"));
}

TEST(LogTest, ACrashLosesNothing) {
  const Ended ended = RunWithPipe(absl::ZeroDuration(), [] {
    if (!StartLogWriter().ok()) _exit(1);
    LogError("about to crash");
    std::abort();
  });
  EXPECT_TRUE(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGABRT) << ended.status;
  EXPECT_THAT(ended.written, HasSubstr("error about to crash\n"));
}

TEST(LogTest, WithoutAWriterALineIsThereWhenItIsLogged) {
  const Ended ended = RunWithPipe(absl::ZeroDuration(), [] {
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
  const Ended ended = RunWithPipe(absl::ZeroDuration(), [] {
    LogBesideJournal(true);
    LogInfo("one");
    LogWarning("two", {{"why", "a b"}});
    LogError("three");
    (void)FlushLog(absl::Seconds(10));
  });
  EXPECT_EQ(ended.written, "<6>info one\n<4>warning two why=\"a b\"\n<3>error three\n");
}

TEST(LogTest, OthersAreToldTheTime) {
  const Ended ended = RunWithPipe(absl::ZeroDuration(), [] {
    LogBesideJournal(false);
    LogWarning("two");
    (void)FlushLog(absl::Seconds(10));
  });
  EXPECT_THAT(ended.written, MatchesRegex("[0-9-]+T[0-9:.]+Z warning two\n"));
}

}  // namespace
}  // namespace crisp
