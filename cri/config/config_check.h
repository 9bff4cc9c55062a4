#ifndef CRISP_CRI_CONFIG_CONFIG_CHECK_H_
#define CRISP_CRI_CONFIG_CONFIG_CHECK_H_

#include "absl/status/status.h"
#include "cri/config/config.h"

namespace crisp::cri {

// All that keeps crispd from starting with `config` and can be said without starting it: its values
// (Config::Validate), and the programs and files that it names. What `crispd config dump`, `crisp
// doctor` and a start say is this. Reads files, changes nothing. The error names the key and where
// it was read; its code is InvalidArgument.
absl::Status CheckConfig(const Config& config);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONFIG_CONFIG_CHECK_H_
