#include "runtime/paths/host_paths.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/pipe.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

constexpr size_t kIdle = 4;  // helpers that are kept
constexpr int kBrisk = 4;    // helpers at work, before a call waits for one of them
constexpr absl::Duration kBriskTime = absl::Milliseconds(10);

// Waits until the socket is ready or the time is over. True if it is ready.
bool Await(int socket, short events, absl::Time deadline) {
  for (;;) {
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    pollfd wait{.fd = socket, .events = events};
    const int ready =
        poll(&wait, 1,
             static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)))));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

absl::Status Gone() { return absl::UnavailableError("the helper for host paths ended"); }
absl::Status TooLate() { return absl::DeadlineExceededError("no answer"); }

}  // namespace

struct HostPaths::Helper {
  ~Helper() {
    if (progress != nullptr) munmap(progress, sizeof(PathProgress));
  }
  uint32_t index() const {
    return reinterpret_cast<const std::atomic<uint32_t>*>(progress)->load(
        std::memory_order_relaxed);
  }

  UniqueFd socket;  // the helper ends with it
  pid_t pid = -1;
  void* progress = nullptr;
  bool slow = false;
};

HostPaths::HostPaths(Options options) : options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<HostPaths>> HostPaths::Create(Options options) {
  std::unique_ptr<HostPaths> paths(new HostPaths(std::move(options)));
  paths->program_.reset(open(paths->options_.helper.c_str(), O_PATH | O_CLOEXEC));
  if (!paths->program_) return ErrnoError(errno, absl::StrCat("open ", paths->options_.helper));
  CRISP_ASSIGN_OR_RETURN(std::unique_ptr<Helper> first, paths->Spawn());
  absl::MutexLock lock(&paths->mutex_);
  paths->idle_.push_back(std::move(first));
  return paths;
}

HostPaths::~HostPaths() {
  absl::MutexLock lock(&mutex_);
  for (const std::unique_ptr<Helper>& helper : idle_) {
    (void)kill(helper->pid, SIGKILL);  // idle: nothing is cut off, and it ends at once
    (void)waitpid(helper->pid, nullptr, 0);
  }
  (void)ended_.Reap();
}

absl::StatusOr<std::unique_ptr<HostPaths::Helper>> HostPaths::Spawn() {
  auto helper = std::make_unique<Helper>();
  CRISP_ASSIGN_OR_RETURN(SocketPair sockets,
                         MakeSocketPair("the socket of a helper for host paths", SOCK_STREAM));
  helper->socket = std::move(sockets.ours);
  const UniqueFd page(memfd_create("crisp-paths", MFD_CLOEXEC));
  if (!page || ftruncate(page.get(), sizeof(PathProgress)) != 0) {
    return ErrnoError(errno, "make the page of a helper for host paths");
  }
  void* const mapped =
      mmap(nullptr, sizeof(PathProgress), PROT_READ | PROT_WRITE, MAP_SHARED, page.get(), 0);
  if (mapped == MAP_FAILED) return ErrnoError(errno, "map the page of a helper for host paths");
  helper->progress = mapped;
  CRISP_ASSIGN_OR_RETURN(helper->pid,
                         crisp::Spawn({.argv = {"crisp-paths"},
                                       .program = program_.get(),
                                       .fds = {{sockets.theirs.get(), 3}, {page.get(), 4}},
                                       .null_stdio = true}));
  return helper;
}

absl::StatusOr<std::unique_ptr<HostPaths::Helper>> HostPaths::Take() {
  {
    absl::MutexLock lock(&mutex_);
    const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !idle_.empty() || brisk_ < kBrisk;
    };
    // Those at work are done in microseconds, a new one takes a millisecond: rather wait. Not for
    // those that hang: they do not count.
    (void)mutex_.AwaitWithTimeout(absl::Condition(&free), kBriskTime);
    ++brisk_;
    if (!idle_.empty()) {
      std::unique_ptr<Helper> helper = std::move(idle_.back());
      idle_.pop_back();
      return helper;
    }
  }
  absl::StatusOr<std::unique_ptr<Helper>> helper = Spawn();
  if (!helper.ok()) {
    absl::MutexLock lock(&mutex_);
    --brisk_;
  }
  return helper;
}

void HostPaths::CountAsSlow(Helper& helper) {
  if (std::exchange(helper.slow, true)) return;
  absl::MutexLock lock(&mutex_);
  --brisk_;
}

void HostPaths::Keep(std::unique_ptr<Helper> helper) {
  CountAsSlow(*helper);
  (void)ended_.Reap();
  helper->slow = false;
  {
    absl::MutexLock lock(&mutex_);
    if (idle_.size() < kIdle) {
      idle_.push_back(std::move(helper));
      return;
    }
  }
  ended_.Add(helper->pid);  // it ends as its socket closes
}

// Stuck is who does not even end by SIGKILL; who does makes room for the next try.
absl::Status HostPaths::GiveUp(std::unique_ptr<Helper> helper,
                               const std::string& path,
                               absl::Duration waited) {
  CountAsSlow(*helper);
  (void)kill(helper->pid, SIGKILL);
  LogWarning("paths.stuck",
             {{"path", path}, {"helper", helper->pid}, {"waited", absl::FormatDuration(waited)}});
  {
    absl::MutexLock lock(&mutex_);
    stuck_.push_back({.pid = helper->pid, .path = path, .since = absl::Now() - waited});
  }
  return absl::DeadlineExceededError(
      absl::StrCat(path, " does not answer: waited ", absl::FormatDuration(waited),
                   " for the file system behind it; is its server (NFS) or daemon (FUSE) alive?"));
}

absl::Status HostPaths::CheckStuck(const std::vector<PathRequest>& requests) {
  absl::MutexLock lock(&mutex_);
  if (stuck_.empty()) return absl::OkStatus();
  std::erase_if(
      stuck_, [](const StuckHelper& helper) { return waitpid(helper.pid, nullptr, WNOHANG) != 0; });
  for (const PathRequest& request : requests) {
    for (const StuckHelper& helper : stuck_) {
      if (helper.path != request.path) continue;
      return absl::DeadlineExceededError(absl::StrCat(
          helper.path, " does not answer: process ", helper.pid, " has waited ",
          absl::FormatDuration(absl::Trunc(absl::Now() - helper.since, absl::Seconds(1))),
          " for the file system behind it; is its server (NFS) or daemon (FUSE) alive?"));
    }
  }
  if (stuck_.size() < options_.most_stuck) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      stuck_.size(), " helpers for host paths hang, the first at ", stuck_.front().path,
      "; no more are started until one of these file systems answers or is unmounted"));
}

size_t HostPaths::Stuck() {
  (void)CheckStuck({});
  absl::MutexLock lock(&mutex_);
  return stuck_.size();
}

absl::StatusOr<std::string> HostPaths::Exchange(Helper& helper,
                                                const std::string& frame,
                                                absl::Time deadline) {
  const int socket = helper.socket.get();
  const auto size = static_cast<uint32_t>(frame.size());
  std::string out(reinterpret_cast<const char*>(&size), sizeof(size));
  out += frame;
  absl::string_view rest = out;
  while (!rest.empty()) {
    const ssize_t sent = send(socket, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      rest.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!Await(socket, POLLOUT, deadline)) return TooLate();
    } else if (errno != EINTR) {
      return Gone();
    }
  }
  const absl::Time brisk_until = absl::Now() + kBriskTime;
  if (!Await(socket, POLLIN, std::min(brisk_until, deadline))) CountAsSlow(helper);
  std::string in;
  size_t wanted = sizeof(uint32_t);
  while (in.size() < wanted) {
    if (!Await(socket, POLLIN, deadline)) return TooLate();
    char buffer[16384];
    const ssize_t got =
        recv(socket, buffer, std::min(sizeof(buffer), wanted - in.size()), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return Gone();
    in.append(buffer, static_cast<size_t>(got));
    if (in.size() != sizeof(uint32_t) || wanted != sizeof(uint32_t)) continue;
    uint32_t coming = 0;
    std::memcpy(&coming, in.data(), sizeof(coming));
    if (coming > kMaxPathFrame) return Gone();
    wanted += coming;
  }
  return in.substr(sizeof(uint32_t));
}

absl::StatusOr<std::vector<std::string>> HostPaths::Do(const std::vector<PathRequest>& requests,
                                                       absl::Duration timeout) {
  if (requests.empty()) return std::vector<std::string>();
  CRISP_RETURN_IF_ERROR(CheckStuck(requests));
  const std::string frame = EncodeStrings(EncodeRequests(requests));
  const absl::Time begin = absl::Now(), deadline = begin + timeout;
  // A helper may have been killed while it was idle. All requests can be made twice.
  for (int tries = kIdle + 1;; --tries) {  // all that are kept, and a new one
    CRISP_ASSIGN_OR_RETURN(std::unique_ptr<Helper> helper, Take());
    const absl::StatusOr<std::string> reply = Exchange(*helper, frame, deadline);
    if (absl::IsDeadlineExceeded(reply.status())) {
      const size_t at = std::min<size_t>(helper->index(), requests.size() - 1);
      return GiveUp(std::move(helper), requests[at].path, absl::Now() - begin);
    }
    if (!reply.ok()) {
      CountAsSlow(*helper);
      (void)kill(helper->pid, SIGKILL);
      ended_.Add(helper->pid);
      if (tries > 1) continue;
      return reply.status();
    }
    Keep(std::move(helper));
    CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> outcomes, DecodeStrings(*reply));
    std::vector<std::string> values;
    for (const std::string& outcome : outcomes) {
      CRISP_ASSIGN_OR_RETURN(std::string value, DecodeOutcome(outcome));
      values.push_back(std::move(value));
    }
    if (values.size() != requests.size()) return absl::InternalError("paths: an answer is missing");
    return values;
  }
}

absl::StatusOr<std::string> HostPaths::DoOne(PathRequest request, absl::Duration timeout) {
  CRISP_ASSIGN_OR_RETURN(std::vector<std::string> values, Do({std::move(request)}, timeout));
  return std::move(values[0]);
}

absl::StatusOr<std::vector<std::string>> HostPaths::Resolve(const std::vector<std::string>& paths) {
  std::vector<PathRequest> requests;
  for (const std::string& path : paths) requests.push_back({PathRequest::Kind::kResolve, path, ""});
  return Do(requests, options_.timeout);
}

absl::Status HostPaths::MakeDirs(const std::string& path) {
  return DoOne({PathRequest::Kind::kMakeDirs, path, ""}, options_.timeout).status();
}

absl::StatusOr<std::string> HostPaths::Read(const std::string& path, size_t limit) {
  return DoOne({PathRequest::Kind::kRead, path, absl::StrCat(limit)}, options_.timeout);
}

absl::StatusOr<HostNode> HostPaths::Stat(const std::string& path, Links links) {
  CRISP_ASSIGN_OR_RETURN(
      const std::string value,
      DoOne({PathRequest::Kind::kStat, path, links == Links::kStay ? "l" : ""}, options_.timeout));
  CRISP_ASSIGN_OR_RETURN(std::vector<HostNode> nodes, DecodeNodes(value));
  if (nodes.size() != 1) return absl::InternalError(absl::StrCat("paths: no answer for ", path));
  return std::move(nodes[0]);
}

absl::StatusOr<std::vector<HostNode>> HostPaths::Devices(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(const std::string value,
                         DoOne({PathRequest::Kind::kDevices, path, ""}, options_.timeout));
  return DecodeNodes(value);
}

absl::StatusOr<std::vector<DeviceNumber>> HostPaths::BlockDevices(const std::string& pattern) {
  CRISP_ASSIGN_OR_RETURN(const std::string value,
                         DoOne({PathRequest::Kind::kBlockDevices, pattern, ""}, options_.timeout));
  CRISP_ASSIGN_OR_RETURN(const std::vector<HostNode> nodes, DecodeNodes(value));
  std::vector<DeviceNumber> devices;
  for (const HostNode& node : nodes) devices.emplace_back(node.major, node.minor);
  return devices;
}

absl::Status HostPaths::Relabel(const std::string& path, const std::string& label) {
  return DoOne({PathRequest::Kind::kRelabel, path, label}, options_.relabel_timeout).status();
}

}  // namespace crisp::runtime
