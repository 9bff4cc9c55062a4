#include "cri/node/thread_states.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/testing/status_matchers.h"
#include "base/thread.h"

namespace crisp::cri {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;

TEST(ThreadStatesTest, ShowsEveryThreadByNameAndState) {
  absl::Notification end, begun;
  int id = 0;
  ASSERT_OK_AND_ASSIGN(Thread thread, Thread::Start("a) name (", [&] {
                         id = static_cast<int>(syscall(SYS_gettid));
                         begun.Notify();
                         end.WaitForNotification();
                       }));
  begun.WaitForNotification();
  const auto asleep = AllOf(Field(&ThreadState::id, id), Field(&ThreadState::name, "a) name ("),
                            Field(&ThreadState::state, "S"));
  const auto self = AllOf(Field(&ThreadState::id, getpid()), Field(&ThreadState::state, "R"));
  std::vector<ThreadState> threads;
  const absl::Time limit = absl::Now() + absl::Seconds(20);
  do {
    threads = ThreadsOfThisProcess();
  } while (!testing::Matches(Contains(asleep))(threads) && absl::Now() < limit);
  EXPECT_THAT(threads, Contains(asleep));
  EXPECT_THAT(threads, Contains(self));
  end.Notify();
}

}  // namespace
}  // namespace crisp::cri
