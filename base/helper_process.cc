#include "base/helper_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp {

absl::StatusOr<pid_t> SpawnHelper(int program,
                                  std::vector<std::string> argv,
                                  const std::vector<int>& fds,
                                  HelperStdio stdio) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  const auto free_both = absl::MakeCleanup([&] {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  });
  // Copies out of the way of the numbers they get, and of their own: a dup onto itself would keep
  // close-on-exec.
  constexpr int kAway = 16;
  const UniqueFd image(fcntl(program, F_DUPFD_CLOEXEC, kAway));
  if (!image) return ErrnoError(errno, absl::StrCat("duplicate the program of ", argv[0]));
  std::vector<UniqueFd> parked;
  for (size_t i = 0; i < fds.size(); ++i) {
    parked.emplace_back(fcntl(fds[i], F_DUPFD_CLOEXEC, kAway));
    if (!parked.back())
      return ErrnoError(errno, absl::StrCat("duplicate a descriptor for ", argv[0]));
    posix_spawn_file_actions_adddup2(&actions, parked.back().get(), static_cast<int>(3 + i));
  }
  if (stdio == HelperStdio::kNone) {
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, 0, 1);
    posix_spawn_file_actions_adddup2(&actions, 0, 2);
  }
  sigset_t none, defaults;
  sigemptyset(&none);
  sigfillset(&defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> arguments;
  for (std::string& argument : argv) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  char* env[] = {nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, absl::StrCat("/proc/self/fd/", image.get()).c_str(), &actions,
                                &attributes, arguments.data(), env);
  if (error != 0) return ErrnoError(error, absl::StrCat("start ", argv[0]));
  return pid;
}

void ChildReaper::Add(pid_t pid) {
  absl::MutexLock lock(&mutex_);
  pids_.push_back(pid);
}

size_t ChildReaper::Reap() {
  absl::MutexLock lock(&mutex_);
  std::erase_if(pids_, [](pid_t pid) { return waitpid(pid, nullptr, WNOHANG) != 0; });
  return pids_.size();
}

}  // namespace crisp
