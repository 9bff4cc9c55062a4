#include "cli/client/endpoint.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "base/testing/temp_dir.h"
#include "base/unique_fd.h"
#include "cli/client/client.h"
#include "cli/client/testing/fake_daemon.h"

namespace crisp::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

UniqueFd BoundSocket(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

TEST(EndpointTest, TheOperatorsSocketIsTakenIfItIsThere) {
  TempDir dir;
  EXPECT_EQ(ChooseEndpoint("", dir.path()).path, dir.path() + kKubeletSocket);
  ASSERT_TRUE(MakeDirs(dir.path() + "/run/crisp").ok());
  ASSERT_TRUE(AtomicWriteFile(dir.path() + kOperatorSocket, "", 0600, Durability::kNone).ok());
  EXPECT_EQ(ChooseEndpoint("", dir.path()).path, dir.path() + kOperatorSocket);
  EXPECT_FALSE(ChooseEndpoint("", dir.path()).chosen);
}

TEST(EndpointTest, AnAddressIsAUrlOrAPath) {
  for (const char* given : {"unix:///run/x.sock", "unix:/run/x.sock", "/run/x.sock"}) {
    EXPECT_EQ(ChooseEndpoint(given).path, "/run/x.sock");
    EXPECT_EQ(ChooseEndpoint(given).address(), "unix:///run/x.sock");
    EXPECT_TRUE(ChooseEndpoint(given).chosen);
  }
}

TEST(EndpointTest, ADaemonThatIsAwayIsSaidWithItsSocketAndWhatToDo) {
  TempDir dir;
  const std::string path = dir.path() + "/crisp.sock";
  const auto message = [&] {
    const absl::Status status = Client(Endpoint{.path = path}).Info().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    return std::string(status.message());
  };
  EXPECT_THAT(message(), AllOf(HasSubstr(path + ": there is no such socket"),
                               HasSubstr("systemctl status crispd"), HasSubstr("--address")));
  const UniqueFd bound = BoundSocket(path);
  EXPECT_THAT(message(), HasSubstr(path + ": nobody listens there"));
  EXPECT_EQ(TryConnect(path), ECONNREFUSED);
  ASSERT_EQ(listen(bound.get(), 1), 0);
  EXPECT_EQ(TryConnect(path), 0);
}

TEST(EndpointTest, WhoMayNotUseTheSocketIsTold) {
  EXPECT_THAT(std::string(DaemonIsAway("/x", EACCES).message()),
              AllOf(HasSubstr("this user may not"), HasSubstr("as root")));
}

TEST(ClientTest, AnErrorOfTheDaemonKeepsItsCodeAndText) {
  FakeDaemon daemon;
  daemon.errors["ListContainers"] = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "not now");
  const auto reply =
      daemon.Connect()->Call(&Client::Runtime::ListContainers, v1::ListContainersRequest());
  EXPECT_EQ(reply.status(), absl::FailedPreconditionError("not now"));
}

}  // namespace
}  // namespace crisp::cli
