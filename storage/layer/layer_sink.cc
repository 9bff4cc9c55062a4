#include "storage/layer/layer_sink.h"

#include <algorithm>

#include "absl/container/btree_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/utf8.h"

namespace crisp::storage {
namespace {

constexpr absl::string_view kWhiteoutPrefix = ".wh.";
constexpr absl::string_view kOpaqueMarker = ".wh..wh..opq";
constexpr absl::string_view kWhiteoutMeta =
    ".wh..wh.";  // aufs' own bookkeeping; means nothing here

constexpr size_t kDroppedNames = 16;

}  // namespace

std::string ShownName(absl::string_view name) { return ShownBytes(name); }

absl::Status BadEntry(absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("layer entry '", ShownName(path), "': ", why));
}

bool IsAllowedXattr(absl::string_view name) {
  if (absl::StartsWith(name, "user.")) return !absl::StartsWith(name, "user.overlay.");
  return name == "security.capability" || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

absl::StatusOr<LayerName> SplitLayerName(absl::string_view path, const ApplyLimits& limits) {
  if (path.size() > limits.max_name) return BadEntry(path, "name too long");
  if (path.find('\0') != absl::string_view::npos) return BadEntry(path, "name holds a NUL");
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part == "..") {
      // By the name alone, as others do it, not through what the directory may be a symlink to.
      if (parts.empty()) return BadEntry(path, "name leads upwards");
      parts.pop_back();
      continue;
    }
    if (part.size() > limits.max_component) return BadEntry(path, "component too long");
    parts.push_back(part);
  }
  if (parts.size() > static_cast<size_t>(limits.max_depth))
    return BadEntry(path, "nested too deep");
  LayerName name;
  if (parts.empty()) return name;
  name.base = std::string(parts.back());
  parts.pop_back();
  name.parent = absl::StrJoin(parts, "/");
  return name;
}

absl::Status LayerSink::CheckCounts(const LayerEntry& entry) {
  if (++content_.entries > limits_.max_entries) {
    return absl::ResourceExhaustedError(absl::StrCat("layer has more than ", limits_.max_entries,
                                                     " files (image.max_layer_files)"));
  }
  if (limits_.look_around && content_.entries % ApplyLimits::kLookAroundEvery == 0) {
    CRISP_RETURN_IF_ERROR(limits_.look_around());
  }
  size_t xattr_bytes = 0;
  for (const auto& [name, value] : entry.xattrs) {
    xattr_bytes += name.size() + value.size();
    if (!IsAllowedXattr(name)) NoteDropped(name);
  }
  if (xattr_bytes > limits_.max_xattr_bytes) {
    return BadEntry(entry.path, "too many extended attributes");
  }
  return absl::OkStatus();
}

void LayerSink::NoteDropped(const std::string& xattr) {
  std::vector<std::string>& known = content_.dropped_xattrs;
  if (known.size() >= kDroppedNames || std::find(known.begin(), known.end(), xattr) != known.end())
    return;
  known.push_back(xattr);
}

absl::StatusOr<bool> LayerSink::Add(const LayerEntry& entry) {
  CRISP_RETURN_IF_ERROR(CheckCounts(entry));
  CRISP_ASSIGN_OR_RETURN(const LayerName name, SplitLayerName(entry.path, limits_));
  if (name.base.empty()) {
    if (entry.type != LayerEntry::Type::kDirectory)
      return BadEntry(entry.path, "replaces the root");
    CRISP_RETURN_IF_ERROR(DescribeRoot(entry));
    return false;
  }
  CRISP_ASSIGN_OR_RETURN(const int parent, Parent(name.parent));
  if (absl::StartsWith(name.base, kWhiteoutPrefix)) {
    CRISP_RETURN_IF_ERROR(Whiteout(parent, name));
    return false;
  }
  switch (entry.type) {
    case LayerEntry::Type::kFile:
      CRISP_RETURN_IF_ERROR(File(parent, name, entry));
      return true;
    case LayerEntry::Type::kDirectory:
      CRISP_RETURN_IF_ERROR(Directory(parent, name, entry));
      return false;
    case LayerEntry::Type::kHardlink:
      CRISP_RETURN_IF_ERROR(AddLink(parent, name, entry));
      return false;
    case LayerEntry::Type::kSymlink:
      if (entry.target.empty() || entry.target.size() > limits_.max_name) {
        return BadEntry(entry.path, "bad symlink target");
      }
      break;
    default:
      break;
  }
  CRISP_RETURN_IF_ERROR(Node(parent, name, entry));
  return false;
}

absl::Status LayerSink::Whiteout(int parent, const LayerName& name) {
  if (name.base == kOpaqueMarker) return Opaque(name.parent);
  if (absl::StartsWith(name.base, kWhiteoutMeta)) return absl::OkStatus();
  const LayerName hidden{.parent = name.parent, .base = name.base.substr(kWhiteoutPrefix.size())};
  if (hidden.base.empty() || hidden.base == "." || hidden.base == "..") {
    return BadEntry(name.path(), "whiteout of nothing");
  }
  // Entries of this layer itself stay (OCI image spec, layer.md, "Whiteouts"): a whiteout speaks of
  // the layers below. For a directory that means that nothing of theirs shows through.
  CRISP_ASSIGN_OR_RETURN(const Found found, Look(parent, hidden.base));
  if (found == Found::kDirectory) {
    CRISP_RETURN_IF_ERROR(SetOnItsOwn(parent, hidden.base));
    return Opaque(hidden.path());
  }
  if (found == Found::kOther) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(MakeWhiteout(parent, hidden));
  ++content_.inodes;
  whiteouts_.insert(hidden.path());
  return absl::OkStatus();
}

absl::Status LayerSink::AddLink(int parent, const LayerName& name, const LayerEntry& entry) {
  CRISP_ASSIGN_OR_RETURN(const LayerName target, SplitLayerName(entry.target, limits_));
  if (target.base.empty()) return BadEntry(entry.path, "hard link to the root");
  if (target.path() == name.path()) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(Link(parent, name, target, entry));
  whiteouts_.erase(name.path());
  return absl::OkStatus();
}

absl::StatusOr<bool> LayerSink::ReplaceWhiteout(const std::string& directory) {
  if (whiteouts_.erase(directory) == 0) return false;
  CRISP_RETURN_IF_ERROR(Opaque(directory));
  return true;
}

absl::Status LayerSink::Opaque(const std::string& directory) {
  content_.opaque_root |= directory.empty();
  return List(directory, content_.opaque_dirs);
}

std::vector<std::string> LayerSink::WhiteoutParents() const {
  absl::btree_set<std::string> parents;
  for (const std::string& whiteout : whiteouts_) {
    const size_t slash = whiteout.rfind('/');
    parents.insert(slash == std::string::npos ? "." : whiteout.substr(0, slash));
  }
  return {parents.begin(), parents.end()};
}

absl::Status LayerSink::List(const std::string& directory, std::vector<std::string>& list) {
  listed_bytes_ += directory.size() + 1;
  if (listed_bytes_ > limits_.max_listed_bytes) {
    return absl::ResourceExhaustedError(
        "layer has too many directories that are opaque, implied or hold whiteouts");
  }
  list.push_back(directory);
  return absl::OkStatus();
}

}  // namespace crisp::storage
