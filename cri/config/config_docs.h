#ifndef CRISP_CRI_CONFIG_CONFIG_DOCS_H_
#define CRISP_CRI_CONFIG_CONFIG_DOCS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::cri {

// The documents about the configuration, written from the table of its keys (config_schema.h). Only
// the programs that write and check them link this, so the daemon does not carry the texts.

// packaging/config.yaml: every key at its default behind a "#", prose behind "# ".
std::string ConfigYaml();

// docs/configuration.md.
std::string ConfigMarkdown();

// The list of keys in packaging/crispd.8, mdoc(7).
std::string ConfigManual();

// `page` with ConfigManual() between the two comments that say where it stands. InvalidArgument
// when the page lacks them.
absl::StatusOr<std::string> WithConfigManual(absl::string_view page);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONFIG_CONFIG_DOCS_H_
