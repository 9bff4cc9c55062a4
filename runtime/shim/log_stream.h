#ifndef CRISP_RUNTIME_SHIM_LOG_STREAM_H_
#define CRISP_RUNTIME_SHIM_LOG_STREAM_H_

#include <stdint.h>

#include "runtime/shim/log_ring.h"
#include "runtime/shim/sys.h"

namespace crisp::shim {

// One container's log, as the shim's loop sees it. The pod's log writer, a process of its own,
// opens, renames and writes the files. Nothing here waits for a disk, except opening, and that not
// for long. While the writer is slow, output waits in the container's pipe. When it has done
// nothing for seconds, output is dropped and counted, and the log says so once it goes on.
class Log {
 public:
  Log() = default;
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log();

  // Asks for the file to be opened (see OpenLogFile). AwaitOpen() waits for the answer: false, with
  // g_error, if it cannot be opened or the file system does not answer in time. `limit` is the
  // longest line.
  bool BeginOpen(const char* path, uint32_t limit);
  bool AwaitOpen();
  // Opens the same file anew, with its directories if they have gone.
  bool Reopen() { return BeginOpen(nullptr, limit_) && AwaitOpen(); }
  bool configured() const { return path_ != nullptr; }

  // The place and the room for output that is to be read; nullptr for not now. With `last` it is
  // that of a container which has ended, and waits for no rate.
  char* Reserve(bool last, uint32_t* size);
  void Commit(bool is_stderr, uint32_t size);
  // Counts output that is not kept.
  void Drop(uint32_t size);
  void End(bool is_stderr);

  // Asks to be told when all output is in the file.
  void Sync();
  bool settled() const { return ticket_ == 0; }
  // True if not everything was written, by the last answer to Sync(), or because there is no
  // answer.
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

// Starts the writer, if there is none: a child of the shim's parent, in the host's namespaces, with
// no descriptors but its own. It ends, with everything written, when the shim has gone. False with
// g_error.
bool StartLogWriter();

// Bytes per second that all logs together take; 0 for no bound.
void SetLogRate(uint64_t rate);

// True if the writer has done nothing for so long that nobody must wait for it any more; with
// `patient` not even output.
bool LogsStuck(bool patient);
// Asks for a call once there is room, or time has passed.
void AwaitLogs();
// True if that has come. Called between events. Keeps the writer alive and the ring small.
bool LogsMoved();
// Milliseconds after which to look again; -1 if nobody waits.
int LogTimeout();

// The other process (log_writer.cc). `ring` has a log that was open before it began; nullptr if
// there is none.
[[noreturn]] void RunLogWriter(LogRing* ring, int socket);
const char* PathOfLog(uint32_t id, uint32_t* limit);

// Its answer.
struct LogAnswer {
  uint32_t log, ticket;
  bool good, truncated;
  Error error;
};

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_LOG_STREAM_H_
