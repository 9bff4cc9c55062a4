#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/spec/spec_builder.h"
#include "runtime/cgroup/cgroup_resources.h"

namespace crisp::cri {

absl::StatusOr<runtime::OciResources> BuildResources(const v1::LinuxContainerResources& resources,
                                                     const HostFacts& host) {
  runtime::OciResources oci;
  if (resources.cpu_period() < 0 || resources.cpu_shares() < 0) {
    return absl::InvalidArgumentError(
        "linux.resources: cpu_period and cpu_shares cannot be negative");
  }
  if (resources.oom_score_adj() < -1000 || resources.oom_score_adj() > 1000) {
    return absl::InvalidArgumentError(
        absl::StrCat("linux.resources.oom_score_adj: ", resources.oom_score_adj(),
                     " is not from -1000 to 1000"));
  }
  if (resources.cpu_period() != 0) oci.cpu.period = static_cast<uint64_t>(resources.cpu_period());
  if (resources.cpu_quota() != 0) oci.cpu.quota = resources.cpu_quota();
  if (resources.cpu_shares() != 0) oci.cpu.shares = static_cast<uint64_t>(resources.cpu_shares());
  oci.cpu.cpus = resources.cpuset_cpus();
  oci.cpu.mems = resources.cpuset_mems();
  const int64_t limit = resources.memory_limit_in_bytes();
  const int64_t swap = resources.memory_swap_limit_in_bytes();
  if (limit != 0) oci.memory.limit = limit;
  // Memory and swap together: without a word about it a limited container gets no swap.
  if (swap != 0)
    oci.memory.swap = swap;
  else if (limit != 0)
    oci.memory.swap = limit;
  if (limit > 0 && swap > 0 && swap < limit) {
    return absl::InvalidArgumentError(absl::StrCat("linux.resources: memory_swap_limit_in_bytes ",
                                                   swap, " is below memory_limit_in_bytes ", limit,
                                                   ", which it includes"));
  }
  for (const v1::HugepageLimit& page : resources.hugepage_limits()) {
    const bool known = std::find(host.hugepage_sizes.begin(), host.hugepage_sizes.end(),
                                 page.page_size()) != host.hugepage_sizes.end();
    if (!runtime::IsHugePageSize(page.page_size())) {
      return absl::InvalidArgumentError(absl::StrCat("linux.resources.hugepage_limits: \"",
                                                     absl::CHexEscape(page.page_size()),
                                                     "\" is not a page size"));
    }
    // Kubelets send a zero limit for every size that they know of.
    if (!known && page.limit() == 0) continue;
    // Without the controller nobody's huge pages are limited on this machine.
    if (host.hugepage_sizes.empty()) {
      LogWarning("a limit of huge pages is overlooked",
                 {{"page_size", page.page_size()},
                  {"reason", "this machine has no cgroup controller hugetlb"}});
      continue;
    }
    if (!known) {
      return absl::InvalidArgumentError(
          absl::StrCat("linux.resources.hugepage_limits: the kernel has no ", page.page_size(),
                       " pages under cgroup control"));
    }
    oci.hugepage_limits.push_back({.page_size = page.page_size(), .limit = page.limit()});
  }
  for (const auto& [key, value] : resources.unified()) oci.unified[key] = value;
  if (!oci.unified.empty() && !host.cgroup_v2) {
    return absl::InvalidArgumentError(
        "linux.resources.unified: needs cgroup v2, this machine has v1");
  }
  return oci;
}

runtime::OciResources CompleteChange(const runtime::OciResources& base,
                                     runtime::OciResources change) {
  const bool quota = change.cpu.quota.value_or(0) != 0, period = change.cpu.period.value_or(0) != 0;
  if (quota && !period) change.cpu.period = base.cpu.period;
  if (period && !quota) change.cpu.quota = base.cpu.quota;
  const bool swap = change.memory.swap.value_or(0) != 0,
             limit = change.memory.limit.value_or(0) != 0;
  if (swap && !limit) change.memory.limit = base.memory.limit;
  return change;
}

v1::LinuxContainerResources MergeCriResources(const v1::LinuxContainerResources& base,
                                              const v1::LinuxContainerResources& change) {
  // Proto3's merge keeps what the other message leaves at zero, which is the rule of this call.
  v1::LinuxContainerResources merged = base;
  v1::LinuxContainerResources scalars = change;
  scalars.clear_hugepage_limits();
  merged.MergeFrom(scalars);
  for (const v1::HugepageLimit& page : change.hugepage_limits()) {
    auto same = std::find_if(
        merged.mutable_hugepage_limits()->begin(), merged.mutable_hugepage_limits()->end(),
        [&page](const v1::HugepageLimit& other) { return other.page_size() == page.page_size(); });
    if (same != merged.mutable_hugepage_limits()->end())
      *same = page;
    else
      *merged.add_hugepage_limits() = page;
  }
  return merged;
}

}  // namespace crisp::cri
