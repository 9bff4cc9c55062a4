#ifndef CRISP_RUNTIME_WIRE_WIRE_H_
#define CRISP_RUNTIME_WIRE_WIRE_H_

#include <stdint.h>

#include "runtime/wire/plan_schema.h"

namespace crisp::runtime {

// The messages between daemon, broker and shim. Each is one SOCK_SEQPACKET message: MessageHeader,
// then fields in the notation of plan_schema.h, with file descriptors by SCM_RIGHTS. A message
// whose header or fields do not fit is refused and its descriptors are closed.
//
// A shim outlives its daemon, and the next daemon may be of a later release, or of an earlier one.
// So each says which version of the wire it speaks (the daemon in every message's flags, the shim
// in its greeting), and neither says anything that the other does not read. The versions are:
//   1  the first release: all messages and flags below, except those of later versions. It says no
//      version.
//   2  a daemon says its version in the flags; a greeting ends with the shim's versions.
// A message, a flag or a field that is added takes another version, and an older shim is not asked
// for it (SinceWire). What exists never changes. docs/protocol.md says more.

constexpr uint32_t kWireMagic = 0x48534331;  // "1CSH"
constexpr uint16_t kFirstWireVersion = 1;
constexpr uint16_t kWireVersion = 2;
constexpr uint16_t kHeaderForm = 1;          // MessageHeader::version: of the header alone
constexpr uint32_t kMaxMessage = 64u << 10;  // with the header; a longer plan comes in a memfd
constexpr uint32_t kMaxPlan = 16u << 20;
constexpr int kMaxMessageFds = 250;  // the kernel takes 253

enum class MessageType : uint16_t {
  // To the broker: pod plan. Fds: the control socket of the new shim, which answers there as to
  // kHello. Also to a spare, over its control socket and without descriptors.
  kStartPod = 1,

  // To a shim.
  // → string pod id, i32 pid, u32 HelloFds, and for a daemon that speaks wire 2: u16 wire version,
  // u16 plan version. Fds: those of HelloFds, in the order of the bits.
  kHello,
  kCreate,     // container plan; see kAssemble
  kStart,      // string id → i32 pid, u64 started at; fd: pidfd
  kSignal,     // string id, i32 signal
  kRemove,     // string id
  kReopenLog,  // string id
  kExec,       // exec plan; fds: those of StdioFlags → i32 pid, u64 started at; fd: pidfd
  kKillExec,   // string exec id
  kAttach,     // string id; fds: those of StdioFlags
  kResize,     // string id, string exec id, u16 rows, u16 columns
  // → list of container reports. Fds: as many as fit of the pidfds of those that run, in their
  // order.
  kReport,
  kShutdown,

  // To the broker: the usual pod plan. Fds: the control socket of a new spare. That is a shim that
  // has made the namespaces of some pod, set the plan's sysctls and mounted its shm, and waits
  // there for its plan. It ends with the socket, and answers as to kHello.
  kStartSpare,

  // To a shim, which does not answer: string id. Everything that the plan of kCreate needs exists,
  // the cgroups as well.
  kAssemble,
  // To a shim. Fds: descriptors that it keeps open until it ends.
  kKeep = 40,

  // From a shim.
  kReply = 100,    // u32 canonical status code, i32 errno, string text, then the answer
  kContainerExit,  // string id, exit record
  kExecExit,       // string exec id, exit record
  // A spare's namespaces are made. Fds: its network namespace, a NETLINK_ROUTE socket inside.
  kSpareReady,
};
// exit record = i32 exit code, i32 signal, u64 nanoseconds since the epoch, bool log truncated
// container report = string id, u16 ContainerReport::State, i32 pid, u64 started at, exit record

enum MessageFlags : uint32_t {
  kPlanInMemfd = 1,  // the payload is in the first fd, a sealed memfd
  kStdinFd = 1 << 8,
  kStdoutFd = 1 << 9,
  kStderrFd = 1 << 10,
  kRootFd = 1 << 11,    // kCreate: the mounted overlay, by a detached mount
  kLayerFds = 1 << 12,  // kCreate: all others are layers, "fd:<n>" in the plan from 0 on
};
// The upper half of a daemon's flags: the version of the wire that it speaks. 0 stands for the
// first.
constexpr int kSpeaksShift = 16;

// The version of the wire since which a request exists.
constexpr uint16_t SinceWire(MessageType type) {
  switch (type) {
    default:
      return kFirstWireVersion;
  }
}

enum HelloFds : uint32_t { kNetnsFd = 1, kRtnlFd = 2, kUsernsFd = 4, kPidFd = 8, kFilesFd = 16 };

struct MessageHeader {
  uint32_t magic;
  uint16_t version;  // kHeaderForm
  uint16_t type;
  uint64_t request_id;
  uint32_t size;  // of the payload that follows in this message
  uint32_t flags;
};

inline uint16_t Speaks(const MessageHeader& header) {
  const uint16_t said = static_cast<uint16_t>(header.flags >> kSpeaksShift);
  return said == 0 ? kFirstWireVersion : said;
}

// The versions that shims of a program read, somewhere in the program. A program without it is of
// the first release. The daemon looks for it before it hands a plan to a program that came with
// another release.
struct VersionStamp {
  char mark[20];
  uint16_t wire, plan;
};
constexpr VersionStamp kVersionStamp = {"crisp-shim versions", kWireVersion, kPlanVersion};

// The name of a shim's listening socket in PodPlan::state_dir.
constexpr char kShimSocketName[] = "shim.sock";

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_WIRE_WIRE_H_
