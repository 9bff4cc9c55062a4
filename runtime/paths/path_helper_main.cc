// crisp-paths: looks at the paths that pods, volumes and log directories control, so that crispd
// never does. It may hang there for ever: it holds a socket and a page, and no more.
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/lsm/selinux.h"
#include "runtime/paths/path_wire.h"

namespace crisp::runtime {
namespace {

constexpr int kMaxDepth = 8;

HostNode NodeOf(const struct stat& st, std::string name) {
  return {.name = std::move(name),
          .mode = st.st_mode,
          .major = major(st.st_rdev),
          .minor = minor(st.st_rdev),
          .uid = st.st_uid,
          .gid = st.st_gid};
}

bool IsDevice(const struct stat& st) { return S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode); }

absl::StatusOr<std::string> Resolve(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) != nullptr) return std::string(resolved);
  if (errno == ENOENT) {
    CRISP_RETURN_IF_ERROR(MakeDirs(path, 0755));
    if (::realpath(path.c_str(), resolved) != nullptr) return std::string(resolved);
  }
  return ErrnoError(errno, absl::StrCat("resolve ", path));
}

// Nothing is waited for that is no file: a FIFO without a writer.
absl::StatusOr<std::string> Read(const std::string& path, size_t limit) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(st.st_mode))
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file"));
  return ReadFd(fd.get(), path, limit);
}

absl::StatusOr<std::string> Stat(const std::string& path, bool itself) {
  struct stat st {};
  if ((itself ? ::lstat(path.c_str(), &st) : ::stat(path.c_str(), &st)) != 0) {
    return ErrnoError(errno, absl::StrCat("stat ", path));
  }
  return EncodeNodes({NodeOf(st, "")});
}

void ScanDirectory(const std::string& path,
                   const std::string& name,
                   int depth,
                   std::vector<HostNode>& nodes) {
  auto names = ListDir(absl::StrCat(path, name));
  // A directory that vanishes or cannot be read holds no device for anybody.
  if (!names.ok() || depth > kMaxDepth) return;
  for (const std::string& entry : *names) {
    const std::string child = absl::StrCat(name, "/", entry);
    struct stat st {};
    if (::lstat(absl::StrCat(path, child).c_str(), &st) != 0) continue;
    if (S_ISDIR(st.st_mode)) {
      if (entry == "pts" || entry == "shm" || entry == "mqueue" || entry == "fd") continue;
      ScanDirectory(path, child, depth + 1, nodes);
    } else if (IsDevice(st) && st.st_rdev != 0) {  // 0:0 is a whiteout
      nodes.push_back(NodeOf(st, child));
    }
  }
}

absl::StatusOr<std::string> Devices(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", path));
  std::vector<HostNode> nodes;
  if (S_ISDIR(st.st_mode)) {
    ScanDirectory(path, "", 0, nodes);
  } else if (IsDevice(st)) {
    nodes.push_back(NodeOf(st, ""));
  } else {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a device node"));
  }
  return EncodeNodes(nodes);
}

absl::StatusOr<std::string> BlockDevices(const std::string& pattern) {
  std::vector<HostNode> nodes;
  glob_t found{};
  if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      struct stat st {};
      if (::stat(found.gl_pathv[i], &st) == 0 && S_ISBLK(st.st_mode))
        nodes.push_back(NodeOf(st, ""));
    }
  }
  ::globfree(&found);
  return EncodeNodes(nodes);
}

absl::StatusOr<std::string> Perform(const PathRequest& request) {
  using Kind = PathRequest::Kind;
  switch (request.kind) {
    case Kind::kResolve:
      return Resolve(request.path);
    case Kind::kMakeDirs:
      CRISP_RETURN_IF_ERROR(MakeDirs(request.path, 0755));
      return std::string();
    case Kind::kRead: {
      size_t limit = 0;
      if (!absl::SimpleAtoi(request.argument, &limit)) break;
      return Read(request.path, limit);
    }
    case Kind::kStat:
      return Stat(request.path, request.argument == "l");
    case Kind::kDevices:
      return Devices(request.path);
    case Kind::kBlockDevices:
      return BlockDevices(request.path);
    case Kind::kRelabel:
      CRISP_RETURN_IF_ERROR(RelabelTree(request.path, request.argument));
      return std::string();
  }
  return absl::InvalidArgumentError("paths: a request that is none");
}

// False at the end of the stream.
bool ReadFully(char* data, size_t size) {
  while (size > 0) {
    const ssize_t got = ::read(kPathSocket, data, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    data += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

// An error ends the list: the requests before it are done, those behind it are not begun.
std::vector<std::string> PerformAll(const std::vector<PathRequest>& requests,
                                    std::atomic<uint32_t>& index) {
  std::vector<std::string> outcomes;
  for (const PathRequest& request : requests) {
    index.store(static_cast<uint32_t>(outcomes.size()), std::memory_order_relaxed);
    const absl::StatusOr<std::string> outcome = Perform(request);
    outcomes.push_back(EncodeOutcome(outcome));
    if (!outcome.ok()) break;
  }
  return outcomes;
}

int Main() {
  (void)::syscall(SYS_close_range, kPathProgress + 1, ~0u, 0);
  (void)::prctl(PR_SET_NAME, "crisp-paths");
  // The daemon's working directory is not kept from being unmounted.
  if (::chdir("/") != 0) return 1;
  void* const page =
      ::mmap(nullptr, sizeof(PathProgress), PROT_READ | PROT_WRITE, MAP_SHARED, kPathProgress, 0);
  if (page == MAP_FAILED) return 1;
  auto* const index = reinterpret_cast<std::atomic<uint32_t>*>(page);
  ::close(kPathProgress);
  for (;;) {
    uint32_t size = 0;
    if (!ReadFully(reinterpret_cast<char*>(&size), sizeof(size))) return 0;
    if (size > kMaxPathFrame) return 1;
    std::string frame(size, '\0');
    if (!ReadFully(frame.data(), size)) return 0;
    const absl::StatusOr<std::vector<std::string>> strings = DecodeStrings(frame);
    if (!strings.ok()) return 1;
    const absl::StatusOr<std::vector<PathRequest>> requests = DecodeRequests(*strings);
    if (!requests.ok()) return 1;
    const std::string reply = EncodeStrings(PerformAll(*requests, *index));
    const auto reply_size = static_cast<uint32_t>(reply.size());
    std::string out(reinterpret_cast<const char*>(&reply_size), sizeof(reply_size));
    out += reply;
    if (!WriteAll(kPathSocket, out, "the daemon").ok()) return 0;
  }
}

}  // namespace
}  // namespace crisp::runtime

int main() { return crisp::runtime::Main(); }
