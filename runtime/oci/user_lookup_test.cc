#include "runtime/oci/user_lookup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

const AccountFiles kFiles = {
    .passwd =
        "root:x:0:0:root:/root:/bin/sh\n"
        "#comment:x:9:9::/:\n"
        "broken:x:notanumber:1::/:\n"
        "app:x:1000:1000::/home/app:/bin/sh\n"
        "1001:x:0:0::/root:/bin/sh\n"
        "noshell:x:7:8\n"
        "wide:x:4294967296:0::/:\n"
        "rel:x:11:11::home:\n",
    .group =
        "root:x:0:\nwheel:x:10:root,app\napp:x:1000:\ndocker:x:50:other,app,app\nbad:x:-1:app\n"};

ResolvedUser Resolved(const UserRequest& request) {
  absl::StatusOr<ResolvedUser> user = ResolveUser(request, kFiles);
  EXPECT_OK(user);
  return user.value_or(ResolvedUser{.uid = 12345678});
}

TEST(UserLookupTest, ParsesIdsStrictly) {
  EXPECT_EQ(ParseId("0"), 0u);
  EXPECT_EQ(ParseId("01"), 1u);
  EXPECT_EQ(ParseId("4294967294"), 4294967294u);
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "1:", "0x1", "1e3", "4294967295",
                           "4294967296", "18446744073709551616", "99999999999999999999999999"}) {
    EXPECT_EQ(ParseId(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseId(absl::string_view("1\0", 2)), std::nullopt);
}

TEST(UserLookupTest, ANumberIsNeverAName) {
  // passwd has a user named "1001" with uid 0.
  EXPECT_EQ(Resolved({.image_user = "1001"}).uid, 1001u);
  EXPECT_EQ(Resolved({.run_as_username = "1001"}).uid, 1001u);
  for (const char* text : {"-1", "+1", " 1", "4294967295", "4294967296", "18446744073709551616"}) {
    EXPECT_THAT(ResolveUser({.image_user = text}, kFiles), StatusIs(kInvalid)) << text;
    EXPECT_THAT(ResolveUser({.run_as_username = text}, kFiles), StatusIs(kInvalid)) << text;
    EXPECT_THAT(ResolveUser({.image_user = absl::StrCat("0:", text)}, kFiles), StatusIs(kInvalid))
        << text;
  }
  for (int64_t uid : {int64_t{-1}, int64_t{4294967295}, int64_t{1} << 32}) {
    EXPECT_THAT(ResolveUser({.run_as_user = uid}, kFiles), StatusIs(kInvalid)) << uid;
    EXPECT_THAT(ResolveUser({.supplemental_groups = {uid}}, kFiles), StatusIs(kInvalid)) << uid;
    EXPECT_THAT(ResolveUser({.run_as_user = 1, .run_as_group = uid}, kFiles), StatusIs(kInvalid));
  }
}

TEST(UserLookupTest, FindsTheUser) {
  ResolvedUser user = Resolved({.image_user = "app"});
  EXPECT_EQ(user.uid, 1000u);
  EXPECT_EQ(user.gid, 1000u);
  EXPECT_EQ(user.home, "/home/app");
  EXPECT_THAT(user.groups, ElementsAre(10u, 50u, 1000u));

  user = Resolved({.run_as_user = 1000});
  EXPECT_EQ(user.name, "app");
  EXPECT_EQ(user.home, "/home/app");
  EXPECT_EQ(Resolved({.run_as_user = 77}).home, "/");
  EXPECT_EQ(Resolved({.run_as_user = 77}).gid, 0u);
  EXPECT_EQ(Resolved({.run_as_user = 7}).gid, 8u) << "four fields are enough";
  EXPECT_EQ(Resolved({.image_user = "rel"}).home, "/") << "a relative home is none";
  EXPECT_EQ(Resolved({}).uid, 0u);
  EXPECT_EQ(Resolved({}).home, "/root");
  for (const char* name : {"nobody", "broken", "wide", "#comment", "app "}) {
    EXPECT_THAT(ResolveUser({.image_user = name}, kFiles),
                StatusIs(kInvalid, HasSubstr("/etc/passwd")))
        << name;
  }
}

TEST(UserLookupTest, RootNeedsNoFile) {
  EXPECT_EQ(ResolveUser({.image_user = "root"}, {})->uid, 0u);
  EXPECT_EQ(ResolveUser({.image_user = "0:0"}, {})->uid, 0u);
}

TEST(UserLookupTest, OrderOfPrecedence) {
  EXPECT_EQ(Resolved({.run_as_user = 5, .run_as_username = "app", .image_user = "root"}).uid, 5u);
  EXPECT_EQ(Resolved({.run_as_username = "app", .image_user = "root"}).uid, 1000u);
  EXPECT_EQ(Resolved({.image_user = "app:wheel"}).gid, 10u);
  EXPECT_EQ(Resolved({.image_user = "app:77"}).gid, 77u);
  EXPECT_EQ(Resolved({.image_user = ":wheel"}).gid, 10u);
  EXPECT_EQ(Resolved({.run_as_user = 1000, .run_as_group = 3, .image_user = "app:wheel"}).gid, 3u);
  EXPECT_THAT(ResolveUser({.image_user = "app:nogroup"}, kFiles),
              StatusIs(kInvalid, HasSubstr("/etc/group")));
  EXPECT_THAT(ResolveUser({.run_as_group = 3}, kFiles), StatusIs(kInvalid));
}

TEST(UserLookupTest, StrictTakesOnlyWhatIsListed) {
  EXPECT_THAT(Resolved({.image_user = "app",
                        .supplemental_groups = {99, 5, 99},
                        .policy = GroupsPolicy::kStrict})
                  .groups,
              ElementsAre(5u, 99u, 1000u));
  EXPECT_THAT(Resolved({.image_user = "app", .supplemental_groups = {99}}).groups,
              ElementsAre(10u, 50u, 99u, 1000u));
}

TEST(UserLookupTest, HugeFilesCostLittle) {
  AccountFiles files;
  files.passwd = std::string(20u << 20, 'a');
  files.group = "g:x:5:";
  for (int i = 0; i < 200000; ++i) files.group += "user,";
  files.group += "\nh:x:6:root\n";
  absl::StatusOr<ResolvedUser> user = ResolveUser({.image_user = "root"}, files);
  ASSERT_OK(user);
  EXPECT_EQ(user->uid, 0u);
}

class AccountFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& layer : {top_, base_}) ASSERT_OK(MakeDirs(layer + "/etc"));
    ASSERT_OK(Put(base_ + "/etc/passwd", "base:x:1:1::/:\n"));
    ASSERT_OK(Put(base_ + "/etc/group", "base:x:1:\n"));
  }
  absl::Status Put(const std::string& path, absl::string_view text) {
    return AtomicWriteFile(path, text, 0644, Durability::kNone);
  }
  std::string Passwd() { return ReadAccountFiles({top_, base_})->passwd; }

  TempDir dir_;
  std::string top_ = dir_.path() + "/top", base_ = dir_.path() + "/base";
};

TEST_F(AccountFilesTest, TheTopmostLayerWins) {
  EXPECT_EQ(Passwd(), "base:x:1:1::/:\n");
  ASSERT_OK(Put(top_ + "/etc/passwd", "top:x:2:2::/:\n"));
  AccountFiles files = *ReadAccountFiles({top_, base_});
  EXPECT_EQ(files.passwd, "top:x:2:2::/:\n");
  EXPECT_EQ(files.group, "base:x:1:\n");
}

TEST_F(AccountFilesTest, AWhiteoutHides) {
  if (mknod((top_ + "/etc/passwd").c_str(), S_IFCHR, makedev(0, 0)) != 0) GTEST_SKIP();
  EXPECT_EQ(Passwd(), "");
  EXPECT_EQ(ReadAccountFiles({top_, base_})->group, "base:x:1:\n");
}

TEST_F(AccountFilesTest, AnOpaqueDirectoryHides) {
  if (setxattr((top_ + "/etc").c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) GTEST_SKIP();
  EXPECT_EQ(Passwd(), "");
}

TEST_F(AccountFilesTest, SymlinksStayInTheStack) {
  ASSERT_OK(MakeDirs(base_ + "/usr/etc"));
  ASSERT_OK(Put(base_ + "/usr/etc/passwd", "linked:x:3:3::/:\n"));
  ASSERT_EQ(symlink("/usr/etc/passwd", (top_ + "/etc/passwd").c_str()), 0);
  EXPECT_EQ(Passwd(), "linked:x:3:3::/:\n");

  ASSERT_EQ(unlink((top_ + "/etc/passwd").c_str()), 0);
  ASSERT_EQ(symlink("../../../../../../etc/passwd", (top_ + "/etc/passwd").c_str()), 0);
  EXPECT_EQ(Passwd(), "") << "a loop, not the host's file";

  ASSERT_OK(Put(dir_.path() + "/secret", "secret:x:0:0::/:\n"));
  ASSERT_EQ(unlink((top_ + "/etc/passwd").c_str()), 0);
  ASSERT_EQ(symlink("../../secret", (top_ + "/etc/passwd").c_str()), 0);
  EXPECT_EQ(Passwd(), "");

  ASSERT_EQ(unlink((top_ + "/etc/passwd").c_str()), 0);
  ASSERT_EQ(rmdir((top_ + "/etc").c_str()), 0);
  ASSERT_EQ(symlink("usr/etc", (top_ + "/etc").c_str()), 0);
  EXPECT_EQ(Passwd(), "linked:x:3:3::/:\n");
}

TEST_F(AccountFilesTest, TakesRegularFilesOnly) {
  ASSERT_EQ(mkfifo((top_ + "/etc/passwd").c_str(), 0644), 0);
  EXPECT_EQ(Passwd(), "") << "and does not block";
}

TEST_F(AccountFilesTest, CutsALongFileAtALine) {
  int fd = open((top_ + "/etc/passwd").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  ASSERT_EQ(write(fd, "a:x:1:1::/:\n", 12), 12);
  ASSERT_EQ(ftruncate(fd, off_t{10} << 30), 0);  // sparse
  close(fd);
  EXPECT_EQ(Passwd(), "a:x:1:1::/:\n");
}

}  // namespace
}  // namespace crisp::runtime
