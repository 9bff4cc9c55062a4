#include "base/trace_context.h"

#include <gtest/gtest.h>

namespace crisp {
namespace {

constexpr char kHeader[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContext, ReadsWhatItWrites) {
  const auto trace = TraceContext::Parse(kHeader);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->TraceId(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(trace->span_id[0], 0xb7);
  EXPECT_EQ(trace->flags, 1);
  EXPECT_EQ(trace->ToString(), kHeader);
}

TEST(TraceContext, TakesWhatALaterVersionAdds) {
  const auto trace =
      TraceContext::Parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-what-else");
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->ToString(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
}

TEST(TraceContext, AMalformedHeaderIsNone) {
  for (const char* header : {
           "",
           "00",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
           "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
           "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
           "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
           "00-00000000000000000000000000000000-b7ad6b7169203331-01",
           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
       }) {
    EXPECT_FALSE(TraceContext::Parse(header).has_value()) << header;
  }
}

}  // namespace
}  // namespace crisp
