#include "runtime/shim/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "runtime/shim/sys.h"

namespace crisp::shim {
namespace {

constexpr uint32_t kReadSize = 64u << 10;
constexpr uint32_t kAttachBuffer = 4u << 20, kRelayBuffer = 64u << 10;
// The memory of the node that all attachers of one pod may keep together.
constexpr uint32_t kAttachBudget = 16u << 20;
char g_read_buffer[kReadSize];

Copy* g_lagging = nullptr;
uint32_t g_lag_bytes = 0;  // their buffers
bool g_cut_readers = false;

void MakeNonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

}  // namespace

int Output::ReadOnce(bool last) {
  char* to = g_read_buffer;
  uint32_t size = kReadSize;
  const bool logged = io_->log.configured();
  char* const room = logged ? io_->log.Reserve(last, &size) : nullptr;
  if (room != nullptr) {
    to = room;
  } else if (logged) {
    if (!LogsStuck(true)) return kNoRoom;
    size = kReadSize;
  }
  ssize_t n;
  do {
    n = read(fd(), to, size);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    const uint32_t count = static_cast<uint32_t>(n);
    if (room != nullptr) {
      io_->log.Commit(is_stderr_, count);
    } else if (logged) {
      io_->log.Drop(count);
    }
    io_->Deliver(to, count, is_stderr_);
    return static_cast<int>(n);
  }
  if (n < 0 && errno == EAGAIN) return kNothingThere;
  // End of file; a terminal whose last user has gone says EIO.
  io_->log.End(is_stderr_);
  Close();
  return 0;
}

void Output::Ready(uint32_t) {
  Io* io = io_;
  switch (ReadOnce(false)) {
    case 0:
      io->Sweep();
      break;
    case kNoRoom:
      io->Pause();
      break;
    default:
      break;
  }
}

void Input::Write(const char* data, uint32_t size) {
  if (fd() < 0) return;
  if (buffer_ == nullptr) buffer_ = static_cast<char*>(malloc(kInputChunk));
  if (buffer_ == nullptr) {  // no memory for what is typed: it is lost, and its end is seen
    CloseWhenDone();
    return;
  }
  if (size > kInputChunk) size = kInputChunk;
  memcpy(buffer_, data, size);
  begin_ = 0;
  pending_ = size;
  Flush();
}

void Input::Flush() {
  while (pending_ > 0) {
    const ssize_t n = write(fd(), buffer_ + begin_, pending_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN && Want(EPOLLOUT)) return;
    if (n <= 0) {  // nobody reads any more, or it would never be known that somebody does
      pending_ = 0;
      close_ = true;
      break;
    }
    begin_ += static_cast<uint32_t>(n);
    pending_ -= static_cast<uint32_t>(n);
  }
  (void)Want(0);
  free(buffer_);
  buffer_ = nullptr;
  if (close_) Close();
}

void Input::Ready(uint32_t) {
  Flush();
  if (!busy()) io_->Balance();
}

void Input::CloseWhenDone() {
  close_ = true;
  if (!busy()) Close();
}

Copy::~Copy() { Free(); }

bool Copy::full() const { return pending_ >= kRelayBuffer; }

void Copy::Free() {
  for (Copy** link = &g_lagging; *link != nullptr; link = &(*link)->next_) {
    if (*link != this) continue;
    *link = next_;
    break;
  }
  g_lag_bytes -= capacity_;
  free(buffer_);
  buffer_ = nullptr;
  begin_ = pending_ = capacity_ = 0;
}

void Copy::Drop() {
  Close();
  Free();
}

// A buffer for that much behind what is pending. False when this reader is the one to be cut off.
bool Copy::MakeRoom(uint32_t size) {
  if (pending_ + size > kAttachBuffer) return false;
  if (begin_ + pending_ + size <= capacity_) return true;
  if (begin_ > 0) memmove(buffer_, buffer_ + begin_, pending_);
  begin_ = 0;
  uint32_t capacity = capacity_ == 0 ? 8192 : capacity_;
  while (pending_ + size > capacity) capacity *= 2;
  while (g_lag_bytes - capacity_ + capacity > kAttachBudget) {
    Copy* slowest = this;
    for (Copy* copy = g_lagging; copy != nullptr; copy = copy->next_) {
      if (copy->pending_ > slowest->pending_ && !copy->io_->lossless) slowest = copy;
    }
    if (slowest == this) return false;
    slowest->overrun_ = g_cut_readers = true;
    slowest->Drop();
  }
  char* const grown = static_cast<char*>(realloc(buffer_, capacity));
  if (grown == nullptr) return false;
  if (buffer_ == nullptr) {
    next_ = g_lagging;
    g_lagging = this;
  }
  g_lag_bytes += capacity - capacity_;
  buffer_ = grown;
  capacity_ = capacity;
  return true;
}

bool TakeCutReaders() {
  const bool cut = g_cut_readers;
  g_cut_readers = false;
  return cut;
}

void Copy::Write(const char* data, uint32_t size) {
  if (fd() < 0) return;
  if (pending_ == 0) {
    ssize_t n;
    do {
      n = write(fd(), data, size);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
      Close();
      return;
    }
    if (n > 0) {
      data += n;
      size -= static_cast<uint32_t>(n);
    }
    begin_ = 0;
  }
  if (size == 0) return;
  if (!MakeRoom(size)) {
    overrun_ = true;
    return;
  }
  memcpy(buffer_ + begin_ + pending_, data, size);
  pending_ += size;
  if (!Want(EPOLLIN | EPOLLOUT)) overrun_ = true;
}

void Copy::Flush() {
  while (pending_ > 0) {
    const ssize_t n = write(fd(), buffer_ + begin_, pending_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      Drop();
      return;
    }
    begin_ += static_cast<uint32_t>(n);
    pending_ -= static_cast<uint32_t>(n);
  }
  Free();
}

void Copy::Ready(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLOUT) == 0) {
    Drop();
  } else if ((events & EPOLLOUT) != 0) {
    Flush();
    // From now on only for the other side's hang-up, which comes unasked.
    if (pending_ == 0 && fd() >= 0 && !Want(EPOLLRDHUP)) Drop();
  } else if ((events & EPOLLRDHUP) != 0) {
    // A socket half closed by its reader side still takes our output.
    if (!Want(EPOLLERR)) Drop();
  }
  Io* io = io_;
  io->Balance();
  io->Sweep();
}

void Attachment::Cut() {
  in.Close();
  out.Drop();
  err.Drop();
}

void AttachedInput::Ready(uint32_t) {
  char chunk[kInputChunk];
  const ssize_t n = read(fd(), chunk, sizeof(chunk));
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  Io* io = io_;
  if (n <= 0) {
    Close();
    io->InputEnded();
    io->Sweep();
    return;
  }
  io->in.Write(chunk, static_cast<uint32_t>(n));
  if (io->in.busy()) io->Balance();
}

Io::~Io() {
  const int fds[] = {relay_stdin, relay_stdout};
  for (const int fd : fds) {
    if (fd >= 0) close(fd);
  }
  while (attachments_ != nullptr) {
    Attachment* next = attachments_->next;
    delete attachments_;
    attachments_ = next;
  }
}

bool Io::Watch() {
  Output* outputs[] = {&out, &err};
  for (Output* output : outputs) {
    if (output->fd() < 0) continue;
    MakeNonblocking(output->fd());
    if (!output->Want(EPOLLIN)) return Fail("wait for the output");
  }
  reading_ = true;
  if (in.fd() >= 0) MakeNonblocking(in.fd());
  return true;
}

bool Io::Start() {
  if (!Watch()) return false;
  if (relay_stdin < 0 && relay_stdout < 0) return true;
  if (!Attach(relay_stdin, relay_stdout, -1)) return false;
  relay_stdin = relay_stdout = -1;
  return true;
}

bool Io::Attach(int stdin_fd, int stdout_fd, int stderr_fd) {
  Attachment* attachment = new Attachment(this);
  if (attachment == nullptr) return false;
  const int outputs[] = {stdout_fd, stderr_fd};
  Copy* const copies[] = {&attachment->out, &attachment->err};
  for (int i = 0; i < 2; ++i) {
    if (outputs[i] < 0) continue;
    MakeNonblocking(outputs[i]);
    copies[i]->Adopt(outputs[i]);
    // A regular file (EPERM) takes everything at once.
    if (copies[i]->Want(EPOLLRDHUP) || errno == EPERM) continue;
    Fail("wait for the client");
    for (Copy* copy : copies) copy->Release();
    delete attachment;
    return false;
  }
  if (stdin_fd >= 0) {
    MakeNonblocking(stdin_fd);
    attachment->in.Adopt(stdin_fd);
    if (!attachment->in.Want(in.fd() >= 0 && !in.busy() ? uint32_t{EPOLLIN} : 0u) &&
        errno != EPERM) {
      Fail("wait for the client's input");
      for (Copy* copy : copies) copy->Release();
      attachment->in.Release();
      delete attachment;
      return false;
    }
    if (in.fd() < 0) attachment->in.Close();
  }
  attachment->next = attachments_;
  attachments_ = attachment;
  Balance();
  Sweep();
  return true;
}

void Io::Deliver(const char* data, uint32_t size, bool is_stderr) {
  for (Attachment* a = attachments_; a != nullptr; a = a->next) {
    Copy& copy = is_stderr ? a->err : a->out;
    copy.Write(data, size);
    if (copy.overrun()) a->Cut();  // freed by the next Sweep()
  }
  if (lossless) Balance();
}

void Io::Balance() {
  const bool take_input = in.fd() >= 0 && !in.busy();
  bool full = false;
  for (Attachment* a = attachments_; a != nullptr; a = a->next) {
    if (in.fd() < 0) a->in.Close();
    if (a->in.fd() >= 0 && !a->in.Want(take_input ? uint32_t{EPOLLIN} : 0u)) a->in.Close();
    full = full || a->out.full() || a->err.full();
  }
  const bool wait = paused_ || (lossless && full);
  Output* outputs[] = {&out, &err};
  for (Output* output : outputs) {
    if (output->fd() < 0 || !reading_ || output->Want(wait ? 0u : uint32_t{EPOLLIN})) continue;
    paused_ = true;  // the kernel has no room for it now: later
    AwaitLogs();
  }
}

void Io::Pause() {
  paused_ = true;
  Balance();
}

void Io::Resume() {
  if (!paused_) return;
  paused_ = false;
  Balance();
}

void Io::InputEnded() {
  if (stdin_once && !terminal) in.CloseWhenDone();
  Balance();
}

void Io::Sweep() {
  Attachment** link = &attachments_;
  while (*link != nullptr) {
    Attachment* attachment = *link;
    // A reader that has lost both outputs has gone. Without outputs the input alone keeps it.
    if (attachment->out.overrun() || attachment->err.overrun()) attachment->Cut();
    if (out.fd() < 0 && attachment->out.drained()) attachment->out.Close();
    if (err.fd() < 0 && attachment->err.drained()) attachment->err.Close();
    if (finished()) attachment->in.Close();
    if (attachment->ended()) {
      *link = attachment->next;
      delete attachment;
    } else {
      link = &attachment->next;
    }
  }
}

bool Io::Drain(bool last) {
  bool all = true;
  Output* outputs[] = {&out, &err};
  for (Output* output : outputs) {
    // A pipe holds at most a megabyte; more means that somebody goes on writing.
    for (int reads = 0; output->fd() >= 0 && reads < 64; ++reads) {
      const int result = output->ReadOnce(true);
      all = all && result != Output::kNoRoom;
      if (result <= 0) break;
    }
  }
  if (!all && !last) return false;
  in.Close();
  if (terminal && out.fd() >= 0) {  // children in the background keep the slave: no more logging
    log.End(false);
    out.Close();
  }
  Sweep();
  return true;
}

}  // namespace crisp::shim
