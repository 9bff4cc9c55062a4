#include "base/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp {
namespace {

constexpr int kPollMs = 100;

// What posix_spawn takes, and what lives as long as that.
class Plan {
 public:
  Plan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~Plan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  absl::Status Pass(const SpawnOptions& options) {
    for (const auto& [ours, theirs] : options.fds) away_ = std::max(away_, theirs + 1);
    if (options.program >= 0) {
      CRISP_ASSIGN_OR_RETURN(const int parked, Park(options, options.program));
      path_ = absl::StrCat("/proc/self/fd/", parked);
    }
    bool given[3] = {};
    for (const auto& [ours, theirs] : options.fds) {
      CRISP_ASSIGN_OR_RETURN(const int parked, Park(options, ours));
      posix_spawn_file_actions_adddup2(&actions_, parked, theirs);
      if (theirs < 3) given[theirs] = true;
    }
    for (int number = 0; options.null_stdio && number < 3; ++number) {
      if (!given[number])
        posix_spawn_file_actions_addopen(&actions_, number, "/dev/null", O_RDWR, 0);
    }
    return absl::OkStatus();
  }

  void ResetSignals(bool own_group) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    const int group = own_group ? POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF : 0;
    posix_spawnattr_setflags(&attributes_, static_cast<short>(group | POSIX_SPAWN_SETSIGMASK));
  }

  int Run(const SpawnOptions& options, pid_t* pid) {
    if (path_.empty()) path_ = options.path.empty() ? options.argv.at(0) : options.path;
    return (options.search_path ? posix_spawnp : posix_spawn)(
        pid, path_.c_str(), &actions_, &attributes_, CStrings(options.argv).data(),
        CStrings(options.env).data());
  }

 private:
  static std::vector<char*> CStrings(const std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    pointers.reserve(strings.size() + 1);
    for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
    pointers.push_back(nullptr);
    return pointers;
  }

  // A copy out of the way of the numbers that the child gets, and of its own: a dup onto itself
  // would keep close-on-exec.
  absl::StatusOr<int> Park(const SpawnOptions& options, int fd) {
    parked_.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, away_));
    if (parked_.back()) return parked_.back().get();
    return ErrnoError(errno, absl::StrCat("duplicate a descriptor for ", options.argv.at(0)));
  }

  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
  std::vector<UniqueFd> parked_;
  int away_ = 3;
  std::string path_;
};

// What no ChildReaper that is there holds.
struct Orphans {
  absl::Mutex mutex;
  std::vector<pid_t> pids ABSL_GUARDED_BY(mutex);
};
Orphans& AllOrphans() {
  static auto* const orphans = new Orphans;
  return *orphans;
}

bool HasEnded(pid_t pid) { return waitpid(pid, nullptr, WNOHANG) != 0; }

}  // namespace

absl::StatusOr<pid_t> Spawn(const SpawnOptions& options) {
  Plan plan;
  CRISP_RETURN_IF_ERROR(plan.Pass(options));
  plan.ResetSignals(options.own_group);
  pid_t pid = -1;
  const int error = plan.Run(options, &pid);
  if (error == 0) return pid;
  const std::string& what = options.path.empty() ? options.argv.at(0) : options.path;
  return ErrnoError(error, absl::StrCat("run ", what));
}

std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) all.emplace_back(*entry);
  return all;
}

bool ReapChild(pid_t pid, absl::Duration patience) {
  if (HasEnded(pid)) return true;
  // It is ours and not reaped, so the number is its own.
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const absl::Time until = absl::Now() + patience;
  for (absl::Duration left = patience; left > absl::ZeroDuration(); left = until - absl::Now()) {
    pollfd waiting{process.get(), POLLIN, 0};
    const auto ms = static_cast<int>(absl::ToInt64Milliseconds(left)) + 1;
    (void)poll(&waiting, 1, std::min(kPollMs, ms));
    if (HasEnded(pid)) return true;
  }
  return false;
}

ChildReaper::ChildReaper(absl::Duration patience) : patience_(patience) {
  std::vector<pid_t> left;
  {
    Orphans& orphans = AllOrphans();
    absl::MutexLock lock(&orphans.mutex);
    left.swap(orphans.pids);
  }
  absl::MutexLock lock(&mutex_);
  pids_ = std::move(left);
}

ChildReaper::~ChildReaper() {
  std::vector<pid_t> left;
  {
    absl::MutexLock lock(&mutex_);
    left.swap(pids_);
  }
  std::erase_if(left, [this](pid_t pid) { return ReapChild(pid, patience_); });
  if (left.empty()) return;
  Orphans& orphans = AllOrphans();
  absl::MutexLock lock(&orphans.mutex);
  orphans.pids.insert(orphans.pids.end(), left.begin(), left.end());
}

void ChildReaper::Add(pid_t pid) {
  absl::MutexLock lock(&mutex_);
  pids_.push_back(pid);
}

size_t ChildReaper::Reap() {
  absl::MutexLock lock(&mutex_);
  std::erase_if(pids_, HasEnded);
  return pids_.size();
}

}  // namespace crisp
