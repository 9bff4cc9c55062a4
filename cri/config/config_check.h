#ifndef CRISP_CRI_CONFIG_CONFIG_CHECK_H_
#define CRISP_CRI_CONFIG_CONFIG_CHECK_H_

#include "absl/status/status.h"
#include "cri/config/config.h"

namespace crisp::cri {

// Finds everything that keeps crispd from starting with `config` and shows without a start: its
// values (Config::Validate), and the programs and files that it names. `crispd config dump`, `crisp
// doctor` and the start itself ask this function. Reads files, changes nothing. The error is
// InvalidArgument; it names the key and the place where it was read.
absl::Status CheckConfig(const Config& config);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONFIG_CONFIG_CHECK_H_
