#include "storage/layer_unpack.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/status.h"
#include "storage/layer_sink.h"

namespace crisp::storage {
namespace {

constexpr int kPollMs = 100;
constexpr size_t kMaxReport = 72u << 20;  // directories' names are capped at 32 MiB, and a byte each
constexpr int kSocketBuffer = 1 << 20;

// The name comes from the child, so from the image. Invalid: a later entry replaced it.
absl::StatusOr<UniqueFd> OpenListed(int root, const std::string& directory) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  UniqueFd fd(static_cast<int>(syscall(SYS_openat2, root,
                                       directory.empty() ? "." : directory.c_str(), &how,
                                       sizeof(how))));
  if (!fd && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
    return ErrnoError(errno, absl::StrCat("open directory ", directory, " of the layer"));
  }
  return fd;
}

// Empty: too long.
absl::StatusOr<std::string> KernelPath(int fd) {
  char path[PATH_MAX];
  const ssize_t n = readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), path, sizeof(path));
  if (n < 0 && errno == ENAMETOOLONG) return std::string();
  if (n < 0) return ErrnoError(errno, "read the path of a layer's directory");
  return std::string(path, static_cast<size_t>(n));
}

absl::Status AddImplicit(int root, const std::string& directory, UnpackResult& result) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, OpenListed(root, directory));
  if (!fd) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const std::string base, KernelPath(root));
  CRISP_ASSIGN_OR_RETURN(const std::string path, KernelPath(fd.get()));
  // One whose path is longer than the kernel can tell inherits nothing.
  if (path.empty()) return absl::OkStatus();
  if (path == base) {
    result.implicit_dirs.push_back(".");
  } else if (absl::StartsWith(path, base + "/")) {
    result.implicit_dirs.push_back(path.substr(base.size() + 1));
  }
  return absl::OkStatus();
}

// An image's are real paths already, if the child is to be believed.
absl::Status AddImplicit(char kind, const std::string& directory, UnpackResult& result) {
  CRISP_ASSIGN_OR_RETURN(const LayerName name, SplitLayerName(directory, ApplyLimits()));
  if (kind != 'i' || directory != (name.base.empty() ? "." : name.path())) {
    return absl::InternalError("unpack layer: the unpacker reports what no image has");
  }
  result.implicit_dirs.push_back(directory);
  return absl::OkStatus();
}

absl::Status MarkOpaque(int root, const std::string& directory) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, OpenListed(root, directory));
  if (!fd) return absl::OkStatus();
  if (fsetxattr(fd.get(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
    return ErrnoError(errno, absl::StrCat("mark ", directory, " opaque"));
  }
  return absl::OkStatus();
}

}  // namespace

LayerUnpack::LayerUnpack(UniqueFd stream,
                         UniqueFd report,
                         UniqueFd target,
                         bool image,
                         std::shared_ptr<EndedUnpackers> ended)
    : stream_(std::move(stream)),
      report_(std::move(report)),
      target_(std::move(target)),
      image_(image),
      ended_(std::move(ended)) {}

LayerUnpack::~LayerUnpack() {
  if (!Meet()) return;
  (void)kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::StatusOr<std::unique_ptr<LayerUnpack>> LayerUnpack::Start(UnpackBroker& broker,
                                                                int target_fd,
                                                                const UnpackOptions& options) {
  // A socket rather than a pipe: writing to a dead child is EPIPE without a signal.
  int stream[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) != 0) {
    return ErrnoError(errno, "make a socket pair");
  }
  UniqueFd ours(stream[0]), theirs(stream[1]);
  (void)setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof(kSocketBuffer));
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return ErrnoError(errno, "make a pipe");
  UniqueFd report_in(report[0]), report_out(report[1]);
  UniqueFd target(fcntl(target_fd, F_DUPFD_CLOEXEC, 3));
  if (!target) return ErrnoError(errno, "duplicate the layer's directory");
  CRISP_RETURN_IF_ERROR(broker.Fork(options, theirs.get(), target.get(), report_out.get()));
  return std::unique_ptr<LayerUnpack>(
      new LayerUnpack(std::move(ours), std::move(report_in), std::move(target), options.image, broker.ended()));
}

// The broker answers at once or is dead, which closes the pipe.
bool LayerUnpack::Meet() {
  if (pid_ != 0) return pid_ > 0;
  ssize_t n;
  do {
    n = read(report_.get(), &pid_, sizeof(pid_));
  } while (n < 0 && errno == EINTR);
  if (n != sizeof(pid_)) pid_ = -1;
  return pid_ > 0;
}

absl::Status LayerUnpack::Write(absl::string_view bytes, const Cancel& cancel) {
  while (!bytes.empty()) {
    const ssize_t n =
        send(stream_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      // It gave up; the report says why.
      absl::Status status = Report(cancel).status();
      return status.ok() ? absl::DataLossError("unpack layer: bytes after its end") : status;
    }
    CRISP_RETURN_IF_ERROR(cancel.Check("unpack layer"));
    pollfd waiting{stream_.get(), POLLOUT, 0};
    (void)poll(&waiting, 1, kPollMs);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> LayerUnpack::ReadReport(const Cancel& cancel) {
  std::string report;
  char buffer[16384];
  while (true) {
    pollfd waiting{report_.get(), POLLIN, 0};
    if (poll(&waiting, 1, kPollMs) <= 0) {
      CRISP_RETURN_IF_ERROR(cancel.Check("unpack layer"));
      continue;
    }
    const ssize_t n = read(report_.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read the unpacker's report");
    if (n == 0) return report;
    if (report.size() + static_cast<size_t>(n) > kMaxReport) {
      return absl::ResourceExhaustedError("unpack layer: the report is too long");
    }
    report.append(buffer, static_cast<size_t>(n));
  }
}

absl::StatusOr<UnpackResult> LayerUnpack::Finish(const Cancel& cancel) {
  if (pid_ < 0) return absl::FailedPreconditionError("unpack layer: finished twice");
  (void)shutdown(stream_.get(), SHUT_WR);
  return Report(cancel);
}

absl::StatusOr<UnpackResult> LayerUnpack::Report(const Cancel& cancel) {
  if (!Meet()) return absl::UnavailableError("unpack layer: no unpacker could be made");
  CRISP_ASSIGN_OR_RETURN(const std::string report, ReadReport(cancel));
  if (absl::EndsWith(report, kReportEnd)) {
    ended_->Add(std::exchange(pid_, -1));
    return ParseReport(report);
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFSIGNALED(status)) {
    return absl::InternalError(
        absl::StrCat("unpack layer: the unpacker died by signal ", WTERMSIG(status)));
  }
  return absl::InternalError(
      absl::StrCat("unpack layer: the unpacker exited with ", WEXITSTATUS(status)));
}

// See kReportEnd.
absl::StatusOr<UnpackResult> LayerUnpack::ParseReport(absl::string_view report) {
  const size_t line = report.find('\n');
  CRISP_ASSIGN_OR_RETURN(const Json json, ParseJson(report.substr(0, line)));
  CRISP_ASSIGN_OR_RETURN(const int64_t code, JsonInt(json, "code"));
  if (code != 0) {
    CRISP_ASSIGN_OR_RETURN(const std::string message, JsonString(json, "message"));
    return absl::Status(static_cast<absl::StatusCode>(code), message);
  }
  UnpackResult result;
  CRISP_ASSIGN_OR_RETURN(result.diff_id, JsonString(json, "diff_id"));
  for (auto [key, field] :
       {std::pair{"compressed_bytes", &result.compressed_bytes},
        std::pair{"archive_bytes", &result.archive_bytes}, std::pair{"entries", &result.entries},
        std::pair{"inodes", &result.inodes}, std::pair{"bytes", &result.bytes},
        std::pair{"disk_bytes", &result.disk_bytes}}) {
    CRISP_ASSIGN_OR_RETURN(const int64_t value, JsonInt(json, key));
    *field = static_cast<uint64_t>(value);
  }
  absl::string_view names = report.substr(line == absl::string_view::npos ? report.size() : line + 1);
  while (names != kReportEnd) {
    const size_t end = names.find('\0');
    if (end == absl::string_view::npos || end == 0) {
      return absl::InternalError("unpack layer: cut-off report");
    }
    const std::string directory(names.substr(1, end - 1));
    if (image_) {
      CRISP_RETURN_IF_ERROR(AddImplicit(names[0], directory, result));
    } else {
      CRISP_RETURN_IF_ERROR(names[0] == 'o' ? MarkOpaque(target_.get(), directory)
                                            : AddImplicit(target_.get(), directory, result));
    }
    names.remove_prefix(end + 1);
  }
  return result;
}

}  // namespace crisp::storage
