#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "base/testing/test_hung_file_system.h"
#include "runtime/paths/host_paths.h"

namespace crisp::runtime {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::unique_ptr<HostPaths> Open(absl::Duration timeout = absl::Seconds(20)) {
  auto paths = HostPaths::Create({.helper = CRISP_PATHS_BINARY, .timeout = timeout});
  EXPECT_OK(paths);
  return paths.ok() ? *std::move(paths) : nullptr;
}

// Of the helpers that this process has started: pid → state letter.
std::map<int, std::string> Helpers() {
  std::map<int, std::string> found;
  for (const std::string& name : ListDir("/proc").value_or(std::vector<std::string>())) {
    int pid = 0;
    if (!absl::SimpleAtoi(name, &pid)) continue;
    const std::string stat = ReadFile(absl::StrCat("/proc/", name, "/stat")).value_or("");
    const size_t end = stat.rfind(") ");
    if (end == std::string::npos || stat.find("(crisp-paths)") == std::string::npos) continue;
    int parent = 0;
    const std::string rest = stat.substr(end + 4);
    if (absl::SimpleAtoi(rest.substr(0, rest.find(' ')), &parent) && parent == getpid()) {
      found[pid] = stat.substr(end + 2, 1);
    }
  }
  return found;
}

std::set<int> Living() {
  std::set<int> living;
  for (const auto& [pid, state] : Helpers()) {
    if (state != "Z" && state != "X") living.insert(pid);
  }
  return living;
}

TEST(HostPathsTest, ResolvesAndMakesWhatIsMissing) {
  const TempDir dir;
  const auto paths = Open();
  std::filesystem::create_directory(dir.path() + "/real");
  std::filesystem::create_symlink("real", dir.path() + "/link");
  ASSERT_OK_AND_ASSIGN(const auto found,
                       paths->Resolve({dir.path() + "/link", dir.path() + "/new/deep"}));
  EXPECT_THAT(found, ElementsAre(dir.path() + "/real", dir.path() + "/new/deep"));
  EXPECT_TRUE(std::filesystem::is_directory(dir.path() + "/new/deep"));
  EXPECT_THAT(paths->Resolve({}), IsOk());
  std::ofstream(dir.path() + "/file") << "text";
  EXPECT_THAT(paths->Resolve({dir.path() + "/file/below"}).status().message(),
              HasSubstr("/file/below"));
  EXPECT_OK(paths->MakeDirs(dir.path() + "/logs/pod"));
  EXPECT_TRUE(std::filesystem::is_directory(dir.path() + "/logs/pod"));
}

TEST(HostPathsTest, ReadsRegularFilesOnly) {
  const TempDir dir;
  const auto paths = Open();
  const std::string bytes(300000, '\xff');
  std::ofstream(dir.path() + "/file") << bytes;
  EXPECT_EQ(paths->Read(dir.path() + "/file", 1 << 20).value_or(""), bytes);
  EXPECT_THAT(paths->Read(dir.path() + "/file", 1000),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(paths->Read(dir.path() + "/none", 1000), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_EQ(mkfifo((dir.path() + "/fifo").c_str(), 0600), 0);
  EXPECT_THAT(paths->Read(dir.path() + "/fifo", 1000),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a regular file")));
}

TEST(HostPathsTest, SeesDevices) {
  const TempDir dir;
  const auto paths = Open();
  ASSERT_EQ(mknod((dir.path() + "/null").c_str(), S_IFCHR | 0640, makedev(1, 3)), 0);
  ASSERT_OK_AND_ASSIGN(const auto nodes, paths->Devices(dir.path()));
  ASSERT_EQ(nodes.size(), 1u);
  EXPECT_EQ(nodes[0].name, "/null");
  EXPECT_EQ(nodes[0].major, 1u);
  EXPECT_EQ(nodes[0].minor, 3u);
  EXPECT_EQ(nodes[0].mode & 07777, 0640u);
  EXPECT_THAT(paths->Devices(dir.path() + "/none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(paths->Devices("/etc/passwd"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(paths->BlockDevices("/dev/null").value(), IsEmpty()) << "a character device";
  EXPECT_THAT(paths->BlockDevices("/no/such/*").value(), IsEmpty());
  std::filesystem::create_symlink("null", dir.path() + "/link");
  ASSERT_OK_AND_ASSIGN(const auto link, paths->Stat(dir.path() + "/link", HostPaths::Links::kStay));
  EXPECT_TRUE(S_ISLNK(link.mode));
  ASSERT_OK_AND_ASSIGN(const auto there,
                       paths->Stat(dir.path() + "/link", HostPaths::Links::kFollow));
  EXPECT_TRUE(S_ISCHR(there.mode));
}

TEST(HostPathsTest, ManyAtOnceNeedFewHelpers) {
  const TempDir dir;
  const auto paths = Open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) EXPECT_OK(paths->Resolve({dir.path()}));
    });
  }
  for (std::thread& thread : threads) thread.join();
#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)  // with those a helper is slow, and helped by others
  EXPECT_LE(Helpers().size(), 8u);
#endif
  EXPECT_TRUE(Eventually([&] {
    EXPECT_OK(paths->Resolve({dir.path()}));
    return Living().size() <= 4;
  })) << "only the kept ones stay";
}

TEST(HostPathsTest, OneThatWasKilledIsReplaced) {
  std::set<int> former = Living();  // another test's may be on their way out
  const auto paths = Open();
  EXPECT_OK(paths->Resolve({"/usr"}));  // what has answered has its program, by which it is found
  std::vector<int> ours;
  for (const int pid : Living()) {
    if (!former.contains(pid)) ours.push_back(pid);
  }
  ASSERT_EQ(ours.size(), 1u);
  ASSERT_EQ(kill(ours.front(), SIGKILL), 0);
  EXPECT_OK(paths->Resolve({"/usr"}));
}

TEST(HostPathsTest, AHungPathEndsInAnErrorAndHoldsNothing) {
  const TempDir dir;
  std::filesystem::create_directory(dir.path() + "/dead");
  const int held = open(dir.path().c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_OK_AND_ASSIGN(auto dead, HungFileSystem::Mount(dir.path() + "/dead"));
  auto paths = Open(absl::Seconds(1));
  const std::string volume = dir.path() + "/dead/volume";
  const absl::Time begin = absl::Now();
  EXPECT_THAT(paths->Resolve({dir.path(), volume}),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       AllOf(HasSubstr(volume), HasSubstr("does not answer"))));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  EXPECT_EQ(paths->Stuck(), 1u);
  const absl::Time again = absl::Now();
  EXPECT_THAT(paths->Resolve({volume}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr(volume)));
  EXPECT_LT(absl::Now() - again, absl::Milliseconds(900))
      << "a second helper waited for the same path";
  EXPECT_OK(paths->Resolve({dir.path()})) << "others' paths are asked as before";
  // A helper that is stuck holds nothing of ours.
  int stuck = 0;
  ASSERT_TRUE(Eventually([&] {
    for (const auto& [pid, state] : Helpers()) {
      if (state == "D") stuck = pid;  // from when its SIGKILL has reached it
    }
    return stuck != 0;
  }));
  ASSERT_OK_AND_ASSIGN(const auto fds, ListDir(absl::StrCat("/proc/", stuck, "/fd")));
  for (const std::string& fd : fds) {
    const std::string target =
        std::filesystem::read_symlink(absl::StrCat("/proc/", stuck, "/fd/", fd));
    EXPECT_TRUE(target == "/dev/null" || target.starts_with("socket:")) << target;
  }
  close(held);
  const absl::Time ending = absl::Now();
  paths.reset();
  EXPECT_LT(absl::Now() - ending, absl::Seconds(2)) << "the end waited for what is stuck";
  dead.reset();
}

TEST(HostPathsTest, WhatAnswersAgainIsUsedAgain) {
  const TempDir dir;
  std::filesystem::create_directory(dir.path() + "/dead");
  ASSERT_OK_AND_ASSIGN(auto dead, HungFileSystem::Mount(dir.path() + "/dead"));
  const auto paths = Open(absl::Seconds(1));
  const std::string volume = dir.path() + "/dead/volume";
  EXPECT_THAT(paths->Resolve({volume}), StatusIs(absl::StatusCode::kDeadlineExceeded));
  dead.reset();
  absl::Status status;
  EXPECT_TRUE(Eventually([&] {
    status = paths->Resolve({volume}).status();
    return status.ok();
  })) << status;
  EXPECT_EQ(paths->Stuck(), 0u);
}

TEST(HostPathsTest, SoManyMayBeStuckAndNoMore) {
  const TempDir dir;
  std::filesystem::create_directory(dir.path() + "/dead");
  ASSERT_OK_AND_ASSIGN(auto dead, HungFileSystem::Mount(dir.path() + "/dead"));
  auto paths = HostPaths::Create(
      {.helper = CRISP_PATHS_BINARY, .timeout = absl::Milliseconds(300), .most_stuck = 2});
  ASSERT_OK(paths);
  for (const char* name : {"/dead/a", "/dead/b"}) {
    EXPECT_THAT((*paths)->Resolve({dir.path() + name}),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  EXPECT_THAT((*paths)->Resolve({dir.path()}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(dir.path() + "/dead/a")));
}

}  // namespace
}  // namespace crisp::runtime
