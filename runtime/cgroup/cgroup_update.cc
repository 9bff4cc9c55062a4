#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/cgroup_stats.h"

namespace crisp::runtime {

absl::Status Cgroup::CheckMemoryFits(const OciResources& change) const {
  const int64_t limit = change.memory.limit.value_or(0);
  if (limit <= 0 || !v2()) return absl::OkStatus();  // v1 reclaims, and refuses what does not fit
  CgroupStatsReader reader(*this);
  CRISP_ASSIGN_OR_RETURN(CgroupStats stats, reader.Read());
  if (stats.memory.working_set <= static_cast<uint64_t>(limit)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("memory limit ", limit, " of cgroup ", path_,
                                                    " is below the ", stats.memory.working_set,
                                                    " bytes in use"));
}

absl::Status Cgroup::Update(const OciResources& change) const {
  OciResources wanted = change;
  wanted.devices.clear();
  CRISP_RETURN_IF_ERROR(CheckMemoryFits(wanted));
  const bool quota = wanted.cpu.quota.value_or(0) != 0, period = wanted.cpu.period.value_or(0) != 0;
  if (v2() && quota != period) {
    // One file holds both; the one that is not to change is kept.
    CRISP_ASSIGN_OR_RETURN(std::string text, ReadFile(PrimaryDir() + "/cpu.max"));
    std::vector<absl::string_view> words =
        absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    int64_t former_quota = -1;
    uint64_t former_period = 0;
    if (words.size() == 2) {
      if (!absl::SimpleAtoi(words[0], &former_quota)) former_quota = -1;
      if (!absl::SimpleAtoi(words[1], &former_period)) former_period = 0;
    }
    if (!quota) wanted.cpu.quota = former_quota;
    if (!period && former_period != 0) wanted.cpu.period = former_period;
  }
  return Annotate(Apply(wanted, Group::kInUse), absl::StrCat("update cgroup ", path_));
}

}  // namespace crisp::runtime
