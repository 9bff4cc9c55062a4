#include "base/status.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"

namespace crisp {
namespace {

constexpr char kErrnoUrl[] = "crisp/errno";

absl::StatusCode CodeOf(int error_number) {
  switch (error_number) {
    case EBUSY:
    case ENOTEMPTY:
    case ESRCH:
    case ENOTDIR:
    case EISDIR:
      return absl::StatusCode::kFailedPrecondition;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EPERM:
    case EACCES:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EIO:
      return absl::StatusCode::kDataLoss;
    default:
      return absl::ErrnoToStatusCode(error_number);
  }
}

}  // namespace

absl::Status ErrnoError(int error_number, absl::string_view what) {
  char buffer[128];
  const char* reason = strerror_r(error_number, buffer, sizeof(buffer));
  absl::Status status(CodeOf(error_number), absl::StrCat(what, ": ", reason));
  status.SetPayload(kErrnoUrl, absl::Cord(absl::StrCat(error_number)));
  return status;
}

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&annotated](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

int ErrnoOf(const absl::Status& status) {
  int value = 0;
  if (auto payload = status.GetPayload(kErrnoUrl); payload.has_value()) {
    if (!absl::SimpleAtoi(std::string(*payload), &value)) return 0;
  }
  return value;
}

}  // namespace crisp
