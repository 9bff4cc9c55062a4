#include "runtime/plan/mount_options.h"

#include <gmock/gmock.h>
#include <linux/mount.h>

#include "base/testing/status_matchers.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(MountOptionsTest, SortsWordsByMeaning) {
  MountOptions parsed = *ParseMountOptions(
      {"rbind", "rslave", "ro", "nosuid", "idmap", "defaults", "size=64k", "mode=755"});
  EXPECT_TRUE(parsed.bind);
  EXPECT_TRUE(parsed.recursive_bind);
  EXPECT_EQ(parsed.propagation, Propagation::kSlave);
  EXPECT_EQ(parsed.attributes, uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID});
  EXPECT_FALSE(parsed.recursive_attributes);
  EXPECT_TRUE(parsed.idmap);
  EXPECT_THAT(parsed.rest, ElementsAre("size=64k", "mode=755"));
}

TEST(MountOptionsTest, LaterWordsWin) {
  EXPECT_EQ(ParseMountOptions({"ro", "noexec", "rw"})->attributes, uint64_t{MOUNT_ATTR_NOEXEC});
  EXPECT_EQ(ParseMountOptions({"noatime", "strictatime"})->attributes,
            uint64_t{MOUNT_ATTR_STRICTATIME});
  EXPECT_EQ(ParseMountOptions({"noatime", "relatime"})->attributes, 0u);
  EXPECT_FALSE(ParseMountOptions({"rbind", "bind"})->recursive_bind);
}

TEST(MountOptionsTest, AnRInFrontMakesAnAttributeRecursive) {
  MountOptions parsed = *ParseMountOptions({"rbind", "rro", "rnosuid"});
  EXPECT_TRUE(parsed.recursive_attributes);
  EXPECT_EQ(parsed.attributes, uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID});
  // Words that begin with an r by themselves.
  parsed = *ParseMountOptions({"relatime", "rw", "ro", "rprivate"});
  EXPECT_FALSE(parsed.recursive_attributes);
  EXPECT_THAT(parsed.rest, IsEmpty());
}

TEST(MountOptionsTest, RefusesWhatAContainerCannotHave) {
  for (const char* word : {"remount", "unbindable", "runbindable", "move", "tmpcopyup"}) {
    EXPECT_THAT(ParseMountOptions({word}), StatusIs(absl::StatusCode::kInvalidArgument)) << word;
  }
}

}  // namespace
}  // namespace crisp::runtime
