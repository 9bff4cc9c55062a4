#include "runtime/devices/cdi_registry.h"

#include <fcntl.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxFile = 8u << 20;

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

absl::Status Failed(absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("CDI device injection failed: ", why));
}

absl::StatusOr<CdiSpec> ReadSpec(int fd, const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(const std::string text, ReadFd(fd, path, kMaxFile));
  return ParseCdiSpec(text);
}

}  // namespace

std::shared_ptr<const CdiRegistry::File> CdiRegistry::Load(const std::string& path) {
  auto file = std::make_shared<File>();
  // A FIFO or a device among the files must not hold us up.
  absl::StatusOr<UniqueFd> fd = Open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd.ok()) {
    file->spec = fd.status();
    return file;
  }
  if (::fstat(fd->get(), &file->identity) != 0 || !S_ISREG(file->identity.st_mode)) {
    file->spec = absl::InvalidArgumentError("is not a regular file");
    return file;
  }
  {
    absl::MutexLock lock(&mutex_);
    auto known = files_.find(path);
    if (known != files_.end() && SameFile(known->second->identity, file->identity))
      return known->second;
  }
  file->spec = ReadSpec(fd->get(), path);
  absl::MutexLock lock(&mutex_);
  files_[path] = file;
  return file;
}

CdiRegistry::Index CdiRegistry::Scan(std::map<std::string, std::string>& errors) {
  Index index;
  std::set<std::string> present;
  for (const std::string& dir : dirs_) {
    auto names = ListDir(dir);
    if (!names.ok()) {
      if (!absl::IsNotFound(names.status())) errors[dir] = std::string(names.status().message());
      continue;
    }
    std::sort(names->begin(), names->end());
    Index here;
    for (const std::string& name : *names) {
      if (!absl::EndsWith(name, ".json") && !absl::EndsWith(name, ".yaml")) continue;
      const std::string path = absl::StrCat(dir, "/", name);
      present.insert(path);
      const std::shared_ptr<const File> file = Load(path);
      if (!file->spec.ok()) {
        errors[path] = std::string(file->spec.status().message());
        continue;
      }
      for (const auto& [device, edits] : file->spec->devices) {
        auto [entry, fresh] = here.try_emplace(absl::StrCat(file->spec->kind, "=", device),
                                               Found{.file = file, .path = path, .conflict = ""});
        if (!fresh) entry->second.conflict = path;
      }
    }
    for (auto& [device, found] : here) index[device] = std::move(found);
  }
  absl::MutexLock lock(&mutex_);
  std::erase_if(files_, [&present](const auto& entry) { return present.count(entry.first) == 0; });
  return index;
}

absl::StatusOr<CdiEdits> CdiRegistry::EditsOf(const std::string& device,
                                              const Found& found,
                                              std::vector<const File*>& begun) const {
  if (!found.conflict.empty()) {
    return Failed(
        absl::StrCat("device ", device, " is defined by ", found.path, " and by ", found.conflict));
  }
  CdiEdits edits;
  if (std::find(begun.begin(), begun.end(), found.file.get()) == begun.end()) {
    begun.push_back(found.file.get());
    edits = found.file->spec->edits;
  }
  edits.Append(found.file->spec->devices.at(device.substr(device.find('=') + 1)));
  if (!edits.unsupported.empty()) {
    return Failed(absl::StrCat("device ", device, " needs ", absl::StrJoin(edits.unsupported, ", "),
                               ", which crisp does not support"));
  }
  const absl::Status complete = CompleteCdiEdits(edits, stat_);
  if (absl::IsDeadlineExceeded(complete))
    return Annotate(complete, absl::StrCat("device ", device));
  if (!complete.ok())
    return Failed(absl::StrCat("device ", device, ": ", std::string(complete.message())));
  return edits;
}

absl::StatusOr<CdiEdits> CdiRegistry::Resolve(const std::vector<std::string>& devices) {
  CdiEdits all;
  if (devices.empty()) return all;
  for (const std::string& device : devices)
    CRISP_RETURN_IF_ERROR(ParseCdiDeviceName(device).status());
  std::map<std::string, std::string> errors;
  const Index index = Scan(errors);
  std::vector<std::string> unresolved;
  std::vector<const File*> begun;
  std::set<std::string> seen;
  for (const std::string& device : devices) {
    if (!seen.insert(device).second) continue;
    const auto found = index.find(device);
    if (found == index.end()) {
      unresolved.push_back(device);
      continue;
    }
    CRISP_ASSIGN_OR_RETURN(const CdiEdits edits, EditsOf(device, found->second, begun));
    all.Append(edits);
  }
  if (unresolved.empty()) return all;
  std::string why = absl::StrCat("unresolvable CDI devices ", absl::StrJoin(unresolved, ", "),
                                 " (looked in ", absl::StrJoin(dirs_, ", "), ")");
  for (const auto& [path, error] : errors) absl::StrAppend(&why, "; ", path, ": ", error);
  return Failed(why);
}

CdiRegistry::Listing CdiRegistry::List() {
  Listing listing;
  for (const auto& [device, found] : Scan(listing.errors)) {
    if (found.conflict.empty())
      listing.devices.push_back(device);
    else
      listing.errors[found.path] =
          absl::StrCat("device ", device, " is also defined by ", found.conflict);
  }
  return listing;
}

}  // namespace crisp::runtime
