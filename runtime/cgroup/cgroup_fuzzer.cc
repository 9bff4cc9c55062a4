#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_stats_parse.h"

// Texts that come from the kernel, and paths that come from the CRI.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseFlatKeyed(text);
  (void)ParsePressure(text);
  (void)ParseIoStat(text);
  (void)ParseBlkio(text, text);
  (void)ParseCgroupNumber(text);
  (void)ParseCgroupLayout(text);
  for (CgroupDriver driver : {CgroupDriver::kCgroupfs, CgroupDriver::kSystemd}) {
    auto path = ContainerCgroupPath(driver, text, "p", "c");
    if (path.ok() && (path->front() != '/' || path->find("/../") != std::string::npos)) abort();
  }
  return 0;
}
