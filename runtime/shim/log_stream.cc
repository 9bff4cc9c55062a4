#include "runtime/shim/log_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "runtime/shim/loop.h"

namespace crisp::shim {
namespace {

constexpr uint64_t kSecond = 1000000000u;
// A writer that does nothing for so long is not waited for by requests and exits, nor by output.
constexpr uint64_t kImpatient = 2 * kSecond, kPatient = 5 * kSecond;
constexpr uint64_t kOpenLimit = 5 * kSecond;
constexpr int kTickMs = 250;
constexpr uint64_t kTick = kTickMs * (kSecond / 1000);
constexpr uint32_t kLeastRead = 4096;

LogRing g_ring;
Log* g_logs = nullptr;
uint32_t g_last_id = 0, g_last_ticket = 0;
uint64_t g_taken = 0;
uint64_t g_moved_at =
    0;  // when the writer was last seen to have done something, or had nothing to do
uint64_t g_started_at = 0;  // the writer
uint64_t g_looked_at = 0;
bool g_awaited = false, g_woken = false;
uint64_t g_rate = 0, g_allowance = 0, g_refilled_at = 0;
bool g_throttled = false;

void LookForProgress(uint64_t now) {
  const uint64_t taken = g_ring.taken();
  if (taken == g_taken && !g_ring.empty()) return;
  g_taken = taken;
  g_moved_at = now;
}

// Half a second's bytes may come at once.
bool WithinRate() {
  if (g_rate == 0) return true;
  const uint64_t now = Monotonic(), most = g_rate / 2;
  const uint64_t passed = now - g_refilled_at < kSecond ? now - g_refilled_at : kSecond;
  const uint64_t more = g_rate / 1000 * (passed / 1000) / 1000;
  if (more > 0) {
    g_allowance = g_allowance + more < most ? g_allowance + more : most;
    g_refilled_at = now;
  }
  // A container that had to wait then goes on for a while.
  g_throttled = g_allowance < (g_throttled ? g_rate / 20 : LogRing::kMostPayload);
  return !g_throttled;
}

}  // namespace

void SetLogRate(uint64_t rate) { g_rate = rate > 0 && rate < (1u << 20) ? 1u << 20 : rate; }

// The shim's end of the writer's socket: answers, and one byte where somebody waits for room.
class LogAnswers : public Watch {
 public:
  void Ready(uint32_t) override { Receive(); }
  void Receive();
  void WakeWriter();
};

namespace {
LogAnswers g_writer;
}

void LogAnswers::Receive() {
  static LogAnswer answer;
  const ssize_t n = recv(fd(), &answer, sizeof(answer), MSG_DONTWAIT);
  if (n < 0 && IsShortage(errno)) Rest();
  // Its end is told by nothing else: another writer beside one that lives would spoil the ring.
  if (n < 0 && errno != ECONNRESET) return;
  g_woken = true;
  if (n <= 0) {  // it was killed: the next one goes on where it was
    Close();
    AwaitLogs();
    return;
  }
  if (n != sizeof(answer)) return;
  for (Log* log = g_logs; log != nullptr; log = log->next_) {
    if (log->id_ != answer.log || log->ticket_ != answer.ticket) continue;
    log->ticket_ = 0;
    log->refused_ = !answer.good;
    log->truncated_ = log->truncated_ || answer.truncated;
    if (!answer.good) g_error = answer.error;
  }
}

void LogAnswers::WakeWriter() {
  if (!g_ring.TakeTakersWish() || send(fd(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) return;
  // A full socket wakes it anyway, and there is no dead writer to wake.
  if (!IsShortage(errno)) return;
  g_ring.TakerSleeps();
  AwaitLogs();
}

bool StartLogWriter() {
  if (g_writer.fd() >= 0) return true;
  if (!g_ring.mapped() && !g_ring.Map()) return Fail("make the log writer's memory");
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail("make a socket pair");
  }
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  g_started_at = Monotonic();
  // Before there is one: of one that is not watched the next would be started beside it.
  g_writer.Adopt(ours.Release());
  if (!g_writer.Want(EPOLLIN)) {
    Fail("wait for the log writer");
    g_writer.Close();
    return false;
  }
  // Not among the shim's children, which are the pod's.
  clone_args args = {.flags = CLONE_PARENT, .exit_signal = 0};
  g_ring.Share(true);
  const int pid = SysClone3(&args);
  if (pid == 0) RunLogWriter(&g_ring, theirs.get());
  g_ring.Share(false);
  if (pid > 0) return true;
  Fail("create the log writer");
  g_writer.Close();
  return false;
}

bool LogsStuck(bool patient) {
  const uint64_t now = Monotonic();
  LookForProgress(now);
  return !g_ring.empty() && now - g_moved_at >= (patient ? kPatient : kImpatient);
}

void AwaitLogs() {
  if (!g_awaited) g_looked_at = Monotonic();
  g_awaited = true;
  g_ring.PutterWaits();
}

bool LogsMoved() {
  if (!g_awaited && !g_ring.large()) return false;
  const uint64_t now = Monotonic();
  LookForProgress(now);
  if (g_ring.large() && g_ring.empty() && now - g_moved_at >= kSecond) g_ring.Trim();
  const uint64_t tick = g_throttled ? kTick / 5 : kTick;
  if (!g_awaited || (!g_woken && now - g_looked_at < tick)) return false;
  if (g_writer.fd() < 0 && now - g_started_at >= kTick) (void)StartLogWriter();
  g_awaited = g_writer.fd() < 0;
  g_woken = false;
  g_looked_at = now;
  g_writer.WakeWriter();  // one may have been lost; where this one is, it is awaited again
  return true;
}

int LogTimeout() {
  if (g_awaited) return g_throttled ? kTickMs / 5 : kTickMs;
  return g_ring.large() ? 1000 : -1;
}

const char* PathOfLog(uint32_t id, uint32_t* limit) {
  for (const Log* log = g_logs; log != nullptr; log = log->next_) {
    if (log->id_ != id) continue;
    *limit = log->limit_;
    return log->path_;
  }
  return nullptr;
}

Log::~Log() {
  if (id_ == 0) return;
  (void)Put(LogCommand::kClose, false, 0);
  for (Log** link = &g_logs; *link != nullptr; link = &(*link)->next_) {
    if (*link != this) continue;
    *link = next_;
    break;
  }
  free(path_);
}

// Without a payload.
bool Log::Put(LogCommand command, bool is_stderr, uint64_t value) {
  uint32_t size;
  if (g_ring.empty()) g_moved_at = Monotonic();
  if (g_ring.Reserve(0, 0, true, &size) == nullptr) return false;
  g_ring.Publish({.size = 0,
                  .command = command,
                  .is_stderr = is_stderr,
                  .log = id_,
                  .ticket = ticket_,
                  .value = value});
  g_writer.WakeWriter();
  return true;
}

bool Log::BeginOpen(const char* path, uint32_t limit) {
  if (path != nullptr && strlen(path) >= sizeof(Path::data)) {
    return Refuse(kInvalidArgument, "no path for a log: it is too long");
  }
  if (!StartLogWriter()) return false;
  if (path != nullptr && id_ == 0) {
    path_ = Duplicate(path, strlen(path));
    if (path_ == nullptr) return false;
    limit_ = limit;
    id_ = ++g_last_id;
    next_ = g_logs;
    g_logs = this;
  }
  const uint32_t length = static_cast<uint32_t>(strlen(path_)) + 1;
  const uint32_t wanted = static_cast<uint32_t>(sizeof(limit_)) + length;
  uint32_t size;
  if (g_ring.empty()) g_moved_at = Monotonic();
  char* const payload = g_ring.Reserve(wanted, wanted, true, &size);
  if (payload == nullptr) {
    return Refuse(kUnavailable, "the file system does not answer: open the log", path_);
  }
  memcpy(payload, &limit_, sizeof(limit_));
  memcpy(payload + sizeof(limit_), path_, length);
  ticket_ = ++g_last_ticket;
  g_ring.Publish({.size = wanted,
                  .command = LogCommand::kOpen,
                  .is_stderr = 0,
                  .log = id_,
                  .ticket = ticket_,
                  .value = 0});
  g_writer.WakeWriter();
  return true;
}

bool Log::AwaitOpen() {
  const uint64_t until = Monotonic() + kOpenLimit;
  while (ticket_ != 0) {
    if (g_writer.fd() < 0 || Monotonic() >= until || LogsStuck(false)) {
      ticket_ = 0;
      return Refuse(kUnavailable, "the file system does not answer: open the log", path_);
    }
    pollfd wait = {.fd = g_writer.fd(), .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, kTickMs) > 0) g_writer.Receive();
    if (ticket_ != 0 && g_writer.resting()) (void)poll(nullptr, 0, 1);
    g_writer.WakeWriter();
  }
  return !refused_;
}

char* Log::Reserve(bool last, uint32_t* size) {
  if (!last && !WithinRate()) {
    AwaitLogs();
    return nullptr;
  }
  if (g_writer.fd() >= 0) {
    if (dropped_ > 0 && Put(LogCommand::kDropped, false, dropped_)) dropped_ = 0;
    char* room = g_ring.Reserve(kLeastRead, LogRing::kMostPayload, false, size);
    if (room != nullptr) return room;
  }
  AwaitLogs();
  // It may have made room before it could know that somebody waits.
  return g_writer.fd() < 0 ? nullptr
                           : g_ring.Reserve(kLeastRead, LogRing::kMostPayload, false, size);
}

void Log::Commit(bool is_stderr, uint32_t size) {
  g_allowance -= size < g_allowance ? size : g_allowance;
  if (g_ring.empty()) g_moved_at = Monotonic();
  g_ring.Publish({.size = size,
                  .command = LogCommand::kData,
                  .is_stderr = is_stderr,
                  .log = id_,
                  .ticket = 0,
                  .value = Now()});
  g_writer.WakeWriter();
}

void Log::Drop(uint32_t size) { dropped_ += size; }

void Log::End(bool is_stderr) {
  if (configured()) (void)Put(LogCommand::kEnd, is_stderr, Now());
}

void Log::Sync() {
  if (!configured()) return;
  ticket_ = ++g_last_ticket;
  (void)Put(LogCommand::kSync, false, Now());
}

}  // namespace crisp::shim
