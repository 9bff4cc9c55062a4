#ifndef CRISP_RUNTIME_CGROUP_CGROUP_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::runtime {

// One control group: the directories of one path in every hierarchy. A value made of strings, so a
// restarted daemon makes it again from the recorded path. It holds no descriptor and no lock.
// Thread-safe, except that Create, Update and Remove of one group must not overlap. Nothing here
// talks to D-Bus.
class Cgroup {
 public:
  // `path` starts at the hierarchies' root, "/kubepods/pod1/<id>". PodCgroupPath() and
  // ContainerCgroupPath() make it.
  Cgroup(std::shared_ptr<const CgroupLayout> layout, std::string path)
      : layout_(std::move(layout)), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  const CgroupLayout& layout() const { return *layout_; }
  bool v2() const { return layout_->v2; }
  // <mount point><path> in the hierarchy of this v1 controller; "" if there is none.
  std::string Dir(absl::string_view controller) const;
  // All directories, which a process joins.
  std::vector<std::string> Dirs() const;
  // The same with the primary one first, in which an exec's descendants are looked for.
  std::vector<std::string> ExecDirs() const;
  // The directory in the primary hierarchy.
  std::string PrimaryDir() const;

  // Makes the directories, parents too, in every hierarchy, without limits yet. On v2 it delegates
  // the controllers on the way down; on v1 a cpuset gets the parent's cpus and mems. A hierarchy
  // that cannot be written is an error. After a failure nothing of this call is left. An existing
  // empty group of this path is made anew. FailedPrecondition if it has processes.
  absl::Status Create() const;
  // Writes the first limits of a group that Create() has made, before a process is in it. After a
  // failure the group stays.
  absl::Status Limit(const OciResources& resources) const {
    return Apply(resources, Group::kFresh);
  }
  // Makes the directories alone (a pod's parent group). Existing ones are fine.
  absl::Status CreateDirs() const;

  // Applies the members that `change` sets, all or none. After a failure the former values are
  // written back and the error is returned: FailedPrecondition if a memory limit is below the
  // present usage and the kernel would have to kill. It orders memory and swap, and quota and
  // period, so that no step is invalid. It leaves device rules alone.
  absl::Status Update(const OciResources& change) const;

  // Sends SIGKILL to everything in it, nested groups too, until nothing is left. On v2 it writes
  // cgroup.kill. On v1 it freezes, signals, thaws and looks again. OK if the group is empty or
  // absent. DeadlineExceeded, naming the pids that are left (in uninterruptible sleep), if
  // `operation` fires first: call it again then.
  absl::Status Kill(const Operation& operation) const;
  // One round of Kill(). It does not wait for the processes to be gone.
  absl::Status KillOnce() const;
  // Its processes, nested groups' too. An absent group has none.
  absl::StatusOr<std::vector<int32_t>> Pids() const;
  // An absent group is empty.
  absl::StatusOr<bool> IsEmpty() const;
  // True if that process is in it, or in a group nested in it.
  bool Contains(int32_t pid) const;
  // The directory of that process in proc. NotFound if it has ended or is not in the group (any
  // more). Files opened below the directory are this process's, or cannot be opened: a later
  // process with the same number is not found there.
  absl::StatusOr<UniqueFd> OpenProcess(int32_t pid) const;

  // Removes it and the groups nested in it, in all hierarchies. It retries as long as the kernel
  // says EBUSY and `operation` allows. An absent group is OK. FailedPrecondition if processes are
  // left.
  absl::Status Remove(const Operation& operation) const;

  // Removes the group itself, in every hierarchy where nothing is in or below it. A group that is
  // in use or absent stays as it is, without an error. True if the group is gone everywhere.
  absl::StatusOr<bool> RemoveIfUnused() const;

  // The number of times that the OOM killer has hit in here, nested groups too; 0 if the group is
  // absent. Unimplemented on v1 before Linux 4.13.
  absl::StatusOr<uint64_t> OomKills() const;

  // v2: hands the group to the processes in it that have a writable mount of it. They may make a
  // bounded number of groups below it and move their processes there. `uid` and `gid` are the ids
  // on the host of the container's root. They cannot reach the limits if CgroupLayout::nsdelegate
  // is set.
  absl::Status HandOver(uint32_t uid, uint32_t gid) const;

  // True if it was frozen itself, and not only a group above it. False for an absent group, and for
  // the root.
  absl::StatusOr<bool> IsFrozen() const;
  // Thaws it if it was frozen itself. A frozen parent stays frozen. Does not wait. An absent group
  // is OK.
  absl::Status ThawIfFrozen() const;
  // Freeze or thaw everything in it. They return when the kernel says that it is done.
  absl::Status Freeze(const Operation& operation) const { return SetFrozen(true, operation); }
  absl::Status Thaw(const Operation& operation) const { return SetFrozen(false, operation); }

 private:
  absl::Status MakeAll(std::vector<std::string>* made) const;
  enum class Group { kFresh, kInUse };
  absl::Status Apply(const OciResources& resources, Group group) const;
  absl::Status SetFrozen(bool frozen, const Operation& operation) const;
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
