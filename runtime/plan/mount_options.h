#ifndef CRISP_RUNTIME_PLAN_MOUNT_OPTIONS_H_
#define CRISP_RUNTIME_PLAN_MOUNT_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/plan/launch_plan.h"

namespace crisp::runtime {

// mount(8)-style option words, sorted by what they mean. Pure.
struct MountOptions {
  bool bind = false;            // bind or rbind
  bool recursive_bind = false;  // rbind
  uint64_t attributes = 0;      // MOUNT_ATTR_*
  // One of the attributes was asked for recursively (rro, rnosuid, …). The plan has one switch for
  // all of a mount's attributes, so the others become recursive with it: never laxer than asked.
  bool recursive_attributes = false;
  Propagation propagation = Propagation::kPrivate;  // slave and rslave alike
  bool idmap = false;
  bool copy_up = false;
  bool optional = false;
  std::vector<std::string> rest;  // for the file system
};

// Later words win ("ro", "rw" is rw). InvalidArgument for words that make no sense in a container's
// mount (remount, unbindable, tmpcopyup, move).
absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_PLAN_MOUNT_OPTIONS_H_
