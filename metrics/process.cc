#include "metrics/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/file.h"

namespace crisp::metrics {
namespace {

// Fields of /proc/self/stat after "(comm)", by their number in proc(5).
constexpr int kThreadsField = 20;
constexpr int kStartField = 22;
constexpr int kFirstField = 3;

double StatField(int field) {
  const auto text = ReadFile("/proc/self/stat");
  if (!text.ok()) return 0;
  const size_t end = text->rfind(") ");
  if (end == std::string::npos) return 0;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(*text).substr(end + 2), ' ');
  double value = 0;
  const size_t index = static_cast<size_t>(field - kFirstField);
  if (index >= fields.size() || !absl::SimpleAtod(fields[index], &value)) return 0;
  return value;
}

double BootTime() {
  const auto text = ReadFile("/proc/stat");
  if (!text.ok()) return 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    double value = 0;
    if (absl::ConsumePrefix(&line, "btime ") && absl::SimpleAtod(line, &value)) return value;
  }
  return 0;
}

double StartTime() {
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const double start = StatField(kStartField);
  return start == 0 ? 0 : BootTime() + start / ticks;
}

double CpuSeconds() {
  struct rusage usage {};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double ResidentBytes() {
  const auto text = ReadFile("/proc/self/statm");
  if (!text.ok()) return 0;
  const std::vector<absl::string_view> fields = absl::StrSplit(*text, ' ');
  int64_t pages = 0;
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &pages)) return 0;
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double OpenFds() {
  const auto names = ListDir("/proc/self/fd");
  // One of them was the directory itself.
  return names.ok() && !names->empty() ? static_cast<double>(names->size() - 1) : 0;
}

double MaxFds() {
  struct rlimit limit {};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

}  // namespace

std::vector<std::shared_ptr<void>> AddProcessMetrics(Registry& registry,
                                                     const std::string& version) {
  registry.Set(kBuildInfo, 1, {version});
  registry.Set(kProcessStart, StartTime());
  registry.Set(kProcessMaxFds, MaxFds());
  return {registry.OnScrape(kProcessCpu, CpuSeconds),
          registry.OnScrape(kProcessResident, ResidentBytes),
          registry.OnScrape(kProcessOpenFds, OpenFds),
          registry.OnScrape(kProcessThreads, [] { return StatField(kThreadsField); })};
}

}  // namespace crisp::metrics
