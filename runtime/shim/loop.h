#ifndef CRISP_RUNTIME_SHIM_LOOP_H_
#define CRISP_RUNTIME_SHIM_LOOP_H_

#include <stdint.h>

namespace crisp::shim {

// One descriptor in the shim's epoll set. Exactly one event is fetched per wait, so a handler may
// delete any Watch, its own included.
class Watch {
 public:
  Watch() = default;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  virtual ~Watch() { Close(); }

  // Takes the descriptor. The loop does not wait for it until Want().
  void Adopt(int fd);
  // Waits for EPOLLIN | EPOLLOUT, or 0 for none. False, with errno, if the kernel has no room for
  // it, or if the descriptor cannot be polled (EPERM, a regular file), which is then always ready.
  [[nodiscard]] bool Want(uint32_t events);
  // Is not ready for some milliseconds: the kernel had no room for what there was to do, which is
  // still there, and to be told so without end would help nobody.
  void Rest();
  void Close();
  // Gives the descriptor up, open, to its other owner.
  void Release();
  int fd() const { return fd_; }
  uint32_t wanted() const { return wanted_; }
  bool resting() const { return resting_; }

  virtual void Ready(uint32_t events) = 0;

 private:
  friend void WakeRested();
  int fd_ = -1;
  uint32_t wanted_ = 0;
  bool resting_ = false;
  Watch* next_resting_ = nullptr;
};

// StartLoop() makes the epoll set. RunLoop() waits for one event at most timeout_ms (-1 for ever)
// and handles it.
bool StartLoop();
void RunOnce(int timeout_ms);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_LOOP_H_
