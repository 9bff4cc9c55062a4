#include "base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/pipe.h"
#include "base/spawn.h"
#include "base/status.h"

namespace crisp {
namespace {

absl::StatusOr<pid_t> Start(const Command& command, int in, int out, int err) {
  SpawnOptions options{.argv = command.argv, .program = command.exe_fd, .env = command.env};
  options.fds = {{in, 0}, {out, 1}, {err, 2}};
  options.fds.insert(options.fds.end(), command.fds.begin(), command.fds.end());
  return Spawn(options);
}

int ExitCodeOf(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

// Moves what is readable into `sink`; closes the pipe at its end. False: over the limit.
bool Drain(UniqueFd& pipe, std::string& sink, size_t limit) {
  char buffer[16384];
  const ssize_t n = read(pipe.get(), buffer, sizeof(buffer));
  if (n <= 0) {
    if (n == 0 || errno != EINTR) pipe.reset();
    return true;
  }
  if (sink.size() + static_cast<size_t>(n) > limit) return false;
  sink.append(buffer, static_cast<size_t>(n));
  return true;
}

// Hands over what the pipe takes now; closes it when done or when the child closed its end.
void Feed(UniqueFd& pipe, absl::string_view& input) {
  const ssize_t n = write(pipe.get(), input.data(), input.size());
  if (n > 0) input.remove_prefix(static_cast<size_t>(n));
  if ((n < 0 && errno != EINTR && errno != EAGAIN) || input.empty()) pipe.reset();
}

}  // namespace

absl::StatusOr<CommandResult> RunCommand(const Command& command, const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(Pipe in, MakePipe("a pipe"));
  CRISP_ASSIGN_OR_RETURN(Pipe out, MakePipe("a pipe"));
  CRISP_ASSIGN_OR_RETURN(Pipe err, MakePipe("a pipe"));
  CRISP_ASSIGN_OR_RETURN(
      const pid_t pid, Start(command, in.read_end.get(), out.write_end.get(), err.write_end.get()));
  in.read_end.reset();
  out.write_end.reset();
  err.write_end.reset();
  auto kill_and_reap = absl::MakeCleanup([pid] {
    (void)kill(-pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  });
  const CancelEvent cancelled(operation);
  CRISP_RETURN_IF_ERROR(cancelled.status());
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return ErrnoError(errno, "pidfd_open");
  (void)fcntl(in.write_end.get(), F_SETFL, O_NONBLOCK);

  CommandResult result;
  absl::string_view input = command.input;
  if (input.empty()) in.write_end.reset();
  bool exited = false;
  // A grandchild may keep the pipes open: once the child is gone, only what is already there
  // counts.
  while (!exited || out.read_end || err.read_end) {
    pollfd fds[4] = {{out.read_end.get(), POLLIN, 0},
                     {err.read_end.get(), POLLIN, 0},
                     {in.write_end.get(), POLLOUT, 0},
                     {exited ? -1 : pidfd.get(), POLLIN, 0}};
    const int ready =
        cancelled.Poll(absl::MakeSpan(fds), exited ? absl::InfinitePast() : absl::InfiniteFuture());
    if (ready < 0) return ErrnoError(errno, "poll");
    if (ready == 0 && exited) break;
    if (fds[3].revents != 0) exited = true;
    if ((fds[0].revents != 0 && !Drain(out.read_end, result.output, command.max_output)) ||
        (fds[1].revents != 0 && !Drain(err.read_end, result.errors, command.max_output))) {
      return absl::ResourceExhaustedError(
          absl::StrCat(command.argv.at(0), ": printed more than ", command.max_output, " bytes"));
    }
    if (fds[2].revents != 0) Feed(in.write_end, input);
    if (!exited) CRISP_RETURN_IF_ERROR(operation.Check(command.argv.at(0)));
  }
  std::move(kill_and_reap).Cancel();
  int wait_status = 0;
  while (waitpid(pid, &wait_status, 0) < 0) {
    if (errno != EINTR) return ErrnoError(errno, "waitpid");
  }
  result.exit_code = ExitCodeOf(wait_status);
  return result;
}

}  // namespace crisp
