#include "storage/erofs/erofs_tree.h"

#include <limits.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

constexpr int kMaxSymlinks = 40;  // on one way, as in the kernel
constexpr size_t kMaxComponent = 255;
// Of the containers around what is counted, with some air.
constexpr uint64_t kNameOverhead = 56;
constexpr uint64_t kDirectoryOverhead = 160;

absl::Status NoDirectory(absl::string_view name) {
  return absl::FailedPreconditionError(absl::StrCat("'", name, "' is not a directory"));
}

template <typename Table>
uint32_t Place(Table& table, std::vector<uint32_t>& free) {
  if (free.empty()) {
    table.emplace_back();
    return static_cast<uint32_t>(table.size() - 1);
  }
  const uint32_t index = free.back();
  free.pop_back();
  return index;
}

}  // namespace

ErofsTree::ErofsTree(uint64_t max_memory) : max_memory_(max_memory) {
  xattrs_.emplace_back();
  (void)NewNode(S_IFDIR | 0755);
  nodes_[kRoot].names = 1;
}

absl::Status ErofsTree::Charge(uint64_t bytes) {
  memory_ += bytes;
  if (memory_ <= max_memory_) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      "the layer has too many files for an EROFS image; directories can hold it");
}

uint32_t ErofsTree::NewNode(mode_t mode) {
  const uint32_t id = Place(nodes_, free_nodes_);
  nodes_[id] = Node{.mode = static_cast<uint16_t>(mode)};
  (void)clock_gettime(CLOCK_REALTIME, &nodes_[id].mtime);
  if (S_ISDIR(mode)) nodes_[id].detail = Place(directories_, free_directories_);
  if (S_ISLNK(mode)) nodes_[id].detail = Place(symlinks_, free_symlinks_);
  return id;
}

uint32_t ErofsTree::Find(uint32_t directory, absl::string_view name) const {
  const auto& children = this->directory(directory).children;
  const auto it = children.find(name);
  return it == children.end() ? kNone : it->second;
}

absl::StatusOr<uint32_t> ErofsTree::Resolve(absl::string_view path, LastLink last_link) const {
  if (path.size() >= PATH_MAX) return absl::InvalidArgumentError("path too long");
  // The rest of the path and of the symlinks met on it, the innermost last.
  std::vector<absl::string_view> rest = {path};
  uint32_t at = kRoot;
  int symlinks = 0;
  while (!rest.empty()) {
    absl::string_view& left = rest.back();
    left.remove_prefix(std::min(left.find_first_not_of('/'), left.size()));
    if (left.empty()) {
      rest.pop_back();
      continue;
    }
    const size_t end = std::min(left.find('/'), left.size());
    const absl::string_view name = left.substr(0, end);
    left.remove_prefix(end);
    // A slash at the end asks for a directory, which only the last step could miss.
    bool last = true;
    for (const absl::string_view text : rest) last &= text.empty();
    if (name.size() > kMaxComponent) return absl::InvalidArgumentError("component too long");
    if (!S_ISDIR(nodes_[at].mode)) return NoDirectory(name);
    if (name == ".") continue;
    if (name == "..") {
      at = directory(at).parent;
      continue;
    }
    const uint32_t next = Find(at, name);
    if (next == kNone) return absl::NotFoundError(absl::StrCat("nothing is called '", name, "'"));
    if (!S_ISLNK(nodes_[next].mode) || (last && last_link == LastLink::kItself)) {
      at = next;
      if (!last && !S_ISDIR(nodes_[at].mode)) return NoDirectory(name);
      continue;
    }
    if (++symlinks > kMaxSymlinks) return absl::FailedPreconditionError("too many symlinks");
    const std::string& target = symlink(next);
    if (target[0] == '/') at = kRoot;
    rest.push_back(target);
  }
  return at;
}

std::string ErofsTree::PathOf(uint32_t id) const {
  if (id == kRoot) return ".";
  std::vector<absl::string_view> names;
  for (; id != kRoot; id = directory(id).parent) names.push_back(directory(id).name);
  std::string path(names.back());
  for (auto name = std::next(names.rbegin()); name != names.rend(); ++name) {
    absl::StrAppend(&path, "/", *name);
  }
  return path;
}

bool ErofsTree::IsBelow(uint32_t id, uint32_t ancestor) const {
  while (id != ancestor && id != kRoot) id = directory(id).parent;
  return id == ancestor;
}

absl::StatusOr<uint32_t> ErofsTree::Make(uint32_t parent,
                                         const std::string& name,
                                         mode_t mode,
                                         const std::string& target) {
  CRISP_RETURN_IF_ERROR(
      Charge(sizeof(Node) + (S_ISDIR(mode) ? kDirectoryOverhead : 0) + target.size()));
  const uint32_t id = NewNode(mode);
  if (S_ISDIR(mode)) {
    Directory& made = directories_[nodes_[id].detail];
    made.parent = parent;
    made.depth = directory(parent).depth + 1;
    made.name = name;
  } else if (S_ISLNK(mode)) {
    symlinks_[nodes_[id].detail] = target;
    nodes_[id].size = target.size();
  }
  CRISP_RETURN_IF_ERROR(Link(parent, name, id));
  return id;
}

absl::Status ErofsTree::Link(uint32_t parent, const std::string& name, uint32_t id) {
  CRISP_RETURN_IF_ERROR(Charge(name.size() + kNameOverhead));
  directories_[nodes_[parent].detail].children[name] = id;
  ++nodes_[id].names;
  return absl::OkStatus();
}

void ErofsTree::Free(uint32_t id, std::vector<uint32_t>& directories, Removed& removed) {
  Node& node = nodes_[id];
  if (--node.names > 0) return;
  ++removed.inodes;
  if (S_ISREG(node.mode)) removed.bytes += node.size;
  memory_ -= std::min(memory_, uint64_t{sizeof(Node)});
  if (S_ISDIR(node.mode)) {
    directories.push_back(id);
    return;
  }
  if (S_ISLNK(node.mode)) {
    symlinks_[node.detail].clear();
    free_symlinks_.push_back(node.detail);
  }
  free_nodes_.push_back(id);
}

ErofsTree::Removed ErofsTree::Remove(uint32_t parent, const std::string& name) {
  Removed removed;
  auto& siblings = directories_[nodes_[parent].detail].children;
  const auto it = siblings.find(name);
  if (it == siblings.end()) return removed;
  std::vector<uint32_t> directories;  // to be emptied
  Free(it->second, directories, removed);
  siblings.erase(it);
  memory_ -= std::min(memory_, name.size() + kNameOverhead);
  while (!directories.empty()) {
    const uint32_t id = directories.back();
    directories.pop_back();
    const Directory gone = std::exchange(directories_[nodes_[id].detail], Directory());
    for (const auto& [child_name, child] : gone.children) {
      memory_ -= std::min(memory_, child_name.size() + kNameOverhead);
      Free(child, directories, removed);
    }
    free_directories_.push_back(nodes_[id].detail);
    free_nodes_.push_back(id);
  }
  return removed;
}

absl::StatusOr<uint32_t> ErofsTree::InternXattrs(const XattrMap& xattrs) {
  CRISP_ASSIGN_OR_RETURN(std::string bytes, EncodeErofsXattrs(xattrs));
  if (bytes.empty()) return 0;
  const auto [it, inserted] =
      xattr_numbers_.try_emplace(bytes, static_cast<uint32_t>(xattrs_.size()));
  if (inserted) {
    CRISP_RETURN_IF_ERROR(Charge(3 * bytes.size() + kNameOverhead));
    xattrs_.push_back({xattrs, std::move(bytes)});
  }
  return it->second;
}

}  // namespace crisp::storage
