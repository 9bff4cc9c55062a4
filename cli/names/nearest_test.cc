#include "cli/names/nearest.h"

#include <gtest/gtest.h>

namespace crisp::cli {
namespace {

TEST(NearestTest, CountsWhatHasToChange) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("images", "images"), 0u);
  EXPECT_EQ(EditDistance("", "ps"), 2u);
  EXPECT_EQ(EditDistance("imges", "images"), 1u) << "one is missing";
  EXPECT_EQ(EditDistance("imagess", "images"), 1u) << "one is too many";
  EXPECT_EQ(EditDistance("imegas", "images"), 2u) << "two are others";
  EXPECT_EQ(EditDistance("iamges", "images"), 1u) << "neighbours have changed places";
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
}

TEST(NearestTest, FindsWhatWasMeant) {
  const std::vector<std::string> commands{"ps",      "pods",  "pull", "images",
                                          "inspect", "stats", "stop"};
  EXPECT_EQ(Nearest("iamges", commands), "images");
  EXPECT_EQ(Nearest("inspct", commands), "inspect");
  EXPECT_EQ(Nearest("psu", commands), "ps");
  EXPECT_EQ(Nearest("xyzzy", commands), "");
  EXPECT_EQ(Nearest("qq", commands), "") << "two short words without a common character";
  EXPECT_EQ(Nearest("sto", {}), "");
  EXPECT_EQ(DidYouMean("stpo", commands), ": did you mean stop?");
  EXPECT_EQ(DidYouMean("xyzzy", commands), "");
}

TEST(NearestTest, AWordWithoutBoundIsComparedWithNothing) {
  EXPECT_EQ(Nearest(std::string(1 << 20, 'a'), {std::string(1 << 20, 'a')}), "");
}

}  // namespace
}  // namespace crisp::cli
