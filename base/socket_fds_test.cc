#include "base/socket_fds.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "base/file.h"
#include "base/pipe.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

class SocketFdsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(sockets_, MakeSocketPair("a test's sockets", SOCK_SEQPACKET));
    ASSERT_OK_AND_ASSIGN(null_, Open("/dev/null", O_RDONLY));
    ASSERT_OK_AND_ASSIGN(const auto open, ListDir("/proc/self/fd"));
    open_before_ = open.size();
  }
  void TearDown() override {
    ASSERT_OK_AND_ASSIGN(const auto open, ListDir("/proc/self/fd"));
    EXPECT_EQ(open.size(), open_before_) << "descriptors were lost";
  }
  std::vector<int> Nulls(size_t count) const { return std::vector<int>(count, null_.get()); }
  absl::StatusOr<Received> Receive(size_t most_fds) {
    return ReceiveWithFds(sockets_.theirs.get(), buffer_, sizeof(buffer_), most_fds, MSG_DONTWAIT);
  }

  SocketPair sockets_;
  UniqueFd null_;
  size_t open_before_ = 0;
  char buffer_[8];
};

TEST_F(SocketFdsTest, WhatIsSentArrives) {
  ASSERT_OK(SendWithFds(sockets_.ours.get(), {"ab", "", "cde"}, Nulls(2)));
  ASSERT_OK_AND_ASSIGN(const Received received, Receive(2));
  EXPECT_EQ(std::string(buffer_, received.size), "abcde");
  ASSERT_EQ(received.fds.size(), 2u);
  struct stat sent {
  }, got{};
  ASSERT_EQ(fstat(null_.get(), &sent), 0);
  for (const UniqueFd& fd : received.fds) {
    ASSERT_EQ(fstat(fd.get(), &got), 0);
    EXPECT_EQ(got.st_rdev, sent.st_rdev);
    EXPECT_NE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0) << "a child would inherit it";
  }
}

TEST_F(SocketFdsTest, AsManyAsTheKernelTakes) {
  ASSERT_OK(SendWithFds(sockets_.ours.get(), {"a"}, Nulls(kMostFds)));
  ASSERT_OK_AND_ASSIGN(const Received received, Receive(kMostFds));
  EXPECT_EQ(received.fds.size(), kMostFds);
  EXPECT_THAT(SendWithFds(sockets_.ours.get(), {"a"}, Nulls(kMostFds + 1)), ::testing::Not(IsOk()));
}

TEST_F(SocketFdsTest, MoreThanIsExpectedIsAnErrorAndGone) {
  for (const size_t most : {0u, 1u, 2u, 3u}) {
    SCOPED_TRACE(most);
    ASSERT_OK(SendWithFds(sockets_.ours.get(), {"a"}, Nulls(most + 1)));
    EXPECT_THAT(Receive(most), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  ASSERT_OK(SendWithFds(sockets_.ours.get(), {"123456789"}, Nulls(1)));
  EXPECT_THAT(Receive(1), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK(SendWithFds(sockets_.ours.get(), {"12345678"}, {}));
  ASSERT_OK_AND_ASSIGN(const Received next, Receive(1));
  EXPECT_EQ(next.size, 8u);
}

TEST_F(SocketFdsTest, SaysWhyThereIsNothing) {
  EXPECT_EQ(ErrnoOf(Receive(1).status()), EAGAIN);
  const int ours = sockets_.ours.release();
  --open_before_;
  ASSERT_EQ(close(ours), 0);
  ASSERT_OK_AND_ASSIGN(const Received end, Receive(1));
  EXPECT_EQ(end.size, 0u);
  EXPECT_EQ(ErrnoOf(SendWithFds(sockets_.theirs.get(), {"a"}, {})), EPIPE);
}

}  // namespace
}  // namespace crisp
