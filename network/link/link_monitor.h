#ifndef CRISP_NETWORK_LINK_LINK_MONITOR_H_
#define CRISP_NETWORK_LINK_LINK_MONITOR_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/thread.h"
#include "base/unique_fd.h"

namespace crisp::network {

// A thread that hears of every link that the kernel deletes in the namespace it was started in.
class LinkMonitor {
 public:
  struct Callbacks {
    // A link is gone. On the monitor's thread.
    std::function<void(const std::string& name)> on_gone;
    // Called when the receiver should look for itself: at the start, after lost events, after
    // Wake(), and once each `period`.
    std::function<void()> sweep;
  };
  static absl::StatusOr<std::unique_ptr<LinkMonitor>> Start(Callbacks callbacks,
                                                            absl::Duration period);
  // Ends the thread; waits for a callback that is running.
  ~LinkMonitor();
  LinkMonitor(const LinkMonitor&) = delete;
  LinkMonitor& operator=(const LinkMonitor&) = delete;

  // Asks for a sweep soon. Thread-safe, never blocks.
  void Wake();

 private:
  LinkMonitor(Callbacks callbacks, absl::Duration period, UniqueFd events, UniqueFd wake)
      : callbacks_(std::move(callbacks)),
        period_(period),
        events_(std::move(events)),
        wake_(std::move(wake)) {}
  void Run();
  // False if events were lost.
  bool ReadEvents();

  Callbacks callbacks_;
  absl::Duration period_;
  UniqueFd events_;
  UniqueFd wake_;  // eventfd
  std::atomic<bool> stop_ = false;
  Thread thread_;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_LINK_LINK_MONITOR_H_
