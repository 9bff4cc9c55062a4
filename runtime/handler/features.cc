#include "runtime/handler/features.h"

#include "absl/strings/str_cat.h"

namespace crisp::runtime {

absl::string_view Words(Verb verb) {
  switch (verb) {
    case Verb::kExec:
      return "run commands in a container";
    case Verb::kAttach:
      return "attach to a container";
    case Verb::kReopenLog:
      return "reopen a container's log";
    case Verb::kPause:
      return "pause a container";
    case Verb::kUpdate:
      return "change a container's resources";
    case Verb::kStats:
      return "tell a container's usage";
  }
  return "do that";
}

absl::Status Lacks(absl::string_view type, Verb verb) {
  return absl::UnimplementedError(
      absl::StrCat("the runtime of type \"", type, "\" cannot ", Words(verb)));
}

}  // namespace crisp::runtime
