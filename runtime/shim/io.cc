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
char g_read_buffer[kReadSize];

void MakeNonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

}  // namespace

int Output::ReadOnce() {
  ssize_t n;
  do {
    n = read(fd(), g_read_buffer, kReadSize);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    io_->Deliver(g_read_buffer, static_cast<uint32_t>(n), is_stderr_);
    return static_cast<int>(n);
  }
  if (n < 0 && errno == EAGAIN) return -1;
  // End of file; a terminal whose last user has gone says EIO.
  lines.Finish(&io_->log, is_stderr_);
  Close();
  return 0;
}

void Output::Ready(uint32_t) {
  Io* io = io_;
  if (ReadOnce() == 0) io->Sweep();
}

void Input::Write(const char* data, uint32_t size) {
  if (fd() < 0) return;
  if (buffer_ == nullptr) buffer_ = static_cast<char*>(Allocate(kInputChunk));
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
    if (n < 0 && errno == EAGAIN) {
      Want(EPOLLOUT);
      return;
    }
    if (n <= 0) {  // nobody reads any more
      pending_ = 0;
      close_ = true;
      break;
    }
    begin_ += static_cast<uint32_t>(n);
    pending_ -= static_cast<uint32_t>(n);
  }
  Want(0);
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

Copy::~Copy() { free(buffer_); }

bool Copy::full() const { return pending_ >= kRelayBuffer; }

void Copy::Drop() {
  Close();
  pending_ = 0;
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
  if (pending_ + size > kAttachBuffer) {
    overrun_ = true;
    return;
  }
  if (begin_ + pending_ + size > capacity_) {
    if (begin_ > 0) memmove(buffer_, buffer_ + begin_, pending_);
    begin_ = 0;
    while (pending_ + size > capacity_) capacity_ = capacity_ == 0 ? 8192 : capacity_ * 2;
    buffer_ = static_cast<char*>(realloc(buffer_, capacity_));
    if (buffer_ == nullptr) abort();
  }
  memcpy(buffer_ + begin_ + pending_, data, size);
  pending_ += size;
  Want(EPOLLIN | EPOLLOUT);
}

void Copy::Flush() {
  while (pending_ > 0) {
    const ssize_t n = write(fd(), buffer_ + begin_, pending_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      pending_ = 0;
      Close();
      return;
    }
    begin_ += static_cast<uint32_t>(n);
    pending_ -= static_cast<uint32_t>(n);
  }
  free(buffer_);
  buffer_ = nullptr;
  begin_ = capacity_ = 0;
}

void Copy::Ready(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLOUT) == 0) {
    Close();
    pending_ = 0;
  } else if ((events & EPOLLOUT) != 0) {
    Flush();
    // From now on only for the other side's hang-up, which comes unasked.
    if (pending_ == 0 && fd() >= 0) Want(EPOLLRDHUP);
  } else if ((events & EPOLLRDHUP) != 0) {
    Want(EPOLLERR);  // a socket half closed by its reader side still takes our output
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

void Io::Start() {
  Output* outputs[] = {&out, &err};
  for (Output* output : outputs) {
    if (output->fd() < 0) continue;
    MakeNonblocking(output->fd());
    output->Want(EPOLLIN);
  }
  if (in.fd() >= 0) MakeNonblocking(in.fd());
  if (relay_stdin >= 0 || relay_stdout >= 0) {
    Attach(relay_stdin, relay_stdout, -1);
    relay_stdin = relay_stdout = -1;
  }
}

void Io::Attach(int stdin_fd, int stdout_fd, int stderr_fd) {
  Attachment* attachment = new Attachment(this);
  attachment->next = attachments_;
  attachments_ = attachment;
  const int outputs[] = {stdout_fd, stderr_fd};
  Copy* const copies[] = {&attachment->out, &attachment->err};
  for (int i = 0; i < 2; ++i) {
    if (outputs[i] < 0) continue;
    MakeNonblocking(outputs[i]);
    copies[i]->Adopt(outputs[i]);
    copies[i]->Want(EPOLLRDHUP);
  }
  if (stdin_fd >= 0) {
    MakeNonblocking(stdin_fd);
    attachment->in.Adopt(stdin_fd);
    if (in.fd() < 0) attachment->in.Close();
  }
  Balance();
  Sweep();
}

void Io::Deliver(const char* data, uint32_t size, bool is_stderr) {
  Output& output = is_stderr ? err : out;
  output.lines.Feed(&log, is_stderr, data, size);
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
  if (!lossless) return;
  if (out.fd() >= 0) out.Want(full ? 0u : uint32_t{EPOLLIN});
}

void Io::InputEnded() {
  if (stdin_once && !terminal) in.CloseWhenDone();
  Balance();
}

void Io::Sweep() {
  Attachment** link = &attachments_;
  while (*link != nullptr) {
    Attachment* attachment = *link;
    // Whoever has lost both outputs has gone; without outputs the input alone keeps it.
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

void Io::Drain() {
  Output* outputs[] = {&out, &err};
  for (Output* output : outputs) {
    // A pipe holds at most a megabyte; more means that somebody goes on writing.
    for (int reads = 0; output->fd() >= 0 && reads < 64; ++reads) {
      if (output->ReadOnce() <= 0) break;
    }
  }
  in.Close();
  if (terminal && out.fd() >= 0) {  // children in the background keep the slave: no more logging
    out.lines.Finish(&log, false);
    out.Close();
  }
  Sweep();
}

}  // namespace crisp::shim
