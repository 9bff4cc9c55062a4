#include "runtime/lsm/mcs_pool.h"

#include <set>
#include <string>

#include "base/testing/status_matchers.h"

namespace crisp::runtime {
namespace {

TEST(McsPoolTest, GivesEachPairOnceAndThenNone) {
  McsPool pool(8);
  std::set<std::string> levels;
  for (int i = 0; i < 8 * 7 / 2; ++i) {
    ASSERT_OK_AND_ASSIGN(std::string level, pool.Allocate());
    EXPECT_TRUE(levels.insert(level).second) << level;
  }
  EXPECT_THAT(pool.Allocate(), StatusIs(absl::StatusCode::kResourceExhausted));
  pool.Release(*levels.begin());
  EXPECT_EQ(pool.Allocate().value_or(""), *levels.begin());
}

TEST(McsPoolTest, WhatSomebodyNamedIsGivenToNobodyElse) {
  McsPool pool(2);  // one pair
  pool.Reserve("s0:c0,c1");
  pool.Reserve("s0:c1,c0");  // the same in another order
  pool.Reserve("s0:c0.c1");  // and as a range
  EXPECT_THAT(pool.Allocate(), StatusIs(absl::StatusCode::kResourceExhausted));
  pool.Release("s0:c0,c1");
  pool.Release("s0:c0,c1");
  EXPECT_THAT(pool.Allocate(), StatusIs(absl::StatusCode::kResourceExhausted))
      << "one holder is left";
  pool.Release("s0:c0,c1");
  EXPECT_EQ(pool.Allocate().value_or(""), "s0:c0,c1");
}

TEST(McsPoolTest, OtherLevelsAreNoneOfItsOwn) {
  McsPool pool(4);
  for (const char* level : {"", "s0", "s0-s0:c0.c1023", "s0:c1", "s0:c1,c1", "s0:c1,c2,c3",
                            "s0:c1.c3", "s1:c1,c2", "s0:c-1,c2", "s0:cx,c2"}) {
    pool.Reserve(level);
    EXPECT_EQ(pool.taken(), 0) << level;
    pool.Release(level);
  }
}

}  // namespace
}  // namespace crisp::runtime
