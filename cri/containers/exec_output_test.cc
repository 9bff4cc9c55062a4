#include "cri/containers/exec_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "base/file.h"
#include "base/testing/status_matchers.h"

namespace crisp::cri {
namespace {

using ::testing::HasSubstr;

struct Ends {
  UniqueFd read, write;
};

Ends MakePipe() {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  return {.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

TEST(ExecOutputTest, TakesWhatIsThereAndClosesAtTheEnd) {
  Ends out = MakePipe(), err = MakePipe();
  v1::ExecSyncResponse reply;
  ASSERT_OK(WriteAll(out.write.get(), "one", "pipe"));
  EXPECT_OK(DrainExecOutput(out.read, err.read, reply));
  EXPECT_TRUE(out.read.valid());
  ASSERT_OK(WriteAll(out.write.get(), "two", "pipe"));
  ASSERT_OK(WriteAll(err.write.get(), "three", "pipe"));
  out.write.reset();
  EXPECT_OK(DrainExecOutput(out.read, err.read, reply));
  EXPECT_FALSE(out.read.valid());
  EXPECT_TRUE(err.read.valid());
  EXPECT_EQ(reply.stdout(), "onetwo");
  EXPECT_EQ(reply.stderr(), "three");
}

TEST(ExecOutputTest, OutputThatCannotBeReadIsAnError) {
  // Reading a directory fails as a broken pipe buffer would.
  UniqueFd broken(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  UniqueFd closed;
  v1::ExecSyncResponse reply;
  const absl::Status status = DrainExecOutput(broken, closed, reply);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.ToString(), HasSubstr("read the command's stdout"));
  EXPECT_FALSE(DrainExecOutput(closed, broken, reply).ok());
}

}  // namespace
}  // namespace crisp::cri
