#ifndef CRISP_METRICS_METRICS_DOCS_H_
#define CRISP_METRICS_METRICS_DOCS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace crisp::metrics {

// The text of docs/metrics.md, from the tables of names.h. The daemon does not link this.
std::string MetricsMarkdown();

// The unit of a family, as its name says it: "seconds", "bytes", or empty for a count.
absl::string_view UnitOf(absl::string_view family);

}  // namespace crisp::metrics

#endif  // CRISP_METRICS_METRICS_DOCS_H_
