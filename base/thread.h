#ifndef CRISP_BASE_THREAD_H_
#define CRISP_BASE_THREAD_H_

#include <pthread.h>

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp {

// A thread that may not exist: the machine, the pids cgroup or the address space can be used up,
// and then one operation fails, not the program. It is the only way to start a thread in crisp;
// nothing else does (std::thread and std::async throw). Move-only. Its owner makes the thread end
// before it destroys or replaces the object, which waits for it as Join() does.
class Thread {
 public:
  // Runs `body` in a thread that ps and debuggers show as `name`, of which the kernel keeps 15
  // bytes. ResourceExhausted if no thread can be made: `body` is then destroyed, with everything
  // that it holds, without having run. `body` throws nothing.
  static absl::StatusOr<Thread> Start(absl::string_view name, absl::AnyInvocable<void() &&> body);
  // The same for a thread that nobody waits for.
  static absl::Status StartDetached(absl::string_view name, absl::AnyInvocable<void() &&> body);

  // No thread.
  Thread() = default;
  Thread(Thread&& other) noexcept
      : handle_(other.handle_), running_(std::exchange(other.running_, false)) {}
  Thread& operator=(Thread&& other) noexcept;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() { Join(); }

  // True if there is a thread that was not joined yet.
  bool joinable() const { return running_; }
  // Waits for the thread's end. Returns at once if there is none.
  void Join();

 private:
  explicit Thread(pthread_t handle) : handle_(handle), running_(true) {}

  pthread_t handle_{};
  bool running_ = false;
};

}  // namespace crisp

#endif  // CRISP_BASE_THREAD_H_
