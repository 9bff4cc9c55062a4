#include "runtime/cgroup/cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/cgroup/cgroup_devices.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/cgroup_resources.h"
#include "runtime/cgroup/cgroup_stats_parse.h"

namespace crisp::runtime {
namespace {

// Each group may be a memory cgroup, of which the kernel has 65,535.
constexpr int kMostHandedOver = 500;
constexpr int kDeepestHandedOver = 16;

void RemoveMade(const std::vector<std::string>& made) {
  for (auto dir = made.rbegin(); dir != made.rend(); ++dir) (void)rmdir(dir->c_str());
}

}  // namespace

std::string Cgroup::Dir(absl::string_view controller) const {
  const CgroupHierarchy* hierarchy = layout_->Find(controller);
  return hierarchy == nullptr ? "" : hierarchy->mount_point + path_;
}

std::vector<std::string> Cgroup::Dirs() const {
  std::vector<std::string> dirs;
  for (const CgroupHierarchy& hierarchy : layout_->hierarchies) {
    dirs.push_back(hierarchy.mount_point + path_);
  }
  return dirs;
}

std::vector<std::string> Cgroup::ExecDirs() const {
  std::vector<std::string> dirs = Dirs();
  std::rotate(dirs.begin(), std::find(dirs.begin(), dirs.end(), PrimaryDir()), dirs.end());
  return dirs;
}

std::string Cgroup::PrimaryDir() const { return layout_->Primary().mount_point + path_; }

absl::Status Cgroup::MakeAll(std::vector<std::string>* made) const {
  for (const CgroupHierarchy& hierarchy : layout_->hierarchies) {
    CRISP_RETURN_IF_ERROR(MakeGroup(*layout_, hierarchy, path_, made));
  }
  return absl::OkStatus();
}

absl::Status Cgroup::CreateDirs() const {
  std::vector<std::string> made;
  absl::Status status = MakeAll(&made);
  if (!status.ok()) RemoveMade(made);
  return status;
}

absl::Status Cgroup::Create() const {
  if (access(PrimaryDir().c_str(), F_OK) == 0) {
    CRISP_ASSIGN_OR_RETURN(bool empty, IsEmpty());
    if (!empty) {
      return absl::FailedPreconditionError(
          absl::StrCat("cgroup ", path_, " has processes already"));
    }
    // Limits that somebody else set must not shine through.
    CRISP_RETURN_IF_ERROR(Annotate(RemoveOnce(), "take over an old cgroup"));
  }
  return CreateDirs();
}

absl::Status Cgroup::Apply(const OciResources& resources, Group group) const {
  const bool fresh = group == Group::kFresh;
  CRISP_ASSIGN_OR_RETURN(std::vector<CgroupWrite> writes, CgroupWrites(resources, v2()));
  // Each write of a bandwidth has the kernel look at every group of the machine.
  if (fresh) std::erase_if(writes, IsInitialValue);
  auto dir_of = [this](const std::string& controller) { return Dir(controller); };
  CRISP_RETURN_IF_ERROR(WriteLimits(writes, dir_of, /*undo=*/!fresh));
  if (!v2() || !fresh || resources.devices.empty()) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(std::vector<uint64_t> program, DeviceProgramV2(resources.devices));
  return AttachDeviceProgram(PrimaryDir(), program);
}

absl::Status Cgroup::RemoveOnce() const {
  for (const std::string& top : Dirs()) {
    // Rarely is something nested in it.
    if (rmdir(top.c_str()) == 0 || errno == ENOENT) continue;
    if (errno != EBUSY && errno != ENOTEMPTY) {
      return ErrnoError(errno, absl::StrCat("remove cgroup ", top));
    }
    std::vector<std::string> dirs;
    CRISP_RETURN_IF_ERROR(WalkGroups(top, [&dirs](const std::string& dir) {
      dirs.push_back(dir);
      return absl::OkStatus();
    }));
    for (auto dir = dirs.rbegin(); dir != dirs.rend(); ++dir) {
      if (rmdir(dir->c_str()) != 0 && errno != ENOENT) {
        return ErrnoError(errno, absl::StrCat("remove cgroup ", *dir));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Cgroup::RemoveIfUnused() const {
  bool gone = true;
  for (const std::string& dir : Dirs()) {
    if (rmdir(dir.c_str()) == 0 || errno == ENOENT) continue;
    if (errno != EBUSY && errno != ENOTEMPTY) {
      return ErrnoError(errno, absl::StrCat("remove cgroup ", dir));
    }
    gone = false;
  }
  return gone;
}

absl::Status Cgroup::Remove(const Operation& operation) const {
  absl::Duration pause = absl::Milliseconds(1);
  while (true) {
    absl::Status status = RemoveOnce();
    if (status.ok() || ErrnoOf(status) != EBUSY) return status;
    CRISP_ASSIGN_OR_RETURN(bool empty, IsEmpty());
    if (!empty) return status;  // EBUSY is FailedPrecondition
    // The last processes have exited but are not yet off the kernel's lists.
    CRISP_RETURN_IF_ERROR(operation.Check(absl::StrCat("remove cgroup ", path_)));
    (void)operation.Sleep(pause);
    pause = std::min(pause * 2, absl::Milliseconds(20));
  }
}

absl::StatusOr<uint64_t> Cgroup::OomKills() const {
  const std::string dir = Dir("memory");
  if (dir.empty()) return absl::UnimplementedError("this machine has no memory controller");
  if (v2()) {
    absl::StatusOr<std::string> text = ReadFile(dir + "/memory.events");
    if (absl::IsNotFound(text.status())) return 0;
    if (!text.ok()) return text.status();
    return ParseFlatKeyed(*text)["oom_kill"];
  }
  uint64_t kills = 0;
  CRISP_RETURN_IF_ERROR(WalkGroups(dir, [&kills](const std::string& group) -> absl::Status {
    absl::StatusOr<std::string> text = ReadFile(group + "/memory.oom_control");
    if (absl::IsNotFound(text.status())) return absl::OkStatus();
    if (!text.ok()) return text.status();
    std::map<std::string, uint64_t> values = ParseFlatKeyed(*text);
    if (!values.contains("oom_kill"))
      return absl::UnimplementedError("this kernel counts no OOM kills");
    kills += values["oom_kill"];
    return absl::OkStatus();
  }));
  return kills;
}

absl::Status Cgroup::HandOver(uint32_t uid, uint32_t gid) const {
  const std::string dir = PrimaryDir();
  CRISP_RETURN_IF_ERROR(
      WriteKernelFile(dir + "/cgroup.max.descendants", absl::StrCat(kMostHandedOver)));
  CRISP_RETURN_IF_ERROR(
      WriteKernelFile(dir + "/cgroup.max.depth", absl::StrCat(kDeepestHandedOver)));
  if (uid == 0 && gid == 0) return absl::OkStatus();
  for (const char* file : {"", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control"}) {
    if (chown((dir + file).c_str(), uid, gid) != 0) {
      return ErrnoError(errno, absl::StrCat("give ", dir, file, " to the container's root"));
    }
  }
  return absl::OkStatus();
}

}  // namespace crisp::runtime
