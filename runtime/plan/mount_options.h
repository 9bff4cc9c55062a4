#ifndef CRISP_RUNTIME_PLAN_MOUNT_OPTIONS_H_
#define CRISP_RUNTIME_PLAN_MOUNT_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/plan/launch_plan.h"

namespace crisp::runtime {

// mount(8)-style option words, sorted by their meaning. Pure.
struct MountOptions {
  bool bind = false;            // bind or rbind
  bool recursive_bind = false;  // rbind
  uint64_t attributes = 0;      // MOUNT_ATTR_*
  // True if one of the attributes was asked for recursively (rro, rnosuid, …). The plan has one
  // switch for all attributes of a mount, so the others become recursive with it. That is never
  // laxer than asked.
  bool recursive_attributes = false;
  Propagation propagation = Propagation::kPrivate;  // slave and rslave alike
  bool idmap = false;
  bool copy_up = false;
  bool optional = false;
  std::vector<std::string> rest;  // for the file system
};

// Parses option words. Later words win ("ro", "rw" is rw). InvalidArgument for words that make no
// sense in a container's mount (remount, unbindable, tmpcopyup, move).
absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_PLAN_MOUNT_OPTIONS_H_
