#include "metrics/metrics_docs.h"

#include <cstdlib>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "metrics/names.h"

namespace crisp::metrics {
namespace {

using ::testing::HasSubstr;

// With CRISP_WRITE_DOCUMENTS=1, as hack/docs.sh has it, the document is written.
TEST(MetricsDocsTest, TheDocumentIsGenerated) {
  const std::string path = CRISP_SOURCE_DIR "/docs/metrics.md";
  if (getenv("CRISP_WRITE_DOCUMENTS") != nullptr) {
    ASSERT_OK(AtomicWriteFile(path, MetricsMarkdown(), 0644, Durability::kNone));
  }
  ASSERT_OK_AND_ASSIGN(const std::string found, ReadFile(path));
  EXPECT_EQ(found, MetricsMarkdown())
      << path << " is not what metrics/names.h says: run hack/docs.sh";
}

TEST(MetricsDocsTest, HasTypeLabelsUnitAndMeaning) {
  EXPECT_THAT(MetricsMarkdown(), HasSubstr("| `crisp_rpcs_total` | counter | `method`, `code` |  | "
                                           "RPCs answered, by gRPC code. |\n"));
  EXPECT_THAT(MetricsMarkdown(),
              HasSubstr("| `crisp_rpc_duration_seconds` | histogram | `method` | seconds | "));
}

TEST(MetricsDocsTest, UnitsAreInTheNames) {
  EXPECT_EQ(UnitOf("process_cpu_seconds_total"), "seconds");
  EXPECT_EQ(UnitOf("crisp_image_store_bytes"), "bytes");
  EXPECT_EQ(UnitOf("crisp_rpcs_total"), "");
}

TEST(MetricsDocsTest, EveryLabelIsExplainedAndNoOther) {
  std::set<std::string> used, explained;
#define CRISP_USE_(id, kind, name, help, labels)                                   \
  for (absl::string_view label : absl::StrSplit(labels, ',', absl::SkipEmpty())) { \
    used.emplace(label);                                                           \
  }
  CRISP_METRICS_TABLE(CRISP_USE_)
#undef CRISP_USE_
#define CRISP_EXPLAIN_(name, values) EXPECT_TRUE(explained.insert(name).second) << name;
  CRISP_LABELS_TABLE(CRISP_EXPLAIN_)
#undef CRISP_EXPLAIN_
  EXPECT_EQ(used, explained);
}

}  // namespace
}  // namespace crisp::metrics
