#ifndef CRISP_RUNTIME_SHIM_CGROUP_H_
#define CRISP_RUNTIME_SHIM_CGROUP_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// The descriptors by which a new child enters its cgroups: the directory for CLONE_INTO_CGROUP on
// v2, one `tasks` file for each hierarchy on v1 (the child writes "0" there).
class CgroupEntry {
 public:
  CgroupEntry() = default;
  CgroupEntry(const CgroupEntry&) = delete;
  CgroupEntry& operator=(const CgroupEntry&) = delete;
  ~CgroupEntry();
  bool Open(const List<Str>& dirs, bool v2);
  // v2: the group of the container's first process instead of `dir`, the container's own. No
  // process can enter that one once the container hands controllers down from it, as systemd and
  // nested runtimes do.
  bool OpenWhereInitIs(const Str& dir, pid_t init);

  int unified() const { return unified_; }  // -1 on v1
  const int* tasks() const { return tasks_; }
  int task_count() const { return count_; }

 private:
  static constexpr int kMost = 24;
  int unified_ = -1;
  int tasks_[kMost];
  int count_ = 0;
};

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_CGROUP_H_
