#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "runtime/shim/log.h"
#include "runtime/shim/log_ring.h"
#include "runtime/shim/log_stream.h"
#include "runtime/shim/pod.h"

// The log writer's side: everything here may wait for a disk, for ever.

namespace crisp::shim {
namespace {

struct OpenLog : Fallible {
  uint32_t id = 0;
  LogFile file;
  LineSplitter lines[2];  // stdout, stderr
  OpenLog* next = nullptr;
};

class Writer {
 public:
  Writer(LogRing* ring, int socket) : ring_(ring), socket_(socket) {}
  [[noreturn]] void Run();

 private:
  OpenLog* Find(uint32_t id);
  OpenLog* Add(uint32_t id);
  void Open(const LogRecord& record);
  void Close(uint32_t id);
  void Do(const LogRecord& record);
  void Answer(const LogRecord& record, bool good, bool truncated);

  LogRing* const ring_;
  const int socket_;
  OpenLog* logs_ = nullptr;
};

// nullptr and g_error.
OpenLog* Writer::Add(uint32_t id) {
  OpenLog* log = new OpenLog;
  if (log == nullptr) return nullptr;
  log->id = id;
  log->next = logs_;
  logs_ = log;
  return log;
}

// One that an earlier writer had open is opened again: this one's memory is a copy of the shim's.
OpenLog* Writer::Find(uint32_t id) {
  for (OpenLog* log = logs_; log != nullptr; log = log->next) {
    if (log->id == id) return log;
  }
  OpenLog* const log = Add(id);
  if (log == nullptr) _exit(1);  // the next one does what is in the ring
  uint32_t limit = 0;
  const char* const path = PathOfLog(id, &limit);
  for (LineSplitter& lines : log->lines) lines.SetLimit(limit);
  if (path != nullptr) (void)log->file.Open(path);
  return log;
}

void Writer::Open(const LogRecord& record) {
  OpenLog* log = logs_;
  while (log != nullptr && log->id != record.log) log = log->next;
  if (log == nullptr) log = Add(record.log);
  if (log == nullptr) {
    Answer(record, false, false);
    return;
  }
  uint32_t limit;
  memcpy(&limit, ring_->payload(), sizeof(limit));
  for (LineSplitter& lines : log->lines) lines.SetLimit(limit);
  const bool good = log->file.Open(ring_->payload() + sizeof(limit));
  Answer(record, good, false);
}

void Writer::Close(uint32_t id) {
  for (OpenLog** link = &logs_; *link != nullptr; link = &(*link)->next) {
    OpenLog* log = *link;
    if (log->id != id) continue;
    *link = log->next;
    delete log;
    return;
  }
}

void Writer::Answer(const LogRecord& record, bool good, bool truncated) {
  static LogAnswer answer;
  answer = {.log = record.log,
            .ticket = record.ticket,
            .good = good,
            .truncated = truncated,
            .error = g_error};
  while (send(socket_, &answer, sizeof(answer), MSG_NOSIGNAL) < 0 && IsShortage(errno)) {
    const timespec millisecond = {.tv_sec = 0, .tv_nsec = 1000000};
    nanosleep(&millisecond, nullptr);
  }
}

void Writer::Do(const LogRecord& record) {
  switch (record.command) {
    case LogCommand::kOpen:
      Open(record);
      return;
    case LogCommand::kClose:
      Close(record.log);
      return;
    case LogCommand::kPad:
      return;
    default:
      break;
  }
  OpenLog* log = Find(record.log);
  log->file.SetTime(record.value);
  LineSplitter& lines = log->lines[record.is_stderr];
  switch (record.command) {
    case LogCommand::kData:
      lines.Feed(&log->file, record.is_stderr != 0, ring_->payload(), record.size);
      break;
    case LogCommand::kEnd:
      lines.Finish(&log->file, record.is_stderr != 0);
      break;
    case LogCommand::kDropped:
    case LogCommand::kSync:
      // The next output on either stream does not continue an unfinished line.
      if (record.command == LogCommand::kDropped) log->file.SetTime(Now());
      for (int i = 0; i < 2; ++i) log->lines[i].Finish(&log->file, i == 1);
      if (record.command == LogCommand::kDropped) {
        log->file.Drop(record.value);
      } else {
        Answer(record, true, log->file.dropping());
      }
      break;
    default:
      break;
  }
}

void Writer::Run() {
  while (true) {
    while (const LogRecord* record = ring_->Front()) {
      Do(*record);
      ring_->Pop();
      if (ring_->pending() <= LogRing::kSize / 2 && ring_->TakePuttersWish()) {
        (void)send(socket_, "", 1, MSG_NOSIGNAL);
      }
    }
    ring_->TakerSleeps();
    if (ring_->Front() != nullptr) continue;
    char wake;
    const ssize_t n = recv(socket_, &wake, 1, 0);
    // The shim has gone, and nothing can have been put since it was seen to be empty but before
    // that.
    if (n == 0 || (n < 0 && errno != EINTR)) {
      if (ring_->Front() == nullptr) _exit(0);
    }
  }
}

// Out of the pod's namespaces and the shim's mounts, so that a writer which never comes back from a
// disk keeps nothing of the pod.
bool Leave(int socket) {
  const struct {
    int fd, type;
  } homes[] = {{g_pod.host_mnt.get(), CLONE_NEWNS},
               {g_pod.host_net.get(), CLONE_NEWNET},
               {g_pod.host_ipc.get(), CLONE_NEWIPC},
               {g_pod.host_uts.get(), CLONE_NEWUTS}};
  for (const auto& home : homes) {
    if (home.fd >= 0 && SysSetns(home.fd, home.type) != 0) return false;
  }
  return (socket == 0 || SysCloseRange(0, static_cast<unsigned>(socket) - 1, 0) == 0) &&
         SysCloseRange(static_cast<unsigned>(socket) + 1, ~0u, 0) == 0;
}

}  // namespace

void RunLogWriter(LogRing* ring, int socket) {
  prctl(PR_SET_NAME, "crisp-log");
  if (!Leave(socket)) _exit(1);
  Writer(ring, socket).Run();
}

}  // namespace crisp::shim
