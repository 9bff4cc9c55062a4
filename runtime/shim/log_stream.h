#ifndef CRISP_RUNTIME_SHIM_LOG_STREAM_H_
#define CRISP_RUNTIME_SHIM_LOG_STREAM_H_

#include <stdint.h>

#include "runtime/shim/log_ring.h"
#include "runtime/shim/sys.h"

namespace crisp::shim {

// One container's log, as the shim's loop sees it. The pod's log writer, a process of its own,
// opens, renames and writes the files: nothing here waits for a disk, but for opening, and that not
// for long. While the writer is slow, output waits in the container's pipe; when it has done
// nothing for seconds, output is dropped and counted, and the log says so once it goes on.
class Log {
 public:
  Log() = default;
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log();

  // Asks for the file (see OpenLogFile) to be opened, and waits for the answer: false and g_error
  // when it cannot be, or when the file system does not answer in time. `limit`: the longest line.
  bool BeginOpen(const char* path, uint32_t limit);
  bool AwaitOpen();
  // The same file anew, with its directories when they have gone.
  bool Reopen() { return BeginOpen(nullptr, limit_) && AwaitOpen(); }
  bool configured() const { return path_ != nullptr; }

  // Where output is to be read to, and how much; nullptr: not now. `last`: that of a container
  // which has ended, and waits for no rate.
  char* Reserve(bool last, uint32_t* size);
  void Commit(bool is_stderr, uint32_t size);
  // Output that is not kept.
  void Drop(uint32_t size);
  void End(bool is_stderr);

  // Asks to be told when all that was said is in the file.
  void Sync();
  bool settled() const { return ticket_ == 0; }
  // What the last answer to Sync() said, or that there is none: not everything was written.
  bool truncated() const { return truncated_ || ticket_ != 0 || dropped_ > 0; }

 private:
  friend class LogAnswers;
  friend const char* PathOfLog(uint32_t id, uint32_t* limit);
  bool Put(LogCommand command, bool is_stderr, uint64_t value);

  uint32_t id_ = 0;
  char* path_ = nullptr;
  uint32_t limit_ = 0;
  uint32_t ticket_ = 0;   // of the question that is not answered yet
  bool refused_ = false;  // the last answer to an open, with g_error
  bool truncated_ = false;
  uint64_t dropped_ = 0;  // bytes that the writer has not been told of
  Log* next_ = nullptr;
};

// Starts the writer, if none is there: a child of the shim's parent, in the host's namespaces, with
// no descriptors but its own. It ends, with all written, when the shim has gone. False: g_error.
bool StartLogWriter();

// Bytes per second that all logs together take; 0: no bound.
void SetLogRate(uint64_t rate);

// Whether the writer has done nothing for so long that what was to be written must not be waited
// for; `patient`: not even by output.
bool LogsStuck(bool patient);
// Somebody wants to be called again once there is room, or time has passed.
void AwaitLogs();
// Whether that has come. Called between events; keeps the writer alive and the ring small.
bool LogsMoved();
// Milliseconds after which to look again; -1: nobody waits.
int LogTimeout();

// The other process (log_writer.cc), and what it finds there of a log that was open before it
// began: nullptr when there is none.
[[noreturn]] void RunLogWriter(LogRing* ring, int socket);
const char* PathOfLog(uint32_t id, uint32_t* limit);

// What it answers.
struct LogAnswer {
  uint32_t log, ticket;
  bool good, truncated;
  Error error;
};

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_LOG_STREAM_H_
