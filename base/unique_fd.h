#ifndef CRISP_BASE_UNIQUE_FD_H_
#define CRISP_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace crisp {

// Owns one file descriptor and closes it. Move-only; moving onto an open one closes that first.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  // Gives the descriptor up without closing it.
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) (void)::close(fd_);  // nothing to be done about a close error
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace crisp

#endif  // CRISP_BASE_UNIQUE_FD_H_
