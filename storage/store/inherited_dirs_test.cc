#include "storage/store/inherited_dirs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::storage {
namespace {

using ::testing::ElementsAre;

// Layers as directories; `implicit` names what their archives did not list.
class InheritedDirsTest : public ::testing::Test {
 protected:
  struct Dir {
    std::string path;
    mode_t mode = 0755;
    uid_t uid = 0;
    bool implicit = false;
    bool opaque = false;
  };
  std::string AddLayer(const std::vector<Dir>& dirs, mode_t root_mode = 0755) {
    const std::string fs = absl::StrCat(dir_.path(), "/", layers_.size());
    EXPECT_OK(MakeDirs(fs));
    EXPECT_EQ(chmod(fs.c_str(), root_mode), 0);
    InheritedDirs::Layer layer{.root = fs, .implicit_dirs = {}};
    for (const Dir& dir : dirs) {
      const std::string path = fs + "/" + dir.path;
      EXPECT_OK(MakeDirs(path));
      EXPECT_EQ(chmod(path.c_str(), dir.mode), 0);
      EXPECT_EQ(chown(path.c_str(), dir.uid, 0), 0);
      if (dir.implicit) layer.implicit_dirs.push_back(dir.path);
      if (dir.opaque) {
        EXPECT_EQ(setxattr(path.c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
      }
    }
    layers_.push_back(layer);
    return fs;
  }
  // The paths that were made, relative; what they look like is in target_.
  std::vector<std::string> Make() {
    InheritedDirs inherited(layers_);
    EXPECT_OK(inherited.Find());
    if (inherited.empty()) return {};
    target_ = dir_.path() + "/target";
    EXPECT_OK(RemoveTree(target_));
    EXPECT_OK(MakeDirs(target_));
    absl::StatusOr<UniqueFd> fd = Open(target_, O_RDONLY | O_DIRECTORY);
    absl::StatusOr<TreeCount> count = inherited.Make(fd->get());
    EXPECT_OK(count.status());
    std::vector<std::string> made;
    Walk("", made);
    EXPECT_EQ(count->inodes, made.size());
    EXPECT_EQ(count->bytes, 0u);
    return made;
  }
  void Walk(const std::string& below, std::vector<std::string>& made) {
    std::vector<std::string> names = *ListDir(target_ + "/" + below);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      made.push_back(below.empty() ? name : below + "/" + name);
      Walk(made.back(), made);
    }
  }
  struct stat Stat(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(stat((target_ + "/" + path).c_str(), &st), 0) << path;
    return st;
  }

  TempDir dir_;
  std::string target_;
  std::vector<InheritedDirs::Layer> layers_;
};

TEST_F(InheritedDirsTest, TakesEverythingFromTheNearestLayerThatDescribesIt) {
  AddLayer({{"data", 0711, 1}, {"data/sub", 0700, 1}});
  const std::string nearest = AddLayer({{"data", 0750, 7}});
  AddLayer({{"data", 0755, 0, true}});
  AddLayer({{"data", 0755, 0, true}, {"data/sub", 0755, 0, true}, {"own", 0755, 0, true}});
  ASSERT_EQ(setxattr((nearest + "/data").c_str(), "user.k", "v", 1, 0), 0);
  const timespec times[2] = {{1000, 5}, {1000, 5}};
  ASSERT_EQ(utimensat(AT_FDCWD, (nearest + "/data").c_str(), times, 0), 0);
  EXPECT_THAT(Make(), ElementsAre("data", "data/sub"));
  EXPECT_EQ(Stat("data").st_mode & 07777, 0750u);
  EXPECT_EQ(Stat("data").st_uid, 7u);
  EXPECT_EQ(Stat("data").st_mtim.tv_sec, 1000);
  EXPECT_EQ(Stat("data").st_mtim.tv_nsec, 5);
  EXPECT_EQ(Stat("data/sub").st_mode & 07777, 0700u);
  char value[4] = {};
  EXPECT_EQ(getxattr((target_ + "/data").c_str(), "user.k", value, sizeof(value)), 1);
}

TEST_F(InheritedDirsTest, ParentsKeepWhatTheImageShows) {
  AddLayer({{"a", 0700}, {"a/b", 0700}});
  AddLayer({{"a", 0755, 0, true}, {"a/b", 0755, 0, true}});
  AddLayer({{"a", 0711, 3}});
  EXPECT_THAT(Make(), ElementsAre("a", "a/b"));
  EXPECT_EQ(Stat("a").st_uid, 3u);
  EXPECT_EQ(Stat("a").st_mode & 07777, 0711u);
  EXPECT_EQ(Stat("a/b").st_mode & 07777, 0700u);
}

TEST_F(InheritedDirsTest, NothingWhereNoLayerBelowHasTheDirectory) {
  AddLayer({{"other", 0700}});
  AddLayer({{"data", 0755, 0, true}});
  AddLayer({{"data", 0755, 0, true}});
  EXPECT_THAT(Make(), ElementsAre());
}

TEST_F(InheritedDirsTest, NothingWhenALayerAboveDescribesIt) {
  AddLayer({{"data", 0700}});
  AddLayer({{"data", 0755, 0, true}});
  AddLayer({{"data", 0711}});
  EXPECT_THAT(Make(), ElementsAre());
}

TEST_F(InheritedDirsTest, HiddenDirectoriesGiveAndTakeNothing) {
  AddLayer({{"white", 0700}, {"opaque", 0700}, {"file", 0700}, {"link", 0700}, {"up/down", 0700}});
  const std::string hides =
      AddLayer({{"opaque", 0755, 0, true, true}, {"up", 0700, 0, false, true}});
  ASSERT_EQ(mknod((hides + "/white").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ASSERT_OK(AtomicWriteFile(hides + "/file", "", 0600, Durability::kNone));
  ASSERT_EQ(symlink("opaque", (hides + "/link").c_str()), 0);
  AddLayer({{"white", 0755, 0, true},
            {"file", 0755, 0, true},
            {"link", 0755, 0, true},
            {"up/down", 0755, 0, true}});
  // An opaque marker hides what is in the directory, not how it looks.
  EXPECT_THAT(Make(), ElementsAre("opaque"));
  EXPECT_EQ(Stat("opaque").st_mode & 07777, 0700u);
  const std::string top = AddLayer({});
  for (const char* name : {"/up", "/opaque"})
    ASSERT_EQ(mknod((top + name).c_str(), S_IFCHR, makedev(0, 0)), 0);
  EXPECT_THAT(Make(), ElementsAre());
}

TEST_F(InheritedDirsTest, DirectoriesThatWouldShowWhiteoutsAreMerged) {
  AddLayer({{"alone", 0711, 3}, {"both", 0700}});
  AddLayer({{"both", 0755}, {"new/sub", 0700}});
  layers_[0].whiteout_dirs = {".", "alone"};
  layers_[1].whiteout_dirs = {"both", "new/sub"};
  EXPECT_THAT(Make(), ElementsAre("alone", "new", "new/sub"));
  EXPECT_EQ(Stat("alone").st_mode & 07777, 0711u);
  EXPECT_EQ(Stat("alone").st_uid, 3u);
  layers_.pop_back();
  EXPECT_THAT(Make(), ElementsAre("alone"));
}

TEST_F(InheritedDirsTest, TheRootCountsByOwnerModeAndAttributes) {
  AddLayer({}, 0755);
  AddLayer({{".", 0755, 0, true}});
  EXPECT_THAT(Make(), ElementsAre());
  EXPECT_EQ(target_, "");
  ASSERT_EQ(chmod(layers_[0].root.path.c_str(), 0711), 0);
  EXPECT_THAT(Make(), ElementsAre());
  EXPECT_EQ(Stat(".").st_mode & 07777, 0711u);
}

TEST_F(InheritedDirsTest, OfALayerThatComesTwiceTheUpperOneCounts) {
  AddLayer({{"data", 0755, 0, true}});
  AddLayer({{"data", 0700}});
  layers_.push_back(layers_[0]);
  EXPECT_THAT(Make(), ElementsAre("data"));
  EXPECT_EQ(Stat("data").st_mode & 07777, 0700u);
}

TEST_F(InheritedDirsTest, ListsSurviveAsFiles) {
  const std::string path = dir_.path() + "/list";
  ASSERT_OK(WriteDirList(path, {}));
  EXPECT_THAT(*ReadDirList(path), ElementsAre());
  ASSERT_OK(WriteDirList(path, {".", "a\nb", "c d"}));
  EXPECT_THAT(*ReadDirList(path), ElementsAre(".", "a\nb", "c d"));
  EXPECT_NE(InheritedDirsKey({"a", "b"}), InheritedDirsKey({"b", "a"}));
}

}  // namespace
}  // namespace crisp::storage
