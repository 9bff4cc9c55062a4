#include "bench/report/limits.h"

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
  const auto get = [&](const char* path, const char* which) {
    return results.Get("memory", contender, path, Where{which, pods});
  };
  const auto earlier = [&](const char* path) { return get(path, "/before"); };
  const auto at = [&](const char* path) { return get(path, "/pods"); };
  MemoryOfPods memory;
  const auto before = earlier("/daemon_pss"), before_private = earlier("/daemon_private");
  memory.daemon_pss = at("/daemon_pss");
  const auto daemon_private = at("/daemon_private");
  const auto pss = at("/others_pss"), private_memory = at("/others_private");
  const auto pss_before = earlier("/others_pss"), private_before = earlier("/others_private");
  if (!before || !memory.daemon_pss || !pss || !private_memory || !daemon_private) return memory;
  if (*memory.daemon_pss < *before) return memory;
  memory.daemon_growth_per_pod = (*memory.daemon_pss - *before) / pods;
  memory.pss_per_pod = (*pss - pss_before.value_or(0)) / pods + *memory.daemon_growth_per_pod;
  memory.private_per_pod =
      (*private_memory - private_before.value_or(0) + *daemon_private - *before_private) / pods;
  return memory;
}

}  // namespace crisp::bench
