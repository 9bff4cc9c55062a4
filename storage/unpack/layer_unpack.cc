#include "storage/unpack/layer_unpack.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/json.h"
#include "base/pipe.h"
#include "base/status.h"
#include "storage/layer/layer_sink.h"

namespace crisp::storage {
namespace {

// Nothing tells that a process uses the processor: who waits for it looks, so many times before it
// counts as stalled.
constexpr int kLooksForStall = 8;
constexpr size_t kMaxReport =
    72u << 20;  // directories' names are capped at 32 MiB, and a byte each
constexpr int kSocketBuffer = 1 << 20;

// The name comes from the child, so from the image. Invalid: a later entry replaced it.
absl::StatusOr<UniqueFd> OpenListed(int root, const std::string& directory) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  UniqueFd fd(static_cast<int>(
      syscall(SYS_openat2, root, directory.empty() ? "." : directory.c_str(), &how, sizeof(how))));
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

// Nothing: a later entry replaced it, or its path is longer than the kernel can tell, and it
// inherits nothing.
absl::StatusOr<std::optional<std::string>> RealPath(int root, const std::string& directory) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, OpenListed(root, directory));
  if (!fd) return std::nullopt;
  CRISP_ASSIGN_OR_RETURN(const std::string base, KernelPath(root));
  CRISP_ASSIGN_OR_RETURN(const std::string path, KernelPath(fd.get()));
  if (path == base) return ".";
  if (!absl::StartsWith(path, base + "/")) return std::nullopt;
  return path.substr(base.size() + 1);
}

// A sink that writes a file tells real paths already, if the child is to be believed.
absl::StatusOr<std::optional<std::string>> CheckedPath(const std::string& directory) {
  CRISP_ASSIGN_OR_RETURN(const LayerName name, SplitLayerName(directory, ApplyLimits()));
  if (directory != (name.base.empty() ? "." : name.path())) {
    return absl::InternalError("unpack layer: the unpacker reports what no layer has");
  }
  return directory;
}

// The processor time of the process and its threads; none for a process that does not exist.
absl::Duration CpuTime(pid_t pid) {
  clockid_t clock;
  timespec used{};
  if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
    return {};
  return absl::DurationFromTimespec(used);
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
                         LayerTarget kind,
                         const UnpackOptions& options,
                         std::shared_ptr<ChildReaper> ended)
    : stream_(std::move(stream)),
      report_(std::move(report)),
      target_(std::move(target)),
      kind_(kind),
      stall_timeout_(options.stall_timeout),
      max_cpu_seconds_(options.max_cpu_seconds),
      ended_(std::move(ended)) {}

LayerUnpack::~LayerUnpack() {
  if (pid_ < 0) return;
  // One that comes after that finds its stream at its end.
  if (!Meet(Operation(absl::Now() + UnpackBroker::kPatience)).value_or(false)) return;
  (void)kill(pid_, SIGKILL);
  if (!ReapChild(pid_, UnpackBroker::kPatience)) ended_->Add(pid_);
}

absl::StatusOr<std::unique_ptr<LayerUnpack>> LayerUnpack::Start(UnpackBroker& broker,
                                                                const LayerForm& form,
                                                                int target_fd,
                                                                const UnpackOptions& options) {
  // A socket rather than a pipe: writing to a dead child is EPIPE without a signal.
  CRISP_ASSIGN_OR_RETURN(SocketPair stream, MakeSocketPair("a socket pair", SOCK_STREAM));
  (void)setsockopt(stream.ours.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof(kSocketBuffer));
  CRISP_ASSIGN_OR_RETURN(Pipe report, MakePipe("a pipe"));
  UniqueFd target(fcntl(target_fd, F_DUPFD_CLOEXEC, 3));
  if (!target) return ErrnoError(errno, "duplicate the layer's target");
  CRISP_RETURN_IF_ERROR(
      broker.Fork(form, options, stream.theirs.get(), target.get(), report.write_end.get()));
  return std::unique_ptr<LayerUnpack>(new LayerUnpack(std::move(stream.ours),
                                                      std::move(report.read_end), std::move(target),
                                                      form.target(), options, broker.ended()));
}

// The broker answers at once, or is dead, which closes the pipe, or is stuck.
absl::StatusOr<bool> LayerUnpack::Meet(const Operation& operation) {
  const CancelEvent cancelled(operation);
  CRISP_RETURN_IF_ERROR(cancelled.status());
  while (pid_ == 0) {
    if (!Await(report_.get(), POLLIN, cancelled)) {
      CRISP_RETURN_IF_ERROR(Check(operation));
      continue;
    }
    const ssize_t n = read(report_.get(), &pid_, sizeof(pid_));
    if (n < 0 && errno == EINTR) continue;
    if (n != sizeof(pid_)) pid_ = -1;
  }
  return pid_ > 0;
}

bool LayerUnpack::Await(int fd, short events, const CancelEvent& cancelled) const {
  pollfd waiting{fd, events, 0};
  return cancelled.Poll(
             absl::MakeSpan(&waiting, 1),
             absl::Now() + std::max(stall_timeout_ / kLooksForStall, absl::Milliseconds(1))) > 0;
}

absl::Status LayerUnpack::Check(const Operation& operation) {
  CRISP_RETURN_IF_ERROR(operation.Check("unpack layer"));
  const absl::Time now = absl::Now();
  if (const absl::Duration used = CpuTime(pid_); used != cpu_) {
    cpu_ = used;
    progress_ = now;
  }
  if (now - progress_ < stall_timeout_) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("unpack layer: the unpacker made no progress in ",
                                                  absl::FormatDuration(stall_timeout_),
                                                  " (is the image store's disk stuck?)"));
}

absl::Status LayerUnpack::Write(absl::string_view bytes, const Operation& operation) {
  progress_ = absl::Now();               // until now it had nothing to do
  std::optional<CancelEvent> cancelled;  // only who has to wait needs it
  while (!bytes.empty()) {
    const ssize_t n = send(stream_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
      progress_ = absl::Now();
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    if (error != EAGAIN) {
      // It gave up, and the report says why; or, if it only seems so, says that the stream is cut
      // off.
      (void)shutdown(stream_.get(), SHUT_RDWR);
      absl::Status status = Report(operation).status();
      return status.ok() ? ErrnoError(error, "unpack layer: hand on its bytes") : status;
    }
    if (pid_ == 0) CRISP_RETURN_IF_ERROR(Meet(operation).status());
    CRISP_RETURN_IF_ERROR(Check(operation));
    if (!cancelled.has_value()) {
      cancelled.emplace(operation);
      CRISP_RETURN_IF_ERROR(cancelled->status());
    }
    (void)Await(stream_.get(), POLLOUT, *cancelled);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> LayerUnpack::ReadReport(const Operation& operation) {
  const CancelEvent cancelled(operation);
  CRISP_RETURN_IF_ERROR(cancelled.status());
  std::string report;
  char buffer[16384];
  while (true) {
    if (!Await(report_.get(), POLLIN, cancelled)) {
      CRISP_RETURN_IF_ERROR(Check(operation));
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

absl::StatusOr<UnpackResult> LayerUnpack::Finish(const Operation& operation) {
  if (pid_ < 0) return absl::FailedPreconditionError("unpack layer: finished twice");
  // The end would never come otherwise.
  if (shutdown(stream_.get(), SHUT_WR) != 0)
    return ErrnoError(errno, "unpack layer: end its stream");
  progress_ = absl::Now();
  return Report(operation);
}

absl::StatusOr<UnpackResult> LayerUnpack::Report(const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const bool there, Meet(operation));
  if (!there) return absl::UnavailableError("unpack layer: no unpacker could be made");
  CRISP_ASSIGN_OR_RETURN(const std::string report, ReadReport(operation));
  if (absl::EndsWith(report, kReportEnd)) {
    ended_->Add(std::exchange(pid_, -1));
    return ParseReport(report);
  }
  return WithoutReport(operation);
}

// It is at its end: how it came to it.
absl::Status LayerUnpack::WithoutReport(const Operation& operation) {
  siginfo_t how{};
  while (waitid(P_PID, static_cast<id_t>(pid_), &how, WEXITED | WNOHANG) == 0 && how.si_pid == 0) {
    CRISP_RETURN_IF_ERROR(Check(operation));
    absl::SleepFor(absl::Milliseconds(5));  // its pipe is closed: it is about to end
  }
  pid_ = -1;
  if (how.si_code == CLD_EXITED) {
    return absl::InternalError(
        absl::StrCat("unpack layer: the unpacker exited with ", how.si_status));
  }
  if (how.si_status == SIGXCPU) {
    return absl::ResourceExhaustedError(
        absl::StrCat("unpack layer: takes more than ", max_cpu_seconds_,
                     " s of processor time (image.max_unpack_cpu)"));
  }
  return absl::InternalError(
      absl::StrCat("unpack layer: the unpacker died by signal ", how.si_status));
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
  CRISP_ASSIGN_OR_RETURN(const Json* dropped, JsonArray(json, "dropped_xattrs"));
  for (const Json& name : *dropped) {
    if (name.is_string()) result.dropped_xattrs.push_back(name.get<std::string>());
  }
  CRISP_ASSIGN_OR_RETURN(result.opaque_root, JsonBool(json, "opaque_root"));
  for (auto [key, field] :
       {std::pair{"compressed_bytes", &result.compressed_bytes},
        std::pair{"archive_bytes", &result.archive_bytes}, std::pair{"entries", &result.entries},
        std::pair{"inodes", &result.inodes}, std::pair{"bytes", &result.bytes},
        std::pair{"disk_bytes", &result.disk_bytes}}) {
    CRISP_ASSIGN_OR_RETURN(const int64_t value, JsonInt(json, key));
    *field = static_cast<uint64_t>(value);
  }
  absl::string_view names =
      report.substr(line == absl::string_view::npos ? report.size() : line + 1);
  while (names != kReportEnd) {
    const size_t end = names.find('\0');
    if (end == absl::string_view::npos || end == 0) {
      return absl::InternalError("unpack layer: cut-off report");
    }
    const std::string directory(names.substr(1, end - 1));
    const char kind = names[0];
    if (kind == 'o' && kind_ == LayerTarget::kDirectory) {
      CRISP_RETURN_IF_ERROR(MarkOpaque(target_.get(), directory));
    } else if (kind == 'i' || kind == 'w') {
      CRISP_ASSIGN_OR_RETURN(std::optional<std::string> path,
                             kind_ == LayerTarget::kFile ? CheckedPath(directory)
                                                         : RealPath(target_.get(), directory));
      if (path)
        (kind == 'i' ? result.implicit_dirs : result.whiteout_dirs).push_back(*std::move(path));
    } else {
      return absl::InternalError("unpack layer: the unpacker reports what no layer has");
    }
    names.remove_prefix(end + 1);
  }
  return result;
}

}  // namespace crisp::storage
