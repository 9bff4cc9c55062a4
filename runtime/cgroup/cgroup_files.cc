#include "runtime/cgroup/cgroup_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

constexpr int kMaxDepth = 32;
constexpr int kMaxGroups = 10000;

absl::Status Walk(const std::string& dir,
                  const std::function<absl::Status(const std::string&)>& visit,
                  int depth,
                  int& left) {
  if (depth > kMaxDepth || --left < 0) {
    return absl::ResourceExhaustedError(absl::StrCat("cgroups nested too deep at ", dir));
  }
  // kernfs tells the type; asking for it by name would make the kernel cache every interface file.
  absl::StatusOr<std::vector<std::string>> names = ListSubdirs(dir);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  if (!names.ok()) return names.status();
  CRISP_RETURN_IF_ERROR(visit(dir));
  for (const std::string& name : *names) {
    CRISP_RETURN_IF_ERROR(Walk(absl::StrCat(dir, "/", name), visit, depth + 1, left));
  }
  return absl::OkStatus();
}

absl::Status MakeOne(const std::string& dir, std::vector<std::string>* made) {
  if (mkdir(dir.c_str(), 0755) == 0) {
    made->push_back(dir);
    return absl::OkStatus();
  }
  if (errno == EEXIST) return absl::OkStatus();
  return ErrnoError(errno, absl::StrCat("create cgroup ", dir));
}

// Whatever `dir` may hand down, its children get. One that cannot be enabled (threaded groups, a
// realtime task) is missed only when a limit of it is written.
absl::Status Delegate(const std::string& dir) {
  CRISP_ASSIGN_OR_RETURN(std::string available, ReadFile(dir + "/cgroup.controllers"));
  CRISP_ASSIGN_OR_RETURN(std::string enabled, ReadFile(dir + "/cgroup.subtree_control"));
  std::vector<std::string> have =
      absl::StrSplit(enabled, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  std::vector<std::string> missing;
  for (absl::string_view name :
       absl::StrSplit(available, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (std::find(have.begin(), have.end(), name) == have.end()) {
      missing.push_back(absl::StrCat("+", name));
    }
  }
  for (const std::string& one : missing) {
    absl::Status status = WriteKernelFile(dir + "/cgroup.subtree_control", one);
    if (!status.ok())
      LogDebug("cgroup_delegate_failed", {{"dir", dir}, {"error", status.message()}});
  }
  return absl::OkStatus();
}

// Makes the kernel give new groups in `parent` its cpus and mems, because to write them later makes
// it look at every cpuset of the machine. If that fails, they are written.
void HandCpusetDown(const std::string& parent) {
  const std::string file = parent + "/cgroup.clone_children";
  const absl::StatusOr<std::string> now = ReadFile(file);
  if (now.ok() && absl::StartsWith(*now, "0")) (void)WriteKernelFile(file, "1");
}

// A parent that has none itself says so with NotFound.
absl::Status InheritCpuset(const std::string& parent, const std::string& dir) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    CRISP_ASSIGN_OR_RETURN(std::string own, ReadFile(dir + file));
    if (!absl::StripAsciiWhitespace(own).empty()) continue;
    CRISP_ASSIGN_OR_RETURN(std::string value, ReadFile(parent + file));
    if (absl::StripAsciiWhitespace(value).empty()) {
      return absl::NotFoundError(absl::StrCat(parent, file, " is empty"));
    }
    CRISP_RETURN_IF_ERROR(WriteKernelFile(dir + file, absl::StripAsciiWhitespace(value)));
  }
  return absl::OkStatus();
}

bool HasCpuset(const CgroupHierarchy& hierarchy) {
  return std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), "cpuset") !=
         hierarchy.controllers.end();
}

// A limit that was written, and what brings the former one back.
struct Done {
  std::string path;
  std::string undo;
};

class LimitWriter {
 public:
  LimitWriter(const std::function<std::string(const std::string&)>& dir_of, bool undo)
      : dir_of_(dir_of), undo_(undo) {}

  absl::Status Write(const CgroupWrite& write) {
    const std::string dir = dir_of_(write.controller);
    if (dir.empty()) {
      if (write.optional) return absl::OkStatus();
      return absl::FailedPreconditionError(absl::StrCat(
          "set ", write.file, ": this machine has no cgroup controller ", write.controller));
    }
    const std::string path = absl::StrCat(dir, "/", write.file);
    Done done{.path = path};
    if (undo_) {
      absl::StatusOr<std::string> former = ReadFile(path);
      if (former.ok()) done.undo = UndoValue(write, *former);
    }
    absl::Status status = WriteKernelFile(path, write.value);
    const int error = ErrnoOf(status);
    if (write.optional && (error == ENOENT || error == EOPNOTSUPP)) return absl::OkStatus();
    if (!status.ok()) return LimitRefused(write, dir, status);
    done_.push_back(std::move(done));
    return absl::OkStatus();
  }

  void Undo() {
    // Same search for an order that the kernel accepts as on the way there.
    for (bool progress = true; progress && !done_.empty();) {
      progress = false;
      for (auto it = done_.end(); it != done_.begin();) {
        --it;
        if (!it->undo.empty() && !WriteKernelFile(it->path, it->undo).ok()) continue;
        it = done_.erase(it);
        progress = true;
      }
    }
    for (const Done& left : done_) {
      LogWarning("cgroup_limit_not_restored", {{"file", left.path}, {"value", left.undo}});
    }
  }

 private:
  const std::function<std::string(const std::string&)>& dir_of_;
  const bool undo_;
  std::vector<Done> done_;
};

}  // namespace

absl::Status WalkGroups(const std::string& dir,
                        const std::function<absl::Status(const std::string&)>& visit) {
  int left = kMaxGroups;
  return Walk(dir, visit, 0, left);
}

absl::Status MakeGroup(const CgroupLayout& layout,
                       const CgroupHierarchy& hierarchy,
                       const std::string& path,
                       std::vector<std::string>* made) {
  const bool cpuset = !layout.v2 && HasCpuset(hierarchy);
  if (!layout.v2) {
    // Nearly always only the last directory is missing.
    const std::string leaf = hierarchy.mount_point + path;
    const std::string parent = leaf.substr(0, leaf.rfind('/'));
    // Groups at the top are not ours to configure.
    if (cpuset && parent != hierarchy.mount_point) HandCpusetDown(parent);
    absl::Status status = MakeOne(leaf, made);
    if (status.ok() && cpuset) status = InheritCpuset(parent, leaf);
    if (!absl::IsNotFound(status)) return status;
  }
  std::string dir = hierarchy.mount_point;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (layout.v2) CRISP_RETURN_IF_ERROR(Delegate(dir));
    const std::string parent = dir;
    absl::StrAppend(&dir, "/", part);
    CRISP_RETURN_IF_ERROR(MakeOne(dir, made));
    if (cpuset) CRISP_RETURN_IF_ERROR(InheritCpuset(parent, dir));
  }
  return absl::OkStatus();
}

absl::Status WriteLimits(const std::vector<CgroupWrite>& writes,
                         const std::function<std::string(const std::string&)>& dir_of,
                         bool undo) {
  LimitWriter writer(dir_of, undo);
  std::vector<CgroupWrite> pending = writes;
  while (!pending.empty()) {
    std::vector<CgroupWrite> refused;
    absl::Status first;
    for (const CgroupWrite& write : pending) {
      absl::Status status = writer.Write(write);
      if (status.ok()) continue;
      if (first.ok()) first = status;
      const int error = ErrnoOf(status);
      if (error != EINVAL && error != EBUSY) {
        if (undo) writer.Undo();
        return status;
      }
      refused.push_back(write);
    }
    if (refused.size() == pending.size()) {
      if (undo) writer.Undo();
      return first;
    }
    pending = std::move(refused);
  }
  return absl::OkStatus();
}

std::string UndoValue(const CgroupWrite& write, const std::string& former) {
  absl::string_view trimmed = absl::StripAsciiWhitespace(former);
  if (write.file == "memory.oom_control") {
    return absl::StartsWith(trimmed, "oom_kill_disable 1") ? "1" : "0";
  }
  const size_t space = write.value.find(' ');
  if (space == std::string::npos || write.file == "cpu.max") {
    return std::string(trimmed.substr(0, trimmed.find('\n')));
  }
  // "8:0 rbps=1" changes one line of many.
  const std::string key = write.value.substr(0, space + 1);
  for (absl::string_view line : absl::StrSplit(trimmed, '\n')) {
    if (absl::StartsWith(line, key)) return std::string(line);
  }
  if (write.file == "io.max") return key + "rbps=max wbps=max riops=max wiops=max";
  if (absl::StartsWith(write.file, "blkio.")) return key + "0";
  return "";
}

}  // namespace crisp::runtime
