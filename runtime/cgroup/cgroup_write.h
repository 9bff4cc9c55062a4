#ifndef CRISP_RUNTIME_CGROUP_CGROUP_WRITE_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_WRITE_H_

#include <string>

namespace crisp::runtime {

// One write to a file of a group.
struct CgroupWrite {
  std::string controller;  // v1 hierarchy; "" on v2
  std::string file;        // "cpu.max"
  std::string value;
  bool optional = false;  // the file may be missing (no swap accounting, no such controller)
  bool operator==(const CgroupWrite&) const = default;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_WRITE_H_
