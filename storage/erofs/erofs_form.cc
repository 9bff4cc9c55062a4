#include "storage/erofs/erofs_form.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "storage/erofs/erofs_check.h"
#include "storage/erofs/erofs_mount.h"
#include "storage/erofs/erofs_sink.h"

namespace crisp::storage {

absl::Status ErofsForm::Probe(const std::string& directory) const { return ProbeErofs(directory); }

absl::StatusOr<UniqueFd> ErofsForm::MakeTarget(const std::string& folder) const {
  return crisp::Open(MarkIn(folder), O_RDWR | O_CREAT | O_EXCL, 0600);
}

std::unique_ptr<LayerSink> ErofsForm::MakeSink(int target, ApplyLimits limits) const {
  ErofsOptions options;
  (void)getrandom(options.uuid.data(), options.uuid.size(), 0);
  return std::make_unique<ErofsSink>(target, options, std::move(limits));
}

absl::StatusOr<LayerSeal> ErofsForm::Seal(const std::string&, int target) const {
  return CheckErofs(target);
}

std::vector<std::string> ErofsForm::SyncSet(const std::string& folder) const {
  return {MarkIn(folder)};
}

absl::StatusOr<LayerForm::Root> ErofsForm::Open(const std::string& folder) const {
  const std::string path = MarkIn(folder);
  CRISP_ASSIGN_OR_RETURN(const UniqueFd file, crisp::Open(path, O_RDONLY));
  absl::StatusOr<UniqueFd> mount = MountErofs(file.get());
  if (!mount.ok()) return Annotate(mount.status(), path);
  const int fd = mount->get();
  return Root{.lower = Lower::Mount(fd), .mount = *std::move(mount)};
}

bool ErofsForm::LooksWhole(const std::string& folder, const LayerFacts& facts) const {
  struct stat st {};
  return stat(MarkIn(folder).c_str(), &st) == 0 &&
         static_cast<uint64_t>(st.st_size) == facts.seal.size;
}

absl::StatusOr<bool> ErofsForm::IsIntact(const std::string& folder,
                                         const LayerFacts& facts,
                                         const Operation&) const {
  const absl::StatusOr<UniqueFd> file = crisp::Open(MarkIn(folder), O_RDONLY);
  if (!file.ok()) return false;
  const absl::StatusOr<LayerSeal> seal = CheckErofs(file->get());
  return seal.ok() && *seal == facts.seal;
}

LayerUsage ErofsForm::Usage(const LayerFacts& facts) const {
  return {.bytes = facts.disk_bytes, .inodes = 2};
}

}  // namespace crisp::storage
