#include "cri/containers/constant_layers.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::cri {
namespace {

using ::testing::IsEmpty;

mode_t ModeOf(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 ? st.st_mode : 0;
}

TEST(ConstantLayersTest, MountPointsAreForEverybodyWhateverTheUmask) {
  const TempDir dir;
  const mode_t umask = ::umask(077);
  const absl::StatusOr<ConstantLayers> layers = MakeConstantLayers(dir.path());
  ::umask(umask);
  ASSERT_OK(layers);
  EXPECT_EQ(ModeOf(layers->mount_points), S_IFDIR | 0755);
  EXPECT_EQ(ModeOf(absl::StrCat(layers->mount_points, "/proc")), S_IFDIR | 0755);
  EXPECT_EQ(ModeOf(absl::StrCat(layers->mount_points, "/etc/hosts")), S_IFREG | 0644);
  EXPECT_THAT(*ListDir(layers->empty), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const ConstantLayers again, MakeConstantLayers(dir.path()));
  EXPECT_EQ(again.mount_points, layers->mount_points);
  EXPECT_EQ(again.empty, layers->empty);
}

TEST(ConstantLayersTest, ContainersDoWithoutMountPointsThatCannotBeMade) {
  const TempDir dir;
  ASSERT_OK(AtomicWriteFile(dir.path() + "/mount-points", "no directory", 0644, Durability::kNone));
  ASSERT_OK_AND_ASSIGN(const ConstantLayers layers, MakeConstantLayers(dir.path()));
  EXPECT_EQ(layers.mount_points, "");
  EXPECT_EQ(ModeOf(layers.empty) & S_IFMT, static_cast<mode_t>(S_IFDIR));
}

}  // namespace
}  // namespace crisp::cri
