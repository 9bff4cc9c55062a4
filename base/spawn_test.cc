#include "base/spawn.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/pipe.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

int Wait(pid_t pid) {
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What a shell writes to its descriptor 1.
std::string OutputOf(const std::string& script, SpawnOptions options = {}) {
  auto pipe = MakePipe("a test's pipe");
  EXPECT_OK(pipe);
  options.argv = {"/bin/sh", "-c", script};
  options.fds.emplace_back(pipe->write_end.get(), 1);
  const auto pid = Spawn(options);
  EXPECT_OK(pid);
  pipe->write_end.reset();
  std::string output = ReadFd(pipe->read_end.get(), "output").value_or("?");
  EXPECT_EQ(Wait(*pid), 0);
  return output;
}

TEST(Spawn, RunsTheProgramWithThisEnvironmentOnly) {
  EXPECT_EQ(OutputOf("echo $0 $A ${HOME-none}", {.env = {"A=b"}}), "/bin/sh b none\n");
  EXPECT_THAT(OwnEnvironment(), ::testing::Contains(::testing::StartsWith("PATH=")));
}

TEST(Spawn, GivesItsDescriptorsTheNumbersThatWereAskedFor) {
  ASSERT_OK_AND_ASSIGN(Pipe a, MakePipe("a"));
  ASSERT_OK_AND_ASSIGN(Pipe b, MakePipe("b"));
  ASSERT_OK(WriteAll(a.write_end.get(), "A\n", "a"));
  ASSERT_OK(WriteAll(b.write_end.get(), "B\n", "b"));
  // Each under the other's number, and one under its own.
  const int in_a = a.read_end.get(), in_b = b.read_end.get(), out_b = b.write_end.get();
  const std::string script =
      absl::StrCat("read x <&", in_b, "; read y <&", in_a, "; echo $x$y; echo C >&", out_b);
  EXPECT_EQ(OutputOf(script, {.fds = {{in_a, in_b}, {in_b, in_a}, {out_b, out_b}}}), "AB\n");
  char read_back[3] = {};
  ASSERT_EQ(read(in_b, read_back, 2), 2);
  EXPECT_STREQ(read_back, "C\n");
}

TEST(Spawn, LeavesNoneOfItsCopiesOpen) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd null, Open("/dev/null", O_RDONLY));
  const auto count = [](SpawnOptions options) {
    const std::string open = OutputOf("ls /proc/self/fd", std::move(options));
    return std::count(open.begin(), open.end(), '\n');
  };
  const auto few = count({});
  EXPECT_EQ(count({.fds = {{null.get(), 20}, {null.get(), 30}}}), few + 2);
}

TEST(Spawn, GivesItNothingToReadOrWriteWhereThatIsWanted) {
  EXPECT_EQ(OutputOf("readlink /proc/self/fd/0 /proc/self/fd/2", {.null_stdio = true}),
            "/dev/null\n/dev/null\n");
}

TEST(Spawn, BlocksAndIgnoresNoSignal) {
  sigset_t all, before;
  sigfillset(&all);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &all, &before), 0);
  const auto old = signal(SIGPIPE, SIG_IGN);
  const std::string status = OutputOf("grep -E '^Sig(Blk|Ign)' /proc/self/status");
  signal(SIGPIPE, old);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  // The C library keeps two signals to itself, which may be ignored here and there.
  EXPECT_THAT(status,
              ::testing::MatchesRegex("SigBlk:\t0000000000000000\nSigIgn:\t0000000180000000\n|"
                                      "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"));
}

TEST(Spawn, TheGroupIsItsOwnOrOurs) {
  const std::string script = "cut -d' ' -f5 /proc/$$/stat";
  EXPECT_EQ(OutputOf(script, {.own_group = false}), absl::StrCat(getpgrp(), "\n"));
  EXPECT_NE(OutputOf(script), absl::StrCat(getpgrp(), "\n"));
}

TEST(Spawn, InOurGroupItIgnoresTheSignalsThatWeIgnore) {
  const auto old = signal(SIGHUP, SIG_IGN);
  EXPECT_EQ(OutputOf("kill -HUP $$; echo lives", {.own_group = false}), "lives\n");
  signal(SIGHUP, old);
}

TEST(Spawn, RunsAnOpenFileAndOneOfThePath) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd shell, Open("/bin/sh", O_PATH));
  ASSERT_OK_AND_ASSIGN(pid_t pid, Spawn({.argv = {"any", "-c", "exit 3"}, .program = shell.get()}));
  EXPECT_EQ(Wait(pid), 3);
  ASSERT_OK_AND_ASSIGN(pid, Spawn({.argv = {"sh", "-c", "exit 4"}, .search_path = true}));
  EXPECT_EQ(Wait(pid), 4);
}

TEST(Spawn, SaysWhatItCouldNot) {
  EXPECT_THAT(Spawn({.argv = {"/no/such/program"}}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/program")));
  EXPECT_THAT(Spawn({.argv = {"/bin/true"}, .fds = {{1 << 20, 3}}}), Not(IsOk()));
}

TEST(ReapChild, WaitsAsLongAsItMay) {
  ASSERT_OK_AND_ASSIGN(const pid_t pid, Spawn({.argv = {"/bin/sleep", "1000"}}));
  EXPECT_FALSE(ReapChild(pid, absl::Milliseconds(1)));
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  EXPECT_TRUE(ReapChild(pid, absl::Minutes(1)));
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1);
}

TEST(ChildReaper, WhatOneLeavesTheNextReaps) {
  ASSERT_OK_AND_ASSIGN(const pid_t pid, Spawn({.argv = {"/bin/sleep", "1000"}}));
  {
    ChildReaper reaper;
    reaper.Add(pid);
    EXPECT_EQ(reaper.Reap(), 1u);
  }
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  ChildReaper next;
  EXPECT_TRUE(Eventually([&] { return next.Reap() == 0; }));
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1);
}

}  // namespace
}  // namespace crisp
