#include "base/subprocess.h"

#include "base/testing/cancelled_wait.h"
#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

Command Shell(std::string script) {
  return Command{.argv = {"/bin/sh", "-c", std::move(script)}, .env = {"PATH=/usr/bin:/bin"}};
}

TEST(SubprocessTest, PassesInputAndSeparatesStreams) {
  Command command = Shell("cat; echo oops >&2; exit 3");
  command.input = std::string(200000, 'x');
  ASSERT_OK_AND_ASSIGN(const CommandResult result, RunCommand(command, Operation()));
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.output, command.input);
  EXPECT_EQ(result.errors, "oops\n");
}

TEST(SubprocessTest, DeadlineKillsTheGroup) {
  const absl::Time start = absl::Now();
  EXPECT_THAT(RunCommand(Shell("sleep 30 & sleep 30"), Operation(start + absl::Milliseconds(100))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST(SubprocessTest, ACancellationEndsItAtOnce) {
  EXPECT_THAT(CancelledWhileAsleep([](const Operation& operation) {
                return RunCommand(Shell("exec sleep 1000"), operation);
              }).status(),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST(SubprocessTest, GrandchildHoldingThePipeDoesNotHang) {
  const absl::Time start = absl::Now();
  ASSERT_OK_AND_ASSIGN(const CommandResult result,
                       RunCommand(Shell("echo hi; sleep 5 &"), Operation()));
  EXPECT_EQ(result.output, "hi\n");
  EXPECT_LT(absl::Now() - start, absl::Seconds(4));
}

TEST(SubprocessTest, MissingProgramIsNotFound) {
  EXPECT_THAT(RunCommand(Command{.argv = {"/nonexistent"}}, Operation()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(SubprocessTest, TooMuchOutputEndsIt) {
  Command command = Shell("yes");
  command.max_output = 1 << 20;
  EXPECT_THAT(RunCommand(command, Operation()), StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace crisp
