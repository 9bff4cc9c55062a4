#ifndef CRISP_CLI_COMMANDS_IMAGE_NAMES_H_
#define CRISP_CLI_COMMANDS_IMAGE_NAMES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json.h"
#include "cli/client/client.h"

namespace crisp::cli {

// What people leave out of a name is gone: docker.io/, library/ and :latest.
std::string FamiliarName(absl::string_view tag);

// The image of this name, id or prefix of an id; the daemon looks. NotFound, with the nearest name.
// `info` gets the daemon's verbose document, if it is not null.
absl::StatusOr<::runtime::v1::Image> FindImage(Client& client,
                                               const std::string& name,
                                               Json* info = nullptr);

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_IMAGE_NAMES_H_
