#include "base/utf8.h"

#include "gtest/gtest.h"

namespace crisp {
namespace {

TEST(Utf8Test, TellsCharacters) {
  for (const char* text :
       {"", "a", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
    EXPECT_EQ(ReplaceInvalidUtf8(text), text);
  }
  for (const char* text : {"\xe9", "a\xff\xfe", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                           "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80", "\xe2\x82"}) {
    EXPECT_FALSE(IsUtf8(text)) << text;
    EXPECT_TRUE(IsUtf8(ReplaceInvalidUtf8(text)));
  }
  EXPECT_EQ(ReplaceInvalidUtf8("caf\xe9!"), "caf\xef\xbf\xbd!");
}

TEST(Utf8Test, ShowsBytes) {
  EXPECT_EQ(ShownBytes("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(ShownBytes("caf\xe9\n"), "caf\\xe9\\n");
  EXPECT_EQ(ShownBytes("caf\xc3\xa9 au lait", 4), "caf");
  EXPECT_EQ(ShownBytes("caf\xc3\xa9 au lait", 5), "caf\xc3\xa9");
  EXPECT_EQ(ShownBytes(std::string(9, '\x80'), 8), std::string("\\x80\\x80\\x80\\x80"));
}

}  // namespace
}  // namespace crisp
