#include "cli/archive_source.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

extern char** environ;

namespace crisp::cli {
namespace {

struct Running {
  UniqueFd output;
  pid_t pid;
};

absl::StatusOr<Running> Run(std::vector<std::string> command, int input) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "make a pipe");
  UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const auto clean_up = absl::MakeCleanup([&] { posix_spawn_file_actions_destroy(&actions); });
  if (input >= 0) posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDOUT_FILENO);
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  if (error != 0)
    return ErrnoError(error, absl::StrCat("run ", command[0], ", which reads such archives"));
  return Running{std::move(read_end), pid};
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
