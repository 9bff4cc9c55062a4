#ifndef CRISP_RUNTIME_SHIM_IO_H_
#define CRISP_RUNTIME_SHIM_IO_H_

#include <stdint.h>

#include "runtime/shim/log_stream.h"
#include "runtime/shim/loop.h"

namespace crisp::shim {

class Io;

// An output of a container (a pipe's read end or a terminal's master).
class Output : public Watch {
 public:
  Output(Io* io, bool is_stderr) : io_(io), is_stderr_(is_stderr) {}
  void Ready(uint32_t events) override;
  // Reads once. Returns the bytes delivered, 0 at the end (then it is closed), or one of these.
  static constexpr int kNothingThere = -1, kNoRoom = -2;
  int ReadOnce(bool last);

 private:
  Io* io_;
  const bool is_stderr_;
};

// The way into a container: its stdin pipe or (a duplicate of) the terminal's master.
class Input : public Watch {
 public:
  explicit Input(Io* io) : io_(io) {}
  void Ready(uint32_t events) override;
  // Takes all of it. Bytes that do not fit now wait, and busy() is true until they are gone.
  void Write(const char* data, uint32_t size);
  bool busy() const { return pending_ > 0; }
  void CloseWhenDone();

 private:
  void Flush();
  Io* io_;
  char* buffer_ = nullptr;  // of kInputChunk
  uint32_t begin_ = 0, pending_ = 0;
  bool close_ = false;
};

constexpr uint32_t kInputChunk = 4096;

// A copy of a container's output going out. It never waits. Bytes that the reader does not take are
// kept, up to kAttachBuffer, and kAttachBudget for all readers of the pod. A reader of an attach
// that lags further behind, or furthest of all, is cut off. The terminal of an exec waits for its
// reader long before.
class Copy : public Watch {
 public:
  explicit Copy(Io* io) : io_(io) {}
  ~Copy() override;
  void Ready(uint32_t events) override;
  void Write(const char* data, uint32_t size);
  bool full() const;
  bool drained() const { return pending_ == 0; }
  bool overrun() const { return overrun_; }
  void Drop();

 private:
  void Flush();
  void Free();
  bool MakeRoom(uint32_t size);
  Io* io_;
  char* buffer_ = nullptr;
  uint32_t begin_ = 0, pending_ = 0, capacity_ = 0;
  bool overrun_ = false;
  Copy* next_ = nullptr;  // among those with a buffer
};
// True if a reader was cut off by another's output since the last call. Sweep() all then.
bool TakeCutReaders();

class AttachedInput : public Watch {
 public:
  explicit AttachedInput(Io* io) : io_(io) {}
  void Ready(uint32_t events) override;

 private:
  Io* io_;
};

struct Attachment : Fallible {
  explicit Attachment(Io* io) : in(io), out(io), err(io) {}
  bool ended() const { return out.fd() < 0 && err.fd() < 0 && in.fd() < 0; }
  void Cut();  // ends all three at once, because half a session would look like a silent container
  AttachedInput in;
  Copy out, err;
  Attachment* next = nullptr;
};

// The stdio of one container, or of one exec with a terminal. The event loop drains it, writes it
// to the log, and copies it to every reader that is attached.
class Io : public Fallible {
 public:
  Io() : out(this, false), err(this, true), in(this) {}
  ~Io();

  // Waits for output. False, with g_error, if that cannot be.
  bool Watch();
  bool Start();  // the same, and lets the relay of a terminal begin
  // Takes the descriptors (-1 for none). False, with g_error, if it took none.
  bool Attach(int stdin_fd, int stdout_fd, int stderr_fd);
  // Called once the process is gone. Reads the rest and ends the attachments. Later output of other
  // holders of the pipe still reaches the log. False if the log has no room now, unless `last`:
  // call it again.
  bool Drain(bool last);
  // Reads again the output that had to wait for room in the log.
  void Resume();
  bool finished() const { return out.fd() < 0 && err.fd() < 0; }

  void Deliver(const char* data, uint32_t size, bool is_stderr);
  void Sweep();    // frees ended attachments
  void Balance();  // pauses and resumes sources after a change of a buffer
  void Pause();    // until Resume()
  void InputEnded();

  Output out, err;
  Input in;
  Log log;
  bool terminal = false;
  bool stdin_once = false;
  bool lossless = false;  // wait for a slow reader
  // The descriptors to which the terminal of an exec is relayed. Start() attaches them (-1 for
  // none; owned until then).
  int relay_stdin = -1, relay_stdout = -1;
  bool flushed() const { return attachments_ == nullptr; }

 private:
  Attachment* attachments_ = nullptr;
  bool paused_ = false, reading_ = false;
};

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_IO_H_
