#include "cri/node/thread_states.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace crisp::cri {
namespace {

// "TID (COMM) STATE …": a comm may hold spaces and parentheses, so it ends at the last one.
bool ParseStat(const std::string& stat, ThreadState& thread) {
  const size_t open = stat.find('('), close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open ||
      stat.size() < close + 3)
    return false;
  thread.name = stat.substr(open + 1, close - open - 1);
  thread.state = stat.substr(close + 2, 1);
  return true;
}

}  // namespace

std::vector<ThreadState> ThreadsOfThisProcess() {
  constexpr char kTasks[] = "/proc/self/task";
  std::vector<ThreadState> threads;
  for (const std::string& entry : ListDir(kTasks).value_or(std::vector<std::string>{})) {
    ThreadState thread;
    const std::string folder = absl::StrCat(kTasks, "/", entry);
    const auto stat = ReadFile(folder + "/stat");
    if (!absl::SimpleAtoi(entry, &thread.id) || !stat.ok() || !ParseStat(*stat, thread)) continue;
    thread.waits_in = ReadFile(folder + "/wchan").value_or("");
    if (thread.waits_in == "0") thread.waits_in.clear();
    threads.push_back(std::move(thread));
  }
  std::sort(threads.begin(), threads.end(),
            [](const ThreadState& a, const ThreadState& b) { return a.id < b.id; });
  return threads;
}

}  // namespace crisp::cri
