#ifndef CRISP_RUNTIME_SHIM_CGROUP_H_
#define CRISP_RUNTIME_SHIM_CGROUP_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// The descriptors with which a new child gets into its cgroups: the directory for CLONE_INTO_CGROUP
// on v2, one `tasks` file for each hierarchy on v1 (the child writes "0" there).
class CgroupEntry {
 public:
  CgroupEntry() = default;
  CgroupEntry(const CgroupEntry&) = delete;
  CgroupEntry& operator=(const CgroupEntry&) = delete;
  ~CgroupEntry();
  bool Open(const List<Str>& dirs, bool v2);
  // As Open(), with a new leaf for an exec: below the unified directory on v2, below the freezer's
  // on v1 (none: no leaf). Unless taken, the leaf is removed by the destructor.
  bool OpenWithLeaf(const List<Str>& dirs, bool v2, const char* leaf_name);

  int unified() const { return unified_; }  // -1 on v1
  const int* tasks() const { return tasks_; }
  int task_count() const { return count_; }
  // malloc'ed, given away; nullptr: none.
  char* TakeLeaf();

 private:
  static constexpr int kMost = 24;
  bool OpenIn(const List<Str>& dirs, bool v2, const char* leaf_name);
  int unified_ = -1;
  int tasks_[kMost];
  int count_ = 0;
  char* leaf_ = nullptr;
};

// Kills everything in a leaf cgroup. Returns once it is empty or after about a second.
bool KillCgroup(const char* dir);
// False when it is still populated.
bool RemoveCgroup(const char* dir);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_CGROUP_H_
