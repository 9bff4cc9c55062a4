#include <sys/xattr.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "runtime/lsm/selinux_store.h"

namespace crisp::runtime {
namespace {

constexpr char kLabel[] = "system_u:object_r:container_file_t:s0";

std::string LabelOf(const std::string& path) {
  char value[256] = {};
  return ::lgetxattr(path.c_str(), "security.selinux", value, sizeof(value) - 1) < 0
             ? ""
             : std::string(value);
}

TEST(SelinuxStoreTest, AStoreIsLabelledOnceAndItsDirectoryLast) {
  const SelinuxHost host = DetectSelinux();
  if (host.enabled && !host.unusable.empty()) GTEST_SKIP() << host.unusable;
  const TempDir dir;
  const std::string store = dir.path() + "/store";
  ASSERT_OK(MakeDirs(store + "/1/fs"));
  ASSERT_OK(LabelStore(store, kLabel));
  if (LabelOf(store).empty()) GTEST_SKIP() << "no labels in " << dir.path();
  EXPECT_EQ(LabelOf(store), kLabel);
  EXPECT_EQ(LabelOf(store + "/1/fs"), kLabel);
  const std::string other = "system_u:object_r:container_file_t:s0:c1,c2";
  ASSERT_OK(SetSelinuxLabel(store + "/1", other));
  ASSERT_OK(LabelStore(store, kLabel));
  EXPECT_EQ(LabelOf(store + "/1"), other) << "it is not looked through again";
}

TEST(SelinuxStoreTest, NothingIsTouchedWhereContainersGetNoLabels) {
  const TempDir dir;
  for (const SelinuxHost& host : {SelinuxHost{}, SelinuxHost{.off = true, .enabled = true},
                                  SelinuxHost{.enabled = true, .unusable = "no container_t"}}) {
    EXPECT_OK(LabelStores({dir.path() + "/layers"}, host));
    EXPECT_THAT(*ListDir(dir.path()), ::testing::IsEmpty());
  }
}

TEST(SelinuxStoreTest, ThePolicySaysWhatIsShared) {
  EXPECT_EQ(
      SharedFileContext("file = \"a_u:object_r:a_t:s0\"\nro_file = \"b_u:object_r:b_t:s0\"\n"),
      "b_u:object_r:b_t:s0");
  EXPECT_EQ(SharedFileContext("# ro_file\nfile = x\n"), "");
  EXPECT_EQ(SharedFileContext("ro_file = nonsense\n"), "");
}

}  // namespace
}  // namespace crisp::runtime
