#include "runtime/shim/cgroup.h"

#include <fcntl.h>
#include <string.h>

#include "runtime/shim/pod.h"

namespace crisp::shim {

CgroupEntry::~CgroupEntry() {
  if (unified_ >= 0) close(unified_);
  for (int i = 0; i < count_; ++i) close(tasks_[i]);
}

bool CgroupEntry::Open(const List<Str>& dirs, bool v2) {
  if (dirs.empty()) return true;
  const HostScope host;
  if (!host.entered()) return false;
  for (const Str& dir : dirs) {
    Path path;
    path.Add(dir);
    if (v2) {
      unified_ = open(path.data, O_PATH | O_DIRECTORY | O_CLOEXEC);
      return unified_ >= 0 || Fail("open the cgroup", path.data);
    }
    if (count_ == kMost) return Refuse(kInvalidArgument, "too many cgroup directories");
    path.Add("/tasks");
    tasks_[count_] = open(path.data, O_WRONLY | O_CLOEXEC);
    if (tasks_[count_] < 0) return Fail("open", path.data);
    ++count_;
  }
  return true;
}

// The paths of two cgroups end alike from the container's own directory on: its name is unique, and
// what comes before it depends on where the file system is mounted and on who asks.
bool CgroupEntry::OpenWhereInitIs(const Str& dir, pid_t init) {
  Text<40> file;
  file.Add("/proc/").AddNumber(init).Add("/cgroup");
  const Fd listing(open(file.data, O_RDONLY | O_CLOEXEC));
  char text[8192];
  const ssize_t n = listing.valid() ? read(listing.get(), text, sizeof(text) - 1) : -1;
  if (n <= 0) return Fail("read", file.data);
  text[n] = '\0';
  char* path = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
  if (path == nullptr) return Refuse(kFailedPrecondition, "no unified cgroup in", file.data);
  path = strchr(path, '/');
  if (path == nullptr) return Refuse(kFailedPrecondition, "no unified cgroup in", file.data);
  path[strcspn(path, "\n")] = '\0';
  Path group;
  group.Add(dir);
  const char* name = strrchr(group.data, '/');
  const char* at = name == nullptr ? nullptr : strstr(path, name);
  const char* rest = at == nullptr ? nullptr : at + strlen(name);
  if (rest == nullptr || *rest != '/') {
    return Refuse(kFailedPrecondition,
                  "the container's first process is not below its cgroup but in", path);
  }
  group.Add(rest);
  const HostScope host;
  if (!host.entered()) return false;
  if (unified_ >= 0) close(unified_);
  unified_ = open(group.data, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return unified_ >= 0 || Fail("open the cgroup", group.data);
}

}  // namespace crisp::shim
