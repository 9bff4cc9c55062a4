#ifndef CRISP_RUNTIME_WIRE_PLAN_ENUMS_H_
#define CRISP_RUNTIME_WIRE_PLAN_ENUMS_H_

#include <stdint.h>

namespace crisp::runtime {

// The choices in a launch plan, shared by the daemon and the shim program (which knows no Abseil).

enum class MountKind : uint8_t {
  kBind,     // clone of a host path
  kFs,       // fsopen(type) with options
  kOverlay,  // read-only overlay of `lowers` (image volume)
  kDev,      // the /dev tmpfs: filled with `devices` and the usual symlinks
};

enum class Propagation : uint8_t { kPrivate, kSlave, kShared };

enum class NamespaceMode : uint8_t {
  kPod,      // the pod's shared one
  kPrivate,  // the container's own
  kHost,
  kTarget,  // PID only: of the process target_pid
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_WIRE_PLAN_ENUMS_H_
