#ifndef CRISP_METRICS_PROCESS_H_
#define CRISP_METRICS_PROCESS_H_

#include <memory>
#include <string>
#include <vector>

#include "metrics/registry.h"

namespace crisp::metrics {

// Adds crisp_build_info and the process_* metrics, read from /proc/self at each scrape for as long
// as the returned handles live. A value that cannot be read is shown as 0.
[[nodiscard]] std::vector<std::shared_ptr<void>> AddProcessMetrics(Registry& registry,
                                                                   const std::string& version);

}  // namespace crisp::metrics

#endif  // CRISP_METRICS_PROCESS_H_
