#include "base/id.h"

#include <gtest/gtest.h>

namespace crisp {
namespace {

TEST(IdTest, IsLongHexAndUnique) {
  const std::string id = GenerateId();
  EXPECT_EQ(id.size(), 64u);
  EXPECT_TRUE(IsIdPrefix(id));
  EXPECT_NE(id, GenerateId());
}

TEST(IdTest, PrefixRejectsEverythingElse) {
  EXPECT_FALSE(IsIdPrefix(""));
  EXPECT_FALSE(IsIdPrefix("ABC"));
  EXPECT_FALSE(IsIdPrefix("../x"));
  EXPECT_FALSE(IsIdPrefix(std::string(65, 'a')));
}

}  // namespace
}  // namespace crisp
