#ifndef CRISP_BASE_LOWER_H_
#define CRISP_BASE_LOWER_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

// One of the read-only trees that an overlay stands on: a directory by its path, or a mount that is
// attached nowhere by its descriptor. A value that owns nothing: who hands it out says how long the
// directory is there and the descriptor open.
struct Lower {
  Lower() = default;
  // A directory's path is the usual case, so it is taken for one as it is.
  Lower(std::string directory)
      : path(std::move(directory)) {}                // NOLINT(google-explicit-constructor)
  Lower(const char* directory) : path(directory) {}  // NOLINT(google-explicit-constructor)
  static Lower Mount(int fd) {
    Lower lower;
    lower.mount_fd = fd;
    return lower;
  }

  bool is_mount() const { return mount_fd >= 0; }
  bool operator==(const Lower&) const = default;

  std::string path;   // absolute; empty for a mount
  int mount_fd = -1;  // of this process; -1 for a directory
};

// The tree's root, with open(2)'s `flags`, O_DIRECTORY and O_CLOEXEC.
absl::StatusOr<UniqueFd> OpenLower(const Lower& lower, int flags);
// A path to the root that is good in this process, for calls that take nothing else; and for
// messages.
std::string PathOf(const Lower& lower);

}  // namespace crisp

#endif  // CRISP_BASE_LOWER_H_
