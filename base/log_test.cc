#include "base/log.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "base/unique_fd.h"

namespace crisp {
namespace {

using ::testing::MatchesRegex;

// What a process of its own logs; `as_journal`: it is told that its stderr is the journal.
std::string LinesOf(bool as_journal, const std::function<void()>& body) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t child = fork();
  if (child == 0) {
    dup2(theirs.get(), STDERR_FILENO);
    struct stat about;
    fstat(STDERR_FILENO, &about);
    const auto inode = about.st_ino + (as_journal ? 0 : 1);
    setenv("JOURNAL_STREAM", absl::StrCat(about.st_dev, ":", inode).c_str(), 1);
    body();
    _exit(0);
  }
  theirs.reset();
  std::string text;
  char buffer[4096];
  ssize_t n;
  while ((n = read(ours.get(), buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<size_t>(n));
  waitpid(child, nullptr, 0);
  return text;
}

TEST(LogTest, TheJournalIsToldPriorities) {
  const std::string lines = LinesOf(true, [] {
    LogInfo("one");
    LogWarning("two", {{"why", "a b"}});
    LogError("three");
  });
  EXPECT_EQ(lines, "<6>info one\n<4>warning two why=\"a b\"\n<3>error three\n");
}

TEST(LogTest, OthersAreToldTheTime) {
  EXPECT_THAT(LinesOf(false, [] { LogWarning("two"); }),
              MatchesRegex("[0-9-]+T[0-9:.]+Z warning two\n"));
}

}  // namespace
}  // namespace crisp
