#include "metrics/metrics_docs.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "metrics/names.h"

namespace crisp::metrics {
namespace {

constexpr absl::string_view kHead = R"(# Metrics

<!-- Generated from the tables of metrics/names.h. Change those, then run hack/docs.sh. -->

`crispd` serves Prometheus' metrics at `http://HOST:PORT/metrics`; the configuration's key `metrics.address`
([configuration](configuration.md)) says where. A family shows up with its first value. A counter begins at 0
when the daemon starts.

A unit stands for what one value counts in; without a unit a value is a number of things. A histogram `NAME`
has the samples `NAME_bucket`, `NAME_sum` and `NAME_count`.

The statistics of pods and containers are not here: the kubelet asks for them over the CRI.

| Metric | Type | Labels | Unit | Meaning |
|---|---|---|---|---|
)";

constexpr absl::string_view kLabelsHead = R"(
## Labels

No label has a value that a client chooses freely, so the number of series has a bound.

| Label | Values |
|---|---|
)";

const char* TypeOf(const Family& family) {
  switch (family.type) {
    case Family::Type::kCounter:
      return "counter";
    case Family::Type::kGauge:
      return "gauge";
    case Family::Type::kHistogram:
      return "histogram";
  }
  return "";
}

std::string LabelsOf(const Family& family) {
  if (*family.labels == '\0') return "";
  return absl::StrCat("`", absl::StrReplaceAll(family.labels, {{",", "`, `"}}), "`");
}

void Append(std::string& out, const Family& family) {
  absl::StrAppend(&out, "| `", family.name, "` | ", TypeOf(family), " | ", LabelsOf(family), " | ",
                  UnitOf(family.name), " | ", family.help, " |\n");
}

}  // namespace

absl::string_view UnitOf(absl::string_view family) {
  const absl::string_view name = absl::StripSuffix(family, "_total");
  for (const absl::string_view unit : {"seconds", "bytes"}) {
    if (absl::EndsWith(name, unit)) return unit;
  }
  return "";
}

std::string MetricsMarkdown() {
  std::string out(kHead);
#define CRISP_APPEND_FAMILY_(id, kind, name, help, labels) Append(out, id);
  CRISP_METRICS_TABLE(CRISP_APPEND_FAMILY_)
#undef CRISP_APPEND_FAMILY_
  absl::StrAppend(&out, kLabelsHead);
#define CRISP_APPEND_LABEL_(name, values) \
  absl::StrAppend(&out, "| `", name, "` | ", values, " |\n");
  CRISP_LABELS_TABLE(CRISP_APPEND_LABEL_)
#undef CRISP_APPEND_LABEL_
  return out;
}

}  // namespace crisp::metrics
