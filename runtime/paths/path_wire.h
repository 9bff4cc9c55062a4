#ifndef CRISP_RUNTIME_PATHS_PATH_WIRE_H_
#define CRISP_RUNTIME_PATHS_PATH_WIRE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::runtime {

// The messages between the daemon and crisp-paths over a stream socket: lists of byte strings. Both
// are of one build, because the daemon keeps the program open.

// A request about one path.
struct PathRequest {
  enum class Kind : char {
    kResolve = 'r',       // → the path without symlinks; made as a directory when it is absent
    kMakeDirs = 'm',      // mkdir -p
    kRead = 'f',          // a regular file's content, at most `argument` bytes in decimal
    kStat = 's',          // → one node; `argument` "l": of a symlink itself
    kDevices = 'd',       // → nodes: the devices at or below the path
    kBlockDevices = 'b',  // → nodes: the block devices that a glob pattern names
    kRelabel = 'l',       // RelabelTree() with the label `argument`
  };
  Kind kind = Kind::kStat;
  std::string path;
  std::string argument;
};

struct HostNode {
  std::string name;  // below the requested path; empty for the path itself
  uint32_t mode = 0, major = 0, minor = 0, uid = 0, gid = 0;
};

// kStay looks at a symlink itself, kFollow at the node to which it leads.
enum class Links { kFollow, kStay };

using DeviceNumber = std::pair<int64_t, int64_t>;  // major, minor

// The page that both sides have mapped. It says which request of the list is being done.
struct PathProgress {
  uint32_t index = 0;
};
constexpr int kPathSocket = 3, kPathProgress = 4;  // the helper's descriptors
constexpr size_t kMaxPathFrame = 64u << 20;

// A frame: the count, then each string with its length. A malformed frame is InvalidArgument.
std::string EncodeStrings(const std::vector<std::string>& strings);
absl::StatusOr<std::vector<std::string>> DecodeStrings(absl::string_view frame);

std::vector<std::string> EncodeRequests(const std::vector<PathRequest>& requests);
absl::StatusOr<std::vector<PathRequest>> DecodeRequests(const std::vector<std::string>& strings);

std::string EncodeNodes(const std::vector<HostNode>& nodes);
absl::StatusOr<std::vector<HostNode>> DecodeNodes(absl::string_view bytes);

// One request's outcome: a code, then the error's text or the value.
std::string EncodeOutcome(const absl::StatusOr<std::string>& outcome);
absl::StatusOr<std::string> DecodeOutcome(absl::string_view bytes);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_PATHS_PATH_WIRE_H_
