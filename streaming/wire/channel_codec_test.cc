#include "streaming/wire/channel_codec.h"

#include <gtest/gtest.h>

#include "base/testing/status_matchers.h"

namespace crisp::streaming {
namespace {

TEST(ChannelCodecTest, BinaryMessages) {
  ASSERT_OK_AND_ASSIGN(ChannelMessage message,
                       ParseChannelMessage(std::string("\0\xff\0x", 4), false, false));
  EXPECT_EQ(message.channel, 0);
  EXPECT_EQ(message.data, std::string("\xff\0x", 3));
  EXPECT_EQ(FormatChannelMessage(2, "ab", false), "\2ab");
  EXPECT_EQ(FormatChannelMessage(1, "", false), "\1");
}

TEST(ChannelCodecTest, Base64Messages) {
  ASSERT_OK_AND_ASSIGN(ChannelMessage message, ParseChannelMessage("4aGk=", true, false));
  EXPECT_EQ(message.channel, 4);
  EXPECT_EQ(message.data, "hi");
  EXPECT_EQ(FormatChannelMessage(1, "hi", true), "1aGk=");
  EXPECT_EQ(ParseChannelMessage("0", true, false).value().data, "");
}

TEST(ChannelCodecTest, TheCloseMessageExistsInV5Only) {
  ASSERT_OK_AND_ASSIGN(ChannelMessage message,
                       ParseChannelMessage(std::string("\xff\0", 2), false, true));
  EXPECT_TRUE(message.close);
  EXPECT_EQ(message.channel, 0);
  ASSERT_OK_AND_ASSIGN(message, ParseChannelMessage(std::string("\xff\0", 2), false, false));
  EXPECT_FALSE(message.close);
  EXPECT_EQ(message.channel, 255);
}

TEST(ChannelCodecTest, RefusesWhatIsNoMessage) {
  EXPECT_THAT(ParseChannelMessage("", false, true), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseChannelMessage("\xff", false, true),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseChannelMessage("\xff\1\2", false, true),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseChannelMessage("0%%%", true, false),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseChannelMessage("\1aGk=", true, false),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crisp::streaming
