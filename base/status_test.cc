#include "base/status.h"

#include <cerrno>

#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

TEST(ErrnoErrorTest, CarriesCodeTextAndErrno) {
  const absl::Status status = ErrnoError(ENOENT, "open /nowhere");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, HasSubstr("open /nowhere: No such")));
  EXPECT_EQ(ErrnoOf(status), ENOENT);
}

TEST(ErrnoErrorTest, FullDiskIsResourceExhausted) {
  EXPECT_THAT(ErrnoError(ENOSPC, "write"), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(AnnotateTest, KeepsCodeAndErrno) {
  const absl::Status status = Annotate(ErrnoError(EBUSY, "umount /x"), "remove pod p");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("remove pod p: umount /x: ")));
  EXPECT_EQ(ErrnoOf(status), EBUSY);
  EXPECT_OK(Annotate(absl::OkStatus(), "ignored"));
}

}  // namespace
}  // namespace crisp
