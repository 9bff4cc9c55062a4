#include "cri/containers/spare_roots.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/lower.h"
#include "base/status.h"
#include "runtime/handler/detached_overlay.h"

namespace crisp::cri {
namespace {

constexpr size_t kShelves = 8;
// The next steps of a container that takes one come first.
constexpr absl::Duration kPause = absl::Milliseconds(20);

}  // namespace

std::optional<SpareRoots::Root> SpareRoots::Take(const std::string& image_id) {
  if (each_ == 0) return std::nullopt;
  std::optional<Root> taken;
  std::vector<Root> unwanted;
  bool fill = false;
  {
    absl::MutexLock lock(&mutex_);
    if (!able_) return std::nullopt;
    if (Find(image_id) == nullptr) {
      shelves_.push_front({.image_id = image_id});
      if (shelves_.size() > kShelves) {
        unwanted = std::move(shelves_.back().roots);
        shelves_.pop_back();
      }
    }
    Shelf& shelf = *Find(image_id);
    if (!shelf.roots.empty()) {
      taken = std::move(shelf.roots.back());
      shelf.roots.pop_back();
    }
    fill = !std::exchange(shelf.filling, true);
  }
  if (fill) queue_->PostAt(absl::Now() + kPause, [this, image_id] { Fill(image_id); });
  // Work on the disk, which the container that is being created need not wait for.
  if (!unwanted.empty()) {
    queue_->Post([this, unwanted = std::make_shared<std::vector<Root>>(std::move(unwanted))] {
      for (Root& root : *unwanted) Release(std::move(root));
    });
  }
  return taken;
}

void SpareRoots::Drop(const std::string& image_id) {
  std::vector<Root> unwanted;
  {
    absl::MutexLock lock(&mutex_);
    if (Find(image_id) == nullptr) return;
    unwanted = std::move(shelves_.front().roots);
    shelves_.pop_front();
  }
  for (Root& root : unwanted) Release(std::move(root));
}

void SpareRoots::DropAll() {
  std::vector<Root> unwanted;
  {
    absl::MutexLock lock(&mutex_);
    for (Shelf& shelf : shelves_) {
      for (Root& root : shelf.roots) unwanted.push_back(std::move(root));
    }
    shelves_.clear();
  }
  for (Root& root : unwanted) Release(std::move(root));
}

void SpareRoots::Fill(const std::string& image_id) {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      Shelf* shelf = Find(image_id);
      if (shelf == nullptr) return;
      if (!able_ || static_cast<int>(shelf->roots.size()) >= each_) {
        shelf->filling = false;
        return;
      }
    }
    absl::StatusOr<Root> made = Make(image_id);
    if (Shelve(image_id, made)) continue;
    if (made.ok()) Release(*std::move(made));
    return;
  }
}

bool SpareRoots::Shelve(const std::string& image_id, absl::StatusOr<Root>& made) {
  absl::MutexLock lock(&mutex_);
  Shelf* shelf = Find(image_id);
  if (made.ok() && shelf != nullptr) {
    shelf->roots.push_back(*std::move(made));
    return true;
  }
  if (shelf != nullptr) shelf->filling = false;
  if (absl::IsUnimplemented(made.status())) able_ = false;
  return false;
}

absl::StatusOr<SpareRoots::Root> SpareRoots::Make(const std::string& image_id) {
  Root made{.key = absl::StrCat(storage::kSpareKeyPrefix, GenerateId())};
  CRISP_ASSIGN_OR_RETURN(made.root, images_->PrepareContainer(made.key, image_id));
  std::vector<Lower> lowers = made.root.lower_dirs;
  if (!bottom_.empty()) lowers.push_back(bottom_);
  auto mount = runtime::MountDetachedOverlay(lowers, made.root.upper_dir, made.root.work_dir);
  if (!mount.ok()) {
    (void)images_->ReleaseContainer(made.key);
    return mount.status();
  }
  made.mount = *std::move(mount);
  return made;
}

SpareRoots::Shelf* SpareRoots::Find(const std::string& image_id) {
  for (auto shelf = shelves_.begin(); shelf != shelves_.end(); ++shelf) {
    if (shelf->image_id != image_id) continue;
    shelves_.splice(shelves_.begin(), shelves_, shelf);
    return &*shelf;
  }
  return nullptr;
}

void SpareRoots::Release(Root root) {
  root.mount.reset();
  const absl::Status released = images_->ReleaseContainer(root.key);
  if (!released.ok()) LogWarning("spare root", {{"key", root.key}, {"error", released.ToString()}});
}

}  // namespace crisp::cri
