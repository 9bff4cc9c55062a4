#include "storage/store/root_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/lower.h"
#include "base/status.h"
#include "storage/store/overlay_changes.h"

namespace crisp::storage {
namespace {

constexpr size_t kMaxName = 250;
constexpr absl::string_view kKeyLine = "key ";
constexpr absl::string_view kNumbersLine = "numbers";
// Of verifying layers after the machine went down without warning.
constexpr absl::Duration kVerifyTime = absl::Minutes(2);

bool IsPlain(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
}

// A key as a directory's name: reversible, and never "." or with a '/'.
absl::StatusOr<std::string> NameOf(absl::string_view key) {
  std::string name;
  for (const char c : key) {
    if (IsPlain(c)) {
      name += c;
    } else {
      absl::StrAppend(&name, "%", absl::BytesToHexString({&c, 1}));
    }
  }
  if (name.empty() || name.size() > kMaxName) {
    return absl::InvalidArgumentError(absl::StrCat("container key '", key, "': bad length"));
  }
  return name;
}

std::string KeyOf(absl::string_view name) {
  std::string key;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '%' && i + 2 < name.size()) {
      key += absl::HexStringToBytes(name.substr(i + 1, 2));
      i += 2;
    } else {
      key += name[i];
    }
  }
  return key;
}

absl::Status MakeDir(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) != 0) return ErrnoError(errno, absl::StrCat("mkdir ", path));
  return absl::OkStatus();
}

// overlayfs shows the upper directory's owner and mode as the root's: those of the image, but
// whatever it says, everybody may look into its root. One of mode 0700 is an accident of how it was
// built, and no program but root's would start there.
absl::Status CopyOwner(const Lower& from, const std::string& to) {
  struct stat st {};
  CRISP_ASSIGN_OR_RETURN(const UniqueFd root, OpenLower(from, O_PATH));
  if (fstat(root.get(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", PathOf(from)));
  if (chmod(to.c_str(), (st.st_mode & 07777) | 0555) != 0)
    return ErrnoError(errno, absl::StrCat("chmod ", to));
  if ((st.st_uid != 0 || st.st_gid != 0) && chown(to.c_str(), st.st_uid, st.st_gid) != 0) {
    return ErrnoError(errno, absl::StrCat("chown ", to));
  }
  return absl::OkStatus();
}

// One write(2) to a file that is there: cheap, and not to be cut in two by the daemon's death.
absl::Status AppendKey(const std::string& path, const std::string& key) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd ref, Open(path, O_WRONLY | O_APPEND));
  return WriteAll(ref.get(), absl::StrCat("\n", kKeyLine, key, "\n"), path);
}

// Who reads it without knowing it takes it for a layer that is not there.
std::string NumbersLine(const std::vector<LayerRecord>& layers) {
  std::string line(kNumbersLine);
  for (const LayerRecord& layer : layers) absl::StrAppend(&line, " ", layer.number);
  return line;
}

absl::Status NotKnown(absl::string_view key) {
  return absl::NotFoundError(absl::StrCat("container ", key, ": the image store does not know it"));
}

}  // namespace

absl::StatusOr<RootFs> RootStore::MakeRoot(const Entry& entry) const {
  RootFs root;
  // overlayfs refuses a directory that comes twice; below its own upper copy a layer adds nothing.
  std::set<int64_t> seen;
  for (auto layer = entry.layers.rbegin(); layer != entry.layers.rend(); ++layer) {
    if (!seen.insert(layer->number).second) continue;
    CRISP_ASSIGN_OR_RETURN(Lower lower, layers_->Root(*layer));
    root.lower_dirs.push_back(std::move(lower));
    if (layer->opaque_root) break;
  }
  // At least one lower directory, and without an upper one at least two.
  if (root.lower_dirs.empty() || (!entry.writable() && root.lower_dirs.size() < 2)) {
    root.lower_dirs.push_back(layers_->paths().empty());
  }
  if (entry.writable()) {
    root.upper_dir = entry.upper_dir();
    root.work_dir = entry.dir + "/work";
  }
  return root;
}

absl::Status RootStore::MakeDirectories(const Entry& entry, const RootFs& root) {
  const std::string& dir = entry.dir;
  CRISP_RETURN_IF_ERROR(MakeDir(dir, 0700));
  CRISP_ASSIGN_OR_RETURN(const UniqueFd ref, Open(dir + "/ref", O_WRONLY | O_CREAT | O_EXCL, 0600));
  CRISP_RETURN_IF_ERROR(
      WriteAll(ref.get(),
               absl::StrCat(entry.writable() ? "container" : "view", "\n",
                            absl::StrJoin(entry.diff_ids, "\n"), "\n", NumbersLine(entry.layers)),
               dir));
  if (!entry.writable()) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(MakeDir(root.work_dir, 0700));
  CRISP_RETURN_IF_ERROR(MakeDir(root.upper_dir, 0755));
  return CopyOwner(root.lower_dirs.front(), root.upper_dir);
}

// NotFound when this caller is the first and has to make it.
absl::StatusOr<RootStore::Entry> RootStore::Existing(const std::string& key) {
  absl::MutexLock lock(&mutex_);
  while (true) {
    const auto [it, inserted] = entries_.try_emplace(key);
    if (inserted) return NotKnown(key);
    if (it->second.ready) return it->second;
    changed_.Wait(&mutex_);
  }
}

absl::StatusOr<RootFs> RootStore::Prepare(absl::string_view key,
                                          absl::string_view image_id,
                                          Kind kind) {
  CRISP_ASSIGN_OR_RETURN(const std::string name, NameOf(key));
  const absl::StatusOr<Entry> existing = Existing(std::string(key));
  if (existing.ok()) return MakeRoot(*existing);
  Entry entry{.dir = absl::StrCat(layers_->paths().containers(), "/", name), .kind = kind};
  absl::StatusOr<std::vector<LayerRecord>> pinned = layers_->Pin(
      [&]() -> absl::StatusOr<std::vector<std::string>> {
        CRISP_ASSIGN_OR_RETURN(const ImagePtr image, catalog_->Find(image_id));
        entry.diff_ids = image->layers;
        return entry.diff_ids;
      },
      Operation(absl::Now() + kVerifyTime));
  absl::Status status = pinned.status();
  absl::StatusOr<RootFs> root = RootFs();
  if (status.ok()) {
    entry.layers = *std::move(pinned);
    root = MakeRoot(entry);
    status = root.ok() ? MakeDirectories(entry, *root) : root.status();
    if (!status.ok()) {
      layers_->Unpin(entry.diff_ids);
      layers_->TrashSurely(entry.dir);
    }
  }
  absl::MutexLock lock(&mutex_);
  changed_.SignalAll();
  if (!status.ok()) {
    entries_.erase(std::string(key));
    return status;
  }
  entry.ready = true;
  entry.usage = {.mountpoint = entry.upper_dir(),
                 .used_bytes = entry.writable() ? 4096u : 0u,
                 .inodes_used = entry.writable() ? 1u : 0u,
                 .timestamp = absl::Now()};
  entries_[std::string(key)] = std::move(entry);
  return root;
}

absl::Status RootStore::Rekey(absl::string_view key, absl::string_view new_key) {
  CRISP_RETURN_IF_ERROR(NameOf(new_key).status());
  const std::string from(key), to(new_key);
  Entry entry;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(from);
    if (it == entries_.end() || !it->second.ready) return NotKnown(key);
    if (!entries_.try_emplace(to).second) {
      return absl::AlreadyExistsError(
          absl::StrCat("container ", to, ": has its directories already"));
    }
    entry = it->second;
    it->second.ready = false;  // others wait for the outcome
  }
  const absl::Status status = AppendKey(entry.dir + "/ref", to);
  absl::MutexLock lock(&mutex_);
  entries_[status.ok() ? to : from] = std::move(entry);
  entries_.erase(status.ok() ? from : to);
  changed_.SignalAll();
  return status;
}

absl::Status RootStore::Release(absl::string_view key) {
  Entry entry;
  {
    absl::MutexLock lock(&mutex_);
    auto it = entries_.find(std::string(key));
    while (it != entries_.end() && !it->second.ready) {
      changed_.Wait(&mutex_);
      it = entries_.find(std::string(key));
    }
    if (it == entries_.end()) return absl::OkStatus();
    it->second.ready = false;  // others wait for the outcome
    entry = it->second;
  }
  const absl::Status status = LetGo(entry);
  if (!status.ok()) LogWarning("release_later", {{"container", key}, {"error", status.ToString()}});
  absl::MutexLock lock(&mutex_);
  entries_.erase(std::string(key));
  if (!status.ok()) to_release_.push_back(std::move(entry));
  changed_.SignalAll();
  return absl::OkStatus();
}

absl::Status RootStore::LetGo(const Entry& entry) {
  CRISP_RETURN_IF_ERROR(layers_->Trash(entry.dir));
  layers_->Unpin(entry.diff_ids);
  layers_->Unhold(entry.held);
  return absl::OkStatus();
}

void RootStore::RetryReleases() {
  std::vector<Entry> entries;
  {
    absl::MutexLock lock(&mutex_);
    entries.swap(to_release_);
  }
  std::erase_if(entries, [&](const Entry& entry) { return LetGo(entry).ok(); });
  absl::MutexLock lock(&mutex_);
  to_release_.insert(to_release_.end(), entries.begin(), entries.end());
}

bool RootStore::HasReleases() const {
  absl::MutexLock lock(&mutex_);
  return !to_release_.empty();
}

absl::StatusOr<bool> RootStore::Recover() {
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         ListDir(layers_->paths().containers()));
  bool all_told = true;
  for (const std::string& name : names) all_told &= RecoverOne(name);
  return all_told;
}

bool RootStore::RecoverOne(const std::string& name) {
  const std::string dir = absl::StrCat(layers_->paths().containers(), "/", name);
  const std::string ref = ReadFile(dir + "/ref").value_or("");
  std::vector<std::string> lines = absl::StrSplit(ref, '\n', absl::SkipEmpty());
  Entry entry{.ready = true, .dir = dir};
  std::string key = KeyOf(name);
  if (!lines.empty() && absl::StartsWith(lines.back(), kKeyLine)) {
    key = lines.back().substr(kKeyLine.size());
    lines.pop_back();
  }
  bool told = true;
  // A creation that was cut short pins nothing, but has a key to be released by.
  if (!lines.empty()) {
    entry.kind = lines.front() == "container" ? Kind::kContainer : Kind::kView;
    lines.erase(lines.begin());
    std::vector<absl::string_view> numbers;
    if (!lines.empty() && absl::StartsWith(lines.back(), kNumbersLine)) {
      numbers = absl::StrSplit(absl::string_view(lines.back()).substr(kNumbersLine.size()), ' ',
                               absl::SkipEmpty());
    }
    const size_t count = lines.size() - (numbers.empty() ? 0 : 1);
    for (size_t i = 0; i < count; ++i) {
      std::vector<LayerRecord> layer = layers_->Repin({lines[i]});
      int64_t number = 0;
      const bool numbered = numbers.size() == count && absl::SimpleAtoi(numbers[i], &number);
      if (!layer.empty() && numbered && layer[0].number != number) {
        layers_->Unpin({lines[i]});  // pulled again since; the container stands on the former one
        layer.clear();
      }
      if (!layer.empty()) {
        entry.diff_ids.push_back(lines[i]);
      } else {
        told &= numbered || lines[i] == kNumbersLine;
        if (numbered) layer = layers_->Hold({{lines[i], number}});
        entry.held.insert(entry.held.end(), layer.begin(), layer.end());
      }
      entry.layers.insert(entry.layers.end(), layer.begin(), layer.end());
    }
    if (!entry.held.empty()) {
      LogWarning("layers_held", {{"container", key},
                                 {"layers", absl::StrCat(entry.held.size())},
                                 {"error", "the catalog does not list what it stands on"}});
    }
  }
  entry.usage = {.mountpoint = entry.upper_dir(), .timestamp = absl::UnixEpoch()};
  absl::MutexLock lock(&mutex_);
  entries_[key] = std::move(entry);
  return told;
}

std::vector<std::string> RootStore::Keys() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, entry] : entries_) keys.push_back(key);
  return keys;
}

std::vector<std::string> RootStore::UsersOf(absl::string_view diff_id) const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, entry] : entries_) {
    if (absl::StartsWith(key, kSpareKeyPrefix)) continue;
    for (const std::string& id : entry.diff_ids) {
      if (id != diff_id) continue;
      keys.push_back(key);
      break;
    }
  }
  return keys;
}

absl::StatusOr<FsUsage> RootStore::Usage(absl::string_view key) const {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(std::string(key));
  if (it == entries_.end() || !it->second.ready) return NotKnown(key);
  return it->second.usage;
}

FsUsage RootStore::TotalUsage() const {
  FsUsage total{.mountpoint = layers_->paths().root, .timestamp = absl::Now()};
  absl::MutexLock lock(&mutex_);
  for (const auto& [key, entry] : entries_) {
    if (absl::StartsWith(key, kSpareKeyPrefix)) continue;
    total.used_bytes += entry.usage.used_bytes;
    total.inodes_used += entry.usage.inodes_used;
  }
  return total;
}

absl::StatusOr<Changes> RootStore::ChangesOf(absl::string_view key,
                                             const ChangeLimits& limits,
                                             const Operation& operation) const {
  Entry entry;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(std::string(key));
    if (it == entries_.end() || !it->second.ready || !it->second.writable()) return NotKnown(key);
    entry = it->second;
  }
  // A pin of this call's own: the container may be released while its layers are looked at.
  std::vector<std::string> pinned;
  for (const LayerRecord& layer : layers_->Repin(entry.diff_ids)) pinned.push_back(layer.diff_id);
  const auto unpin = absl::MakeCleanup([&] { layers_->Unpin(pinned); });
  CRISP_ASSIGN_OR_RETURN(const RootFs root, MakeRoot(entry));
  return ListChanges(root.upper_dir, root.lower_dirs, limits, operation);
}

void RootStore::Measure(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    std::string upper;
    {
      absl::MutexLock lock(&mutex_);
      const auto it = entries_.find(key);
      if (it == entries_.end() || !it->second.ready || !it->second.writable()) continue;
      upper = it->second.upper_dir();
    }
    const absl::StatusOr<TreeUsage> usage = MeasureTree(upper);
    if (!usage.ok()) continue;
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(key);
    if (it == entries_.end()) continue;
    it->second.usage = {.mountpoint = upper,
                        .used_bytes = usage->bytes,
                        .inodes_used = usage->inodes,
                        .timestamp = absl::Now()};
  }
}

}  // namespace crisp::storage
