// Checks of crisp's directories and sockets.
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/doctor/doctor_checks.h"

namespace crisp::cli {
namespace {

// The kubelet begins to remove images when less is free (imageGCHighThresholdPercent), and to evict
// pods at the second (imagefs.available; inodesFree).
constexpr double kLowBytes = 15, kVeryLowBytes = 5;
constexpr double kLowInodes = 10, kVeryLowInodes = 5;
// Of the state: sockets and records take little, but they must fit.
constexpr uint64_t kStateBytes = 16u << 20;

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 100 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string GiB(uint64_t bytes) {
  return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / (1u << 30));
}

std::string Where(const DirectoryFacts& directory) {
  return directory.exists
             ? directory.path
             : absl::StrCat(directory.path, " (not made yet, will be in ", directory.nearest, ")");
}

Finding CheckSpace(const DirectoryFacts& root) {
  const double free = Percent(root.bytes_free, root.bytes);
  const std::string found = absl::StrFormat("%s of %s free (%.0f %%) for %s", GiB(root.bytes_free),
                                            GiB(root.bytes), free, root.path);
  if (free >= kLowBytes) return Good("disk space", found);
  return {free < kVeryLowBytes ? Level::kError : Level::kWarning, "disk space", found,
          free < kVeryLowBytes ? "pulls fail and the kubelet evicts pods"
                               : "the kubelet removes images that no container uses",
          "crictl rmi --prune, remove what another runtime left (see \"other runtimes\"), or give "
          "crisp a "
          "larger disk with root: in /etc/crisp/config.yaml"};
}

Finding CheckInodes(const DirectoryFacts& root) {
  const double free = Percent(root.inodes_free, root.inodes);
  if (root.inodes == 0) return Good("inodes", absl::StrCat(root.type, " makes them as needed"));
  const std::string found = absl::StrFormat("%.0f %% free for %s", free, root.path);
  if (free >= kLowInodes) return Good("inodes", found);
  return {free < kVeryLowInodes ? Level::kError : Level::kWarning, "inodes", found,
          "pulls fail though there is space: every file of every layer takes one",
          "crictl rmi --prune, or put the root directory on a file system made with more "
          "(mkfs.ext4 -N), or XFS"};
}

Finding CheckRootType(const DirectoryFacts& root) {
  constexpr char kName[] = "file system of root";
  const std::string found = absl::StrCat(root.type, " at ", Where(root));
  if (root.read_only) {
    return {Level::kError, kName, absl::StrCat(found, ", read-only"), "no image can be pulled",
            "mount it read-write, or set root: to another disk"};
  }
  if (root.type == "overlay") {
    return {
        Level::kError, kName, found, "overlayfs cannot keep its writable layers on overlayfs",
        "mount a disk, or a volume of the machine that this one runs in, at the root directory"};
  }
  if (root.type == "nfs" || root.type == "cifs" || root.type == "vfat" || root.type == "9p") {
    return {Level::kError, kName, found, "overlayfs cannot keep its writable layers there",
            "set root: to a local disk with ext4, XFS or Btrfs"};
  }
  if (root.type == "tmpfs") {
    return {Level::kWarning, kName, found,
            "images are gone after a reboot and take memory until then", "set root: to a disk"};
  }
  return Good(kName, found);
}

Finding CheckState(const DirectoryFacts& state) {
  constexpr char kName[] = "state directory";
  const std::string found = absl::StrCat(state.type, " at ", Where(state));
  if (state.read_only) {
    return {Level::kError, kName, absl::StrCat(found, ", read-only"), "crispd cannot start",
            "mount it read-write, or set state: to another tmpfs"};
  }
  if (state.bytes_free < kStateBytes) {
    return {Level::kError, kName, absl::StrFormat("%s, %d KiB free", found, state.bytes_free >> 10),
            "pods can be neither recorded nor ended properly", "make room: look with du -x /run"};
  }
  if (state.type != "tmpfs" && state.type != "ramfs") {
    return {Level::kWarning, kName, found,
            "records of pods outlive a reboot that their processes do not, and writing them waits "
            "for a disk",
            "set state: to a directory on a tmpfs, as /run is"};
  }
  return Good(kName, found);
}

Finding CheckPropagation(const StorageFacts& storage) {
  constexpr char kName[] = "mount propagation";
  if (!storage.root_shared.has_value()) return Good(kName, "not looked at");
  if (*storage.root_shared) return Good(kName, "/ is shared");
  return {Level::kWarning, kName, "/ is not a shared mount",
          "volumes with Bidirectional propagation, which storage drivers (CSI) need, are refused",
          "mount --make-rshared / (systemd does it by itself)"};
}

Finding CheckPath(const PathFacts& path) {
  const std::string check = absl::StrCat("permissions of ", path.path);
  const bool socket = S_ISSOCK(path.mode);
  const std::string found =
      absl::StrFormat("mode %04o, owner %d:%d", path.mode & 07777, path.uid, path.gid);
  const std::string todo = absl::StrFormat("chown root:root %s && chmod %s %s", path.path,
                                           socket               ? "0600"
                                           : S_ISDIR(path.mode) ? "0711"
                                                                : "0644",
                                           path.path);
  const std::string meaning =
      absl::StrCat("that makes its owner, its group or everybody root on this machine: ",
                   socket ? "whoever can connect starts privileged containers"
                          : "whoever can write there changes what containers run");
  if (path.uid != 0 || (path.mode & 0002) != 0) return {Level::kError, check, found, meaning, todo};
  if ((path.mode & 0020) != 0 && path.gid != 0)
    return {Level::kWarning, check, found, meaning, todo};
  if (path.holds_layers && (path.mode & 0004) != 0) {
    return {Level::kWarning, check, found,
            "every user can list what is in there, and run setuid programs of images outside of "
            "any container",
            todo};
  }
  return Good(check, found);
}

}  // namespace

std::vector<Finding> CheckStorage(const NodeFacts& facts) {
  return {CheckSpace(facts.storage.root), CheckInodes(facts.storage.root),
          CheckRootType(facts.storage.root), CheckState(facts.storage.state),
          CheckPropagation(facts.storage)};
}

std::vector<Finding> CheckPermissions(const NodeFacts& facts) {
  std::vector<Finding> findings;
  for (const PathFacts& path : facts.paths) findings.push_back(CheckPath(path));
  if (findings.empty()) findings.push_back(Good("permissions", "nothing there yet to have any"));
  return findings;
}

}  // namespace crisp::cli
