#ifndef CRISP_CLI_COMMANDS_STATES_H_
#define CRISP_CLI_COMMANDS_STATES_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/format/colours.h"
#include "cli/format/human.h"
#include "cri/api/api.pb.h"

namespace crisp::cli {

// "created", "running", "exited", "unknown".
inline std::string StateName(::runtime::v1::ContainerState state) {
  switch (state) {
    case ::runtime::v1::CONTAINER_CREATED:
      return "created";
    case ::runtime::v1::CONTAINER_RUNNING:
      return "running";
    case ::runtime::v1::CONTAINER_EXITED:
      return "exited";
    default:
      return "unknown";
  }
}

// "Up 3 minutes", "Exited (1) 2 hours ago", "Created".
inline std::string StatusText(const ::runtime::v1::ContainerStatus& status, absl::Time now) {
  switch (status.state()) {
    case ::runtime::v1::CONTAINER_CREATED:
      return "Created";
    case ::runtime::v1::CONTAINER_RUNNING:
      return "Up " + HumanDuration(now - absl::FromUnixNanos(status.started_at()));
    case ::runtime::v1::CONTAINER_EXITED:
      return absl::StrCat("Exited (", status.exit_code(), ") ",
                          HumanAge(absl::FromUnixNanos(status.finished_at()), now));
    default:
      return "Unknown";
  }
}

inline Tint TintOf(const ::runtime::v1::ContainerStatus& status) {
  if (status.state() == ::runtime::v1::CONTAINER_RUNNING) return Tint::kGood;
  if (status.state() == ::runtime::v1::CONTAINER_CREATED) return Tint::kNone;
  return status.exit_code() == 0 ? Tint::kFaint : Tint::kBad;
}

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_STATES_H_
