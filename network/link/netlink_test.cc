#include "network/link/netlink.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <cstring>
#include <vector>

#include "base/testing/status_matchers.h"
#include "network/link/links.h"

namespace crisp::network {
namespace {

struct Seen {
  std::vector<uint16_t> types;
  std::vector<int> errors;
  absl::Status status;
};

Seen Parse(const std::vector<char>& bytes) {
  std::vector<uint32_t> aligned((bytes.size() + 3) / 4);
  std::memcpy(aligned.data(), bytes.data(), bytes.size());
  Seen seen;
  seen.status = ParseReplies(
      reinterpret_cast<const char*>(aligned.data()), bytes.size(),
      [&](const nlmsghdr* message) { seen.types.push_back(message->nlmsg_type); },
      [&](uint32_t, int error, absl::string_view) { seen.errors.push_back(error); });
  return seen;
}

std::vector<char> Message(uint16_t type, const void* payload, size_t size) {
  std::vector<char> bytes(NLMSG_SPACE(size));
  nlmsghdr header{};
  header.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(size));
  header.nlmsg_type = type;
  std::memcpy(bytes.data(), &header, sizeof(header));
  if (size > 0) std::memcpy(bytes.data() + NLMSG_HDRLEN, payload, size);
  return bytes;
}

TEST(ParseRepliesTest, TellsMessagesFromAnswers) {
  ifinfomsg link{};
  nlmsgerr failed{};
  failed.error = -EEXIST;
  std::vector<char> bytes = Message(RTM_NEWLINK, &link, sizeof(link));
  const std::vector<char> error = Message(NLMSG_ERROR, &failed, sizeof(failed));
  bytes.insert(bytes.end(), error.begin(), error.end());
  const Seen seen = Parse(bytes);
  EXPECT_OK(seen.status);
  EXPECT_EQ(seen.types, std::vector<uint16_t>{RTM_NEWLINK});
  EXPECT_EQ(seen.errors, std::vector<int>{EEXIST});
}

TEST(ParseRepliesTest, RefusesLengthsThatLie) {
  for (const uint32_t length : {0u, 15u, 17u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    std::vector<char> bytes = Message(RTM_NEWLINK, nullptr, 0);
    std::memcpy(bytes.data(), &length, sizeof(length));
    EXPECT_THAT(Parse(bytes).status, StatusIs(absl::StatusCode::kDataLoss)) << length;
  }
  const int short_error = 0;
  EXPECT_THAT(Parse(Message(NLMSG_ERROR, &short_error, sizeof(short_error))).status,
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(ParseLinkTest, NeedsAHeaderAndAName) {
  ifinfomsg header{};
  for (const size_t size : {sizeof(header), size_t{4}}) {
    const std::vector<char> bytes = Message(RTM_NEWLINK, &header, size);
    EXPECT_FALSE(ParseLink(reinterpret_cast<const nlmsghdr*>(bytes.data())).has_value());
  }
}

TEST(ExchangeTest, SaysWhatFailedAndWhy) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, OpenRtnl());
  EXPECT_THAT(GetLink(fd.get(), "no-such-link"), StatusIs(absl::StatusCode::kNotFound));
  NetlinkBatch batch;
  ifinfomsg header{};
  header.ifi_index = 1 << 30;
  batch.Begin("look for a unicorn", RTM_GETLINK, 0, header);
  const absl::Status status = Exchange(fd.get(), batch);
  EXPECT_EQ(ErrnoOf(status), ENODEV);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("look for a unicorn"));
  EXPECT_TRUE(GetLink(fd.get(), "lo").ok());  // the socket is usable after a failure
}

}  // namespace
}  // namespace crisp::network
