#ifndef CRISP_RUNTIME_SHIM_LOG_H_
#define CRISP_RUNTIME_SHIM_LOG_H_

#include <stdint.h>
#include <sys/uio.h>

namespace crisp::shim {

// A container's log file in the CRI format, `<RFC 3339 with nanoseconds, UTC> <stream> <P|F>
// <bytes>\n`, as the log writer sees it: every call may wait for the disk. A failing call never
// stops it. Records that cannot be written are counted and dropped, and the first write that
// succeeds afterwards is preceded by a record that says how many bytes are missing.
class LogFile {
 public:
  LogFile() = default;
  LogFile(const LogFile&) = delete;
  ~LogFile();
  // False, with g_error, if it cannot be opened (see OpenLogFile). An open file is replaced only
  // once the new one is open.
  bool Open(const char* path);
  bool dropping() const { return dropped_ > 0; }
  // Counts bytes for which somebody else had no room.
  void Drop(uint64_t bytes) { dropped_ += bytes; }

  // The time of the output that is added now, in nanoseconds since the epoch.
  void SetTime(uint64_t stamp) { stamp_ = stamp; }
  // Adds one record, made of two pieces. Buffered until Flush() or until the batch is full; the
  // pieces must stay until then.
  void Add(
      bool is_stderr, bool partial, const char* a, uint32_t a_size, const char* b, uint32_t b_size);
  void Flush();

 private:
  static constexpr int kBatch = 32;
  void WriteAll(iovec* vectors, int count, uint64_t bytes);

  int fd_ = -1;
  uint64_t stamp_ = 0;
  uint64_t dropped_ = 0;  // bytes lost since the last good write
  bool torn_ = false;     // the file ends inside a record
};

// Opens a log for appending, mode 0640, in the mount namespace of this process, and makes the
// missing ones of its directories, 0755. The part of the path before a "/./", the directory that
// the kubelet has named, is trusted. Below it no symbolic link is followed and nothing but a
// regular file is opened, whoever put what there. -1 with g_error.
int OpenLogFile(const char* path);

// Cuts a stream into records, across reads.
class LineSplitter {
 public:
  LineSplitter() = default;
  LineSplitter(const LineSplitter&) = delete;
  ~LineSplitter();
  // Lines longer than this are split into P records. 0 and values above 1 MiB are bounded.
  void SetLimit(uint32_t limit);
  // Hands all of `data` to the log and flushes it.
  void Feed(LogFile* log, bool is_stderr, const char* data, uint32_t size);
  // Ends the stream. An unfinished line becomes a P record.
  void Finish(LogFile* log, bool is_stderr);

 private:
  void Line(LogFile* log, bool is_stderr, const char* data, uint32_t size, bool complete);
  uint32_t limit_ = 16384;
  char* held_ = nullptr;  // the beginning of an unfinished line
  uint32_t held_size_ = 0;
};

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_LOG_H_
