#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/thread.h"

namespace crisp {

void ParallelFor(absl::string_view name,
                 size_t count,
                 size_t threads,
                 absl::FunctionRef<void(size_t)> body) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) body(i);
  };
  std::vector<Thread> others;
  for (size_t i = 1; i < std::min(threads, count); ++i) {
    absl::StatusOr<Thread> thread = Thread::Start(name, work);
    if (!thread.ok()) break;  // those that are there do it all
    others.push_back(*std::move(thread));
  }
  work();
  others.clear();  // joined before `next` goes
}

}  // namespace crisp
