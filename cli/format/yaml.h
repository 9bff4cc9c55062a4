#ifndef CRISP_CLI_FORMAT_YAML_H_
#define CRISP_CLI_FORMAT_YAML_H_

#include <string>

#include "base/json.h"

namespace crisp::cli {

// The same document as YAML, with a new line at its end. A string that a reader could take for a
// number, a boolean or null is quoted.
std::string DumpYaml(const Json& json);

}  // namespace crisp::cli

#endif  // CRISP_CLI_FORMAT_YAML_H_
