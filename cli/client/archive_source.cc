#include "cli/client/archive_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/pipe.h"
#include "base/spawn.h"
#include "base/status.h"

namespace crisp::cli {
namespace {

struct Running {
  UniqueFd output;
  pid_t pid;
};

absl::StatusOr<Running> Run(const std::vector<std::string>& command, int input) {
  CRISP_ASSIGN_OR_RETURN(Pipe pipe, MakePipe("a pipe"));
  // It stays in our group: what the terminal sends us ends it too.
  SpawnOptions options{.argv = command,
                       .search_path = true,
                       .env = OwnEnvironment(),
                       .fds = {{pipe.write_end.get(), STDOUT_FILENO}},
                       .own_group = false};
  if (input >= 0) options.fds.emplace_back(input, STDIN_FILENO);
  const absl::StatusOr<pid_t> pid = Spawn(options);
  if (!pid.ok()) {
    return ErrnoError(ErrnoOf(pid.status()),
                      absl::StrCat("run ", command[0], ", which reads such archives"));
  }
  return Running{std::move(pipe.read_end), *pid};
}

// The program that decompresses it; empty if crispd does, or if nothing can.
std::string Decompressor(int fd) {
  char head[10] = {};
  if (pread(fd, head, sizeof(head), 0) != sizeof(head)) return "";
  const absl::string_view bytes(head, sizeof(head));
  if (absl::StartsWith(bytes, absl::string_view("\xfd"
                                                "7zXZ\0",
                                                6)))
    return "xz";
  if (absl::StartsWith(bytes, "BZh") && absl::StartsWith(bytes.substr(4), "1AY&SY")) return "bzip2";
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<ArchiveSource>> ArchiveSource::Open(const std::string& path) {
  const auto make = [](UniqueFd fd, std::string program, pid_t pid) {
    return std::unique_ptr<ArchiveSource>(
        new ArchiveSource(std::move(fd), std::move(program), pid));
  };
  if (path == "-") {
    UniqueFd input(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!input) return ErrnoError(errno, "read standard input");
    return make(std::move(input), "", 0);
  }
  CRISP_ASSIGN_OR_RETURN(UniqueFd file, crisp::Open(path, O_RDONLY));
  struct stat st {};
  if (fstat(file.get(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", path));
  std::vector<std::string> command;
  if (S_ISDIR(st.st_mode)) {
    if (faccessat(file.get(), "index.json", R_OK, 0) != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": a directory without index.json, so no OCI layout"));
    }
    command = {"tar", "-C", path, "-cf", "-", "."};
  } else if (const std::string tool = Decompressor(file.get()); !tool.empty()) {
    command = {tool, "-dc"};
  }
  if (command.empty()) return make(std::move(file), "", 0);
  CRISP_ASSIGN_OR_RETURN(Running running, Run(command, S_ISDIR(st.st_mode) ? -1 : file.get()));
  return make(std::move(running.output), command[0], running.pid);
}

// One that still writes gets SIGPIPE.
ArchiveSource::~ArchiveSource() {
  fd_.reset();
  (void)Finish();
}

absl::Status ArchiveSource::Finish() {
  const pid_t pid = std::exchange(pid_, 0);
  if (pid == 0) return absl::OkStatus();
  fd_.reset();
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(program_, " could not read the archive"));
}

}  // namespace crisp::cli
