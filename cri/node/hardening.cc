#include "cri/node/hardening.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/status.h"

namespace crisp::cri {
namespace {

constexpr int kNeedless[] = {CAP_SYS_MODULE,      CAP_SYS_BOOT,          CAP_SYS_TIME,
                             CAP_SYS_RAWIO,       CAP_SYS_PACCT,         CAP_SYS_TTY_CONFIG,
                             CAP_SYSLOG,  // not SYS_NICE: shims are moved between v1 cpusets
                             CAP_AUDIT_WRITE,     CAP_AUDIT_CONTROL,     CAP_AUDIT_READ,
                             CAP_MAC_ADMIN,       CAP_MAC_OVERRIDE,      CAP_NET_BROADCAST,
                             CAP_IPC_LOCK,        CAP_IPC_OWNER,         CAP_LEASE,
                             CAP_LINUX_IMMUTABLE, CAP_WAKE_ALARM,        CAP_BLOCK_SUSPEND,
                             CAP_PERFMON,         CAP_CHECKPOINT_RESTORE};

struct Capabilities {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};

  bool Holds(int capability) const {
    return (data[capability / 32].permitted >> (capability % 32) & 1) != 0;
  }
};

absl::Status DropNeedless(Capabilities& capabilities) {
  const uint64_t needless = NeedlessCapabilities();
  for (int half = 0; half < 2; ++half) {
    const auto drop = static_cast<uint32_t>(needless >> (32 * half));
    capabilities.data[half].permitted &= ~drop;
    capabilities.data[half].effective &= ~drop;
  }
  if (syscall(SYS_capset, &capabilities.header, capabilities.data) == 0) return absl::OkStatus();
  return ErrnoError(errno, "give capabilities up");
}

}  // namespace

uint64_t NeedlessCapabilities() {
  uint64_t mask = 0;
  for (const int capability : kNeedless) mask |= uint64_t{1} << capability;
  return mask;
}

absl::Status HardenProcess() {
  Capabilities capabilities;
  if (syscall(SYS_capget, &capabilities.header, capabilities.data) != 0) {
    return ErrnoError(errno, "read capabilities");
  }
  // CNI plugins open one of our descriptors by its path. Without CAP_SYS_PTRACE they cannot do that
  // if the process does not dump core, so the daemon then stays an ordinary process.
  absl::Status status;
  if (!capabilities.Holds(CAP_SYS_PTRACE)) {
    status = absl::FailedPreconditionError("core dumps stay: CAP_SYS_PTRACE is missing");
  } else if (prctl(PR_SET_DUMPABLE, 0) != 0) {
    status = ErrnoError(errno, "forbid core dumps");
  }
  // Root's programs would not have them again.
  if (geteuid() != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0) return status;
  status.Update(DropNeedless(capabilities));
  return status;
}

}  // namespace crisp::cri
