#include "base/log_queue.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "base/thread.h"

namespace crisp {
namespace {

constexpr int kFatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
constexpr int kCrashWaits = 200;  // of 5 ms

// The one whose lines are written before a crash.
std::atomic<LogQueue*> g_queue{nullptr};

}  // namespace

absl::Status LogQueue::Start() {
  absl::MutexLock lock(&mutex_);
  if (started_) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(Thread::StartDetached("log", [this] { Run(); }));
  started_ = true;
  g_queue = this;
  struct sigaction crash = {};
  crash.sa_handler = OnCrash;
  crash.sa_flags = SA_RESETHAND | SA_NODEFER;
  for (const int signal : kFatal) (void)sigaction(signal, &crash, nullptr);
  return absl::OkStatus();
}

void LogQueue::Add(absl::string_view line) {
  absl::MutexLock lock(&mutex_);
  if (!started_) {
    Write(line);
    return;
  }
  if (waiting_.size() + line.size() > kMaxBytes) {
    ++dropped_;
    return;
  }
  unwritten_ += line.size();
  absl::StrAppend(&waiting_, line);
}

void LogQueue::Run() {
  const auto something = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !waiting_.empty(); };
  for (;;) {
    std::string bytes, lost;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&something));
      bytes.swap(waiting_);
      if (const uint64_t now = dropped_; now != told_) {
        lost = dropped_line_(now - told_);
        told_ = now;
      }
    }
    Write(bytes);
    Write(lost);
    unwritten_ -= bytes.size();
  }
}

// A stderr that takes no more is none of anybody's business.
void LogQueue::Write(absl::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

bool LogQueue::Flush(absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  while (unwritten_ != 0) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

void LogQueue::OnCrash(int signal) {
  const LogQueue* const queue = g_queue;
  for (int i = 0; i < kCrashWaits && queue->unwritten_ != 0; ++i) {
    const timespec pause = {.tv_sec = 0, .tv_nsec = 5'000'000};
    (void)nanosleep(&pause, nullptr);
  }
  (void)raise(signal);  // the handler is gone: the default ends us
}

}  // namespace crisp
