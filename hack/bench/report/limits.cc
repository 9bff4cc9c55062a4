#include "report/limits.h"

#include <algorithm>

namespace crisp::bench {

std::optional<double> PullLimit(const Results& results, const std::string& shape) {
  const Where where = {"/shape", shape};
  const auto get = [&](const char* path) {
    return results.Get("pull-limit", kKernel, path, where).value_or(0);
  };
  if (!results.Get("pull-limit", kKernel, "/inflate", where)) return std::nullopt;
  const double cores = results.Versions().value("cores", 1.0);
  const double inflate = get("/inflate"), hash = get("/hash");
  const double compute = get("/layers") > 1 ? (inflate + hash) / cores : std::max(inflate, hash);
  return std::max({get("/fetch"), compute, get("/write") + get("/sync")}) * 1e6;
}

MemoryOfPods MemoryAt(const Results& results, const std::string& contender, int pods) {
  const auto at = [&](const char* path, int count) {
    return results.Get("memory", contender, path, Where{"/pods", count});
  };
  MemoryOfPods memory;
  const auto before = at("/daemon_pss", 0), before_private = at("/daemon_private", 0);
  memory.daemon_pss = at("/daemon_pss", pods);
  const auto daemon_private = at("/daemon_private", pods);
  const auto pss = at("/others_pss", pods), private_memory = at("/others_private", pods);
  const auto pss_before = at("/others_pss", 0), private_before = at("/others_private", 0);
  if (!before || !memory.daemon_pss || !pss || !private_memory || !daemon_private) return memory;
  if (*memory.daemon_pss < *before) return memory;
  memory.daemon_growth_per_pod = (*memory.daemon_pss - *before) / pods;
  memory.pss_per_pod = (*pss - pss_before.value_or(0)) / pods + *memory.daemon_growth_per_pod;
  memory.private_per_pod =
      (*private_memory - private_before.value_or(0) + *daemon_private - *before_private) / pods;
  return memory;
}

}  // namespace crisp::bench
