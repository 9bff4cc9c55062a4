#include "runtime/shim/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

constexpr int kPidsAtOnce = 256;

// Pids in a cgroup, at most kPidsAtOnce. -1 when it cannot be read.
int ReadPids(int dir, pid_t* pids) {
  const Fd file(openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return -1;
  char buffer[4096];
  int count = 0;
  pid_t pid = 0;
  ssize_t n;
  while ((n = read(file.get(), buffer, sizeof(buffer))) > 0) {
    for (ssize_t i = 0; i < n && count < kPidsAtOnce; ++i) {
      if (buffer[i] != '\n') {
        pid = pid * 10 + (buffer[i] - '0');
      } else {
        pids[count++] = pid;
        pid = 0;
      }
    }
  }
  return count;
}

bool Contains(const pid_t* pids, int count, pid_t pid) {
  for (int i = 0; i < count; ++i) {
    if (pids[i] == pid) return true;
  }
  return false;
}

// A pid that is listed after its pidfd was opened is what the pidfd means, so a reused pid is never
// hit. The number of processes that were there.
int KillListed(int dir) {
  static pid_t before[kPidsAtOnce], after[kPidsAtOnce];
  static int pidfds[kPidsAtOnce];
  const int count = ReadPids(dir, before);
  for (int i = 0; i < count; ++i) pidfds[i] = SysPidfdOpen(before[i]);
  const int still = count > 0 ? ReadPids(dir, after) : 0;
  for (int i = 0; i < count; ++i) {
    if (pidfds[i] < 0) continue;
    if (Contains(after, still, before[i])) (void)SysPidfdSignal(pidfds[i], SIGKILL);
    close(pidfds[i]);
  }
  return count;
}

void Pause() {
  const timespec millisecond = {.tv_sec = 0, .tv_nsec = 1000000};
  nanosleep(&millisecond, nullptr);
}

}  // namespace

CgroupEntry::~CgroupEntry() {
  if (unified_ >= 0) close(unified_);
  for (int i = 0; i < count_; ++i) close(tasks_[i]);
  if (leaf_ != nullptr) (void)RemoveCgroup(leaf_);
  free(leaf_);
}

bool CgroupEntry::Open(const List<Str>& dirs, bool v2) { return OpenIn(dirs, v2, nullptr); }

bool CgroupEntry::OpenWithLeaf(const List<Str>& dirs, bool v2, const char* leaf_name) {
  return OpenIn(dirs, v2, leaf_name);
}

bool CgroupEntry::OpenIn(const List<Str>& dirs, bool v2, const char* leaf_name) {
  if (dirs.empty()) return true;
  const HostScope host;
  if (!host.entered()) return false;
  for (const Str& dir : dirs) {
    Path path;
    path.Add(dir);
    bool leaf_here = leaf_name != nullptr && leaf_ == nullptr;
    if (leaf_here && !v2) {
      Path freezer = path;
      leaf_here = access(freezer.Add("/freezer.state").data, F_OK) == 0;
    }
    if (leaf_here) {
      path.Add("/").Add(leaf_name);
      if (mkdir(path.data, 0755) != 0) return Fail("make the cgroup", path.data);
      leaf_ = Duplicate(path.data, path.size);
    }
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

char* CgroupEntry::TakeLeaf() {
  char* leaf = leaf_;
  leaf_ = nullptr;
  return leaf;
}

bool KillCgroup(const char* dir) {
  Fd fd;
  {
    const HostScope host;
    if (!host.entered()) return false;
    fd.Reset(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  if (!fd.valid()) return errno == ENOENT || Fail("open the cgroup", dir);
  if (WriteFileAt(fd.get(), "cgroup.kill", "1")) return true;
  // v1: frozen processes cannot fork away from under the list; the signal waits for the thaw.
  for (int round = 0; round < 1000; ++round) {
    const bool frozen = WriteFileAt(fd.get(), "freezer.state", "FROZEN");
    const int killed = KillListed(fd.get());
    if (frozen) (void)WriteFileAt(fd.get(), "freezer.state", "THAWED");
    if (killed <= 0) return true;
    Pause();
  }
  return Refuse(kDeadlineExceeded, "processes survive in the cgroup", dir);
}

bool RemoveCgroup(const char* dir) {
  const HostScope host;
  return host.entered() && (rmdir(dir) == 0 || errno == ENOENT);
}

}  // namespace crisp::shim
