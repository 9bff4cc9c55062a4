#ifndef CRISP_BASE_STATUS_H_
#define CRISP_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace crisp {

// "<what>: <strerror>" with the canonical code of `error_number`. It differs from Abseil's table
// where that would mislead a CRI client: EBUSY, ENOTEMPTY and ESRCH are FailedPrecondition,
// NotFound stays for ENOENT, ENOSPC/EDQUOT/EMFILE/ENFILE/ENOMEM are ResourceExhausted, EPERM/EACCES
// PermissionDenied. Call it on the line after the failed system call, before errno can change.
absl::Status ErrnoError(int error_number, absl::string_view what);

// The same status with "<context>: " in front of its message; OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// The errno that a status made by ErrnoError() carries, or 0.
int ErrnoOf(const absl::Status& status);

}  // namespace crisp

#define CRISP_STATUS_CONCAT_INNER_(a, b) a##b
#define CRISP_STATUS_CONCAT_(a, b) CRISP_STATUS_CONCAT_INNER_(a, b)

// Returns from the enclosing function when `expr` is not OK.
#define CRISP_RETURN_IF_ERROR(expr)                                                     \
  do {                                                                                  \
    if (absl::Status crisp_status_ = (expr); !crisp_status_.ok()) return crisp_status_; \
  } while (false)

// The same in a coroutine. `expr` must not co_await: await into a variable first.
#define CRISP_CO_RETURN_IF_ERROR(expr)                                                     \
  do {                                                                                     \
    if (absl::Status crisp_status_ = (expr); !crisp_status_.ok()) co_return crisp_status_; \
  } while (false)

// Assigns the value of a StatusOr expression to `lhs` or returns its error.
#define CRISP_ASSIGN_OR_RETURN(lhs, expr) \
  CRISP_ASSIGN_OR_RETURN_IMPL_(CRISP_STATUS_CONCAT_(crisp_statusor_, __LINE__), lhs, expr)
#define CRISP_ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr) \
  auto statusor = (expr);                                 \
  if (!statusor.ok()) return statusor.status();           \
  lhs = std::move(statusor).value()

#endif  // CRISP_BASE_STATUS_H_
