#include "base/lower.h"

#include <fcntl.h>

#include <vector>

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp {
namespace {

TEST(LowerTest, ADirectoryAndAMountAreOpenedAndNamed) {
  const TempDir dir;
  ASSERT_OK(AtomicWriteFile(dir.path() + "/f", "there", 0600, Durability::kNone));
  ASSERT_OK_AND_ASSIGN(const UniqueFd held, Open(dir.path(), O_PATH | O_DIRECTORY));
  for (const Lower& lower : std::vector<Lower>{dir.path(), Lower::Mount(held.get())}) {
    ASSERT_OK_AND_ASSIGN(const UniqueFd root, OpenLower(lower, O_RDONLY));
    EXPECT_EQ(*ReadFileAt(root.get(), "f"), "there");
    EXPECT_EQ(*ReadFile(PathOf(lower) + "/f"), "there");
  }
  EXPECT_FALSE(Lower(dir.path()).is_mount());
  EXPECT_TRUE(Lower::Mount(0).is_mount());
}

TEST(LowerTest, WhatIsNotThereIsAnErrorThatNamesIt) {
  EXPECT_THAT(OpenLower("/nonexistent/layer", O_PATH),
              StatusIs(absl::StatusCode::kNotFound, ::testing::HasSubstr("/nonexistent/layer")));
  EXPECT_THAT(OpenLower(Lower::Mount(9999), O_PATH).status().message(),
              ::testing::HasSubstr("9999"));
}

}  // namespace
}  // namespace crisp
