#include "runtime/shim/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/shim/sys.h"

namespace crisp::shim {
namespace {

constexpr int kPrefixSize = 48;
// One batch for all containers: everything is flushed before another container's turn.
constexpr int kVectors = 4;
char g_prefixes[32][kPrefixSize];
iovec g_vectors[32 * kVectors];
int g_records = 0;
uint64_t g_bytes = 0;
uint64_t g_last_stamp = 0;

void Digits(char* at, uint32_t value, int width) {
  for (int i = width - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

// "2006-01-02T15:04:05.123456789Z stdout F ", strictly increasing so that readers which order or
// deduplicate by time keep every line.
uint32_t WritePrefix(char* out, uint64_t stamp, bool is_stderr, bool partial) {
  if (stamp <= g_last_stamp && g_last_stamp - stamp < 1000000000u) stamp = g_last_stamp + 1;
  g_last_stamp = stamp;
  const time_t seconds = static_cast<time_t>(stamp / 1000000000u);
  static time_t cached_seconds = -1;
  static char cached[20];
  if (seconds != cached_seconds) {
    tm parts;
    gmtime_r(&seconds, &parts);
    memcpy(cached, "0000-00-00T00:00:00.", 20);
    Digits(cached, static_cast<uint32_t>(parts.tm_year + 1900), 4);
    Digits(cached + 5, static_cast<uint32_t>(parts.tm_mon + 1), 2);
    Digits(cached + 8, static_cast<uint32_t>(parts.tm_mday), 2);
    Digits(cached + 11, static_cast<uint32_t>(parts.tm_hour), 2);
    Digits(cached + 14, static_cast<uint32_t>(parts.tm_min), 2);
    Digits(cached + 17, static_cast<uint32_t>(parts.tm_sec), 2);
    cached_seconds = seconds;
  }
  memcpy(out, cached, 20);
  Digits(out + 20, static_cast<uint32_t>(stamp % 1000000000u), 9);
  memcpy(out + 29, is_stderr ? "Z stderr " : "Z stdout ", 9);
  out[38] = partial ? 'P' : 'F';
  out[39] = ' ';
  return 40;
}

}  // namespace

LogFile::~LogFile() {
  if (fd_ >= 0) close(fd_);
}

bool LogFile::Open(const char* path) {
  const int fd = OpenLogFile(path);
  if (fd < 0) return false;
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
  torn_ = false;
  return true;
}

void LogFile::Add(
    bool is_stderr, bool partial, const char* a, uint32_t a_size, const char* b, uint32_t b_size) {
  if (fd_ < 0) return;
  if (g_records == kBatch) Flush();
  char* prefix = g_prefixes[g_records];
  const uint32_t prefix_size = WritePrefix(prefix, stamp_, is_stderr, partial);
  iovec* vector = g_vectors + g_records * kVectors;
  vector[0] = {.iov_base = prefix, .iov_len = prefix_size};
  vector[1] = {.iov_base = const_cast<char*>(a), .iov_len = a_size};
  vector[2] = {.iov_base = const_cast<char*>(b), .iov_len = b_size};
  vector[3] = {.iov_base = const_cast<char*>("\n"), .iov_len = 1};
  ++g_records;
  g_bytes += uint64_t{prefix_size} + a_size + b_size + 1;
}

void LogFile::Flush() {
  if (g_records == 0) return;
  const int count = g_records * kVectors;
  const uint64_t bytes = g_bytes;
  g_records = 0;
  g_bytes = 0;
  if (dropped_ > 0) {
    char prefix[kPrefixSize];
    const uint32_t prefix_size = WritePrefix(prefix, stamp_, true, false);
    Text<160> note;
    if (torn_) note.Add("\n");
    note.Add(prefix, prefix_size).Add("crisp: ");
    note.AddNumber(static_cast<int64_t>(dropped_)).Add(" bytes of log dropped\n");
    if (write(fd_, note.data, note.size) != static_cast<ssize_t>(note.size)) {
      // A part of it may be there now, or not: begin anew either way.
      torn_ = true;
      dropped_ += bytes;
      return;
    }
    torn_ = false;
    dropped_ = 0;
  }
  WriteAll(g_vectors, count, bytes);
}

void LogFile::WriteAll(iovec* vectors, int count, uint64_t bytes) {
  while (bytes > 0) {
    const ssize_t n = writev(fd_, vectors, count);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      dropped_ += bytes;
      return;
    }
    uint64_t done = static_cast<uint64_t>(n);
    bytes -= done;
    while (count > 0 && done >= vectors->iov_len) {
      done -= vectors->iov_len;
      ++vectors;
      --count;
    }
    if (count == 0) break;
    vectors->iov_base = static_cast<char*>(vectors->iov_base) + done;
    vectors->iov_len -= done;
    torn_ = true;  // until the rest has followed
  }
  torn_ = false;
}

LineSplitter::~LineSplitter() { free(held_); }

void LineSplitter::SetLimit(uint32_t limit) {
  constexpr uint32_t kMost = 1u << 20;
  limit_ = limit == 0 ? 16384 : (limit > kMost ? kMost : limit);
}

// `data` follows what is held. Emits full P records and, when the line is complete, the F record.
void LineSplitter::Line(
    LogFile* log, bool is_stderr, const char* data, uint32_t size, bool complete) {
  while (held_size_ + size > limit_) {
    const uint32_t take = limit_ - held_size_;
    log->Add(is_stderr, true, held_, held_size_, data, take);
    // The batch points into held_, which is about to be filled anew only below, after the flush.
    held_size_ = 0;
    data += take;
    size -= take;
  }
  if (!complete) {
    if (size == 0) return;
    log->Flush();
    if (held_ == nullptr) held_ = static_cast<char*>(Allocate(limit_));
    if (held_ == nullptr) {  // the rest of the line will be a record of its own
      log->Add(is_stderr, true, data, size, nullptr, 0);
      log->Flush();
      return;
    }
    memcpy(held_ + held_size_, data, size);
    held_size_ += size;
    return;
  }
  uint32_t held = held_size_;
  held_size_ = 0;
  if (size > 0) {
    if (data[size - 1] == '\r') --size;
  } else if (held > 0 && held_[held - 1] == '\r') {
    --held;
  }
  log->Add(is_stderr, false, held_, held, data, size);
}

void LineSplitter::Feed(LogFile* log, bool is_stderr, const char* data, uint32_t size) {
  while (size > 0) {
    const char* end = static_cast<const char*>(memchr(data, '\n', size));
    const uint32_t length = end != nullptr ? static_cast<uint32_t>(end - data) : size;
    Line(log, is_stderr, data, length, end != nullptr);
    const uint32_t consumed = length + (end != nullptr ? 1 : 0);
    data += consumed;
    size -= consumed;
  }
  log->Flush();
  if (held_size_ == 0) {
    free(held_);
    held_ = nullptr;
  }
}

void LineSplitter::Finish(LogFile* log, bool is_stderr) {
  if (held_size_ > 0) {
    log->Add(is_stderr, true, held_, held_size_, nullptr, 0);
    log->Flush();
  }
  held_size_ = 0;
  free(held_);
  held_ = nullptr;
}

}  // namespace crisp::shim
