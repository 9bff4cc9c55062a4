#include "base/thread.h"

#include <cstring>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp {
namespace {

struct Beginning {
  char name[16] = {};  // TASK_COMM_LEN
  absl::AnyInvocable<void() &&> body;
};

void* Run(void* argument) {
  std::unique_ptr<Beginning> beginning(static_cast<Beginning*>(argument));
  (void)::pthread_setname_np(::pthread_self(), beginning->name);
  std::move(beginning->body)();
  return nullptr;
}

absl::StatusOr<pthread_t> Begin(absl::string_view name, absl::AnyInvocable<void() &&> body) {
  auto beginning = std::make_unique<Beginning>();
  const absl::string_view kept = name.substr(0, sizeof(beginning->name) - 1);
  std::memcpy(beginning->name, kept.data(), kept.size());
  beginning->body = std::move(body);
  pthread_t handle;
  const int error = ::pthread_create(&handle, nullptr, Run, beginning.get());
  if (error != 0) {
    const std::string reason = absl::StrCat("start thread ", name);
    if (error != EAGAIN && error != ENOMEM) return ErrnoError(error, reason);
    return absl::ResourceExhaustedError(
        absl::StrCat(reason, ": ", std::strerror(error),
                     " (pids.max of crispd's cgroup, TasksMax of its unit, kernel.threads-max, "
                     "kernel.pid_max, memory)"));
  }
  (void)beginning.release();  // the thread's now
  return handle;
}

}  // namespace

absl::StatusOr<Thread> Thread::Start(absl::string_view name, absl::AnyInvocable<void() &&> body) {
  CRISP_ASSIGN_OR_RETURN(const pthread_t handle, Begin(name, std::move(body)));
  return Thread(handle);
}

absl::Status Thread::StartDetached(absl::string_view name, absl::AnyInvocable<void() &&> body) {
  CRISP_ASSIGN_OR_RETURN(const pthread_t handle, Begin(name, std::move(body)));
  (void)::pthread_detach(handle);  // fails for a handle that is none only
  return absl::OkStatus();
}

Thread& Thread::operator=(Thread&& other) noexcept {
  if (this == &other) return *this;
  Join();
  handle_ = other.handle_;
  running_ = std::exchange(other.running_, false);
  return *this;
}

void Thread::Join() {
  if (!std::exchange(running_, false)) return;
  (void)::pthread_join(handle_, nullptr);  // fails for a handle that is none, and for ourselves
}

}  // namespace crisp
