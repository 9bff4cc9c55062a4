#ifndef CRISP_RUNTIME_CGROUP_CGROUP_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/cancel.h"
#include "base/unique_fd.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/launch_plan.h"

namespace crisp::runtime {

// One control group: the directories of one path in every hierarchy. A value made of strings, so a
// restarted daemon has it back from the recorded path. No descriptor, no lock; thread-safe except
// that Create, Update and Remove of one group must not overlap. Nothing here talks to D-Bus.
class Cgroup {
 public:
  // `path` from the hierarchies' root, "/kubepods/pod1/<id>"; PodCgroupPath() and
  // ContainerCgroupPath() make them.
  Cgroup(std::shared_ptr<const CgroupLayout> layout, std::string path)
      : layout_(std::move(layout)), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  const CgroupLayout& layout() const { return *layout_; }
  bool v2() const { return layout_->v2; }
  // <mount point><path> in the hierarchy of this v1 controller; "" when there is none.
  std::string Dir(absl::string_view controller) const;
  // All of them: for ContainerPlan::cgroup_dirs.
  std::vector<std::string> Dirs() const;
  // The same with the primary one first: for ExecPlan::cgroup_dirs.
  std::vector<std::string> ExecDirs() const;
  // The one in the primary hierarchy.
  std::string PrimaryDir() const;

  // Makes the directories, parents too, in every hierarchy (v2: delegates the controllers on the
  // way down; v1 cpuset: with the parent's cpus and mems), without limits yet. A hierarchy that
  // cannot be written is an error. On failure what this call made is gone again. An existing empty
  // group of this path is made anew; FailedPrecondition when it has processes.
  absl::Status Create() const;
  // The first limits of a group that Create() has made, before anybody is in it. On failure it
  // stays.
  absl::Status Limit(const OciResources& resources) const {
    return Apply(resources, /*fresh=*/true);
  }
  // Only the directories (a pod's parent group); those that exist are fine.
  absl::Status CreateDirs() const;

  // Applies the members that `change` sets, all or nothing: on failure the former values are
  // written back and the error returned (FailedPrecondition when a memory limit is below the
  // present usage and the kernel would have to kill). Orders raise and lower of memory and swap,
  // and of quota and period, so that no step is invalid. Device rules are left alone.
  absl::Status Update(const OciResources& change) const;

  // SIGKILLs everything in it, nested groups too, until nothing is left. v2: cgroup.kill. v1:
  // freeze, signal, thaw, look again. OK when it is empty or absent; DeadlineExceeded naming the
  // pids that are left (in uninterruptible sleep) when `cancel` fires first: call again.
  absl::Status Kill(const Cancel& cancel) const;
  // One round of it, without waiting for the processes to be gone.
  absl::Status KillOnce() const;
  // Its processes, nested groups' too. Absent: none.
  absl::StatusOr<std::vector<int32_t>> Pids() const;
  // Absent counts as empty.
  absl::StatusOr<bool> IsEmpty() const;
  // Whether that process is in it, or in a group nested in it.
  bool Contains(int32_t pid) const;
  // The directory of that process in proc; NotFound when it has ended or is not in the group (any
  // more). What is opened below it is this process', or cannot be opened: whoever has the number
  // next is not found there.
  absl::StatusOr<UniqueFd> OpenProcess(int32_t pid) const;

  // Removes it and what is nested in it, in all hierarchies, retrying for as long as the kernel
  // says EBUSY and `cancel` allows. Absent is OK. FailedPrecondition when processes are left.
  absl::Status Remove(const Cancel& cancel) const;

  // Removes the group itself, in every hierarchy where nothing is in or below it. What is in use or
  // absent stays as it is, without an error. Whether it is gone everywhere.
  absl::StatusOr<bool> RemoveIfUnused() const;

  // How often the OOM killer has hit in here, nested groups too; 0 when absent. On v1 before Linux
  // 4.13 Unimplemented.
  absl::StatusOr<uint64_t> OomKills() const;

  // What the container sees at `destination` ("/sys/fs/cgroup"): its own group, as bind mounts. v1:
  // a tmpfs with the container's group of each hierarchy bound where the host has the hierarchy,
  // and links for controllers that share one, so that limits are readable where programs look for
  // them. With `whole`, on v2, the host's whole tree, for a container without a cgroup namespace:
  // what /proc/self/cgroup says there is a path in that.
  std::vector<MountPlan> Mounts(const std::string& destination,
                                bool read_only,
                                bool whole = false) const;

  // v2: hands the group to those in it who have a writable mount of it: they may make groups below,
  // a bounded number, and move their processes there. `uid` and `gid` are what root is to the
  // container on the host. The limits stay out of their reach where CgroupLayout::nsdelegate is.
  absl::Status HandOver(uint32_t uid, uint32_t gid) const;

  // Thaws it if it was frozen itself; what is frozen above it stays so. Does not wait. Absent: OK.
  absl::Status ThawIfFrozen() const;
  // Freezes or thaws everything in it; returns when the kernel says so.
  absl::Status Freeze(bool frozen, const Cancel& cancel) const;

 private:
  absl::Status MakeAll(std::vector<std::string>* made) const;
  absl::Status Apply(const OciResources& resources, bool fresh) const;
  absl::Status RemoveOnce() const;
  absl::Status CheckMemoryFits(const OciResources& change) const;
  bool IsNamedIn(absl::string_view proc_cgroup) const;
  absl::Status SignalAll(int signal) const;
  absl::Status KillFrozen() const;

  std::shared_ptr<const CgroupLayout> layout_;
  std::string path_;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_H_
