#ifndef CRISP_BASE_TESTING_STATUS_MATCHERS_H_
#define CRISP_BASE_TESTING_STATUS_MATCHERS_H_

// For tests: matchers for absl::Status and absl::StatusOr (Debian's Abseil has none).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"

namespace crisp {

inline const absl::Status& AsStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& AsStatus(const absl::StatusOr<T>& status) {
  return status.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << AsStatus(arg).ToString();
  return AsStatus(arg).ok();
}
MATCHER_P(StatusIs, code, "has the code") {
  *result_listener << AsStatus(arg).ToString();
  return AsStatus(arg).code() == code;
}
MATCHER_P2(StatusIs, code, message, "has the code and message") {
  *result_listener << AsStatus(arg).ToString();
  return AsStatus(arg).code() == code &&
         ::testing::ExplainMatchResult(message, std::string(AsStatus(arg).message()),
                                       result_listener);
}

}  // namespace crisp

#define ASSERT_OK(expr) ASSERT_THAT(expr, ::crisp::IsOk())
#define EXPECT_OK(expr) EXPECT_THAT(expr, ::crisp::IsOk())
// Asserts that a StatusOr holds a value and assigns it.
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_IMPL_(CRISP_STATUS_CONCAT_(crisp_test_statusor_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_IMPL_(statusor, lhs, expr) \
  auto statusor = (expr);                               \
  ASSERT_TRUE(statusor.ok()) << statusor.status();      \
  lhs = std::move(statusor).value()

#endif  // CRISP_BASE_TESTING_STATUS_MATCHERS_H_
