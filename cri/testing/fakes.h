#ifndef CRISP_CRI_TESTING_FAKES_H_
#define CRISP_CRI_TESTING_FAKES_H_

// Test-only: stand-ins for what the CRI layer composes.

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/file.h"
#include "network/pod/pod_network.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

// Images in memory. Find() knows ids, tags and digests.
class FakeImageStore : public storage::ImageStore {
 public:
  absl::StatusOr<std::string> Pull(const std::string& reference,
                                   const storage::RegistryAuth& auth,
                                   const Operation& operation) override {
    last_auth = auth;
    last_deadline = operation.deadline();
    if (!pull_error.ok()) return pull_error;
    storage::Image image{.id = "sha256:" + std::string(64, 'b'), .size_bytes = 5};
    image.repo_tags = {reference};
    Add(image);
    return image.id;
  }
  absl::StatusOr<storage::Image> Find(absl::string_view reference) const override {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, image] : images_) {
      if (Names(image, reference)) return image;
    }
    return absl::NotFoundError(absl::StrCat("image ", reference));
  }
  std::vector<storage::Image> List() const override {
    absl::MutexLock lock(&mutex_);
    std::vector<storage::Image> result;
    for (const auto& [id, image] : images_) result.push_back(image);
    return result;
  }
  absl::Status Remove(absl::string_view reference) override {
    absl::MutexLock lock(&mutex_);
    for (auto it = images_.begin(); it != images_.end(); ++it) {
      if (!Names(it->second, reference)) continue;
      images_.erase(it);
      break;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Tag(absl::string_view reference, const std::string& name) override {
    auto image = Find(reference);
    if (!image.ok()) return image.status();
    image->repo_tags.push_back(name);
    Add(*image);
    return name;
  }
  absl::Status Untag(const std::string& name) override {
    auto image = Find(name);
    if (!image.ok()) return image.status();
    std::erase(image->repo_tags, name);
    Add(*image);
    return absl::OkStatus();
  }
  storage::FsUsage ImageUsage() const override {
    return {.mountpoint = "/store",
            .used_bytes = 11,
            .inodes_used = 2,
            .timestamp = absl::FromUnixSeconds(1)};
  }
  absl::StatusOr<storage::FsUsage> ContainerUsage(absl::string_view) const override {
    return absl::NotFoundError("container");
  }
  absl::StatusOr<storage::Changes> ContainerChanges(absl::string_view,
                                                    const storage::ChangeLimits&,
                                                    const Operation&) const override {
    return changes;
  }
  void MeasureContainers(const std::vector<std::string>&) override {}
  storage::FsUsage ContainersUsage() const override {
    return {.mountpoint = "/store/containers",
            .used_bytes = 7,
            .inodes_used = 1,
            .timestamp = absl::FromUnixSeconds(2)};
  }
  absl::StatusOr<storage::RootFs> PrepareContainer(absl::string_view, absl::string_view) override {
    return absl::NotFoundError("image");
  }
  absl::StatusOr<storage::RootFs> PrepareView(absl::string_view, absl::string_view) override {
    return absl::NotFoundError("image");
  }
  absl::Status Rekey(absl::string_view key, absl::string_view) override {
    return absl::NotFoundError(key);
  }
  absl::Status ReleaseContainer(absl::string_view) override { return absl::OkStatus(); }
  std::vector<std::string> PinnedKeys() const override { return {}; }
  absl::StatusOr<std::vector<storage::HistoryEntry>> History(
      absl::string_view reference) const override {
    auto image = Find(reference);
    if (!image.ok()) return image.status();
    return history;
  }
  absl::StatusOr<std::vector<std::string>> Import(int fd,
                                                  const std::string& name,
                                                  const Operation&) override {
    import_name = name;
    if (!import_error.ok()) return import_error;
    auto bytes = ReadFd(fd, "archive", 1u << 30);
    if (!bytes.ok()) return bytes.status();
    imported = *std::move(bytes);
    return std::vector<std::string>{"registry.local/imported:1"};
  }
  absl::Status Export(const std::vector<std::string>& references,
                      int fd,
                      const Operation&) override {
    auto image = Find(references.at(0));
    if (!image.ok()) return image.status();
    return WriteAll(fd, exported, "export");
  }
  absl::Status CollectGarbage() override { return absl::OkStatus(); }

  void Add(const storage::Image& image) {
    absl::MutexLock lock(&mutex_);
    images_[image.id] = image;
  }

  absl::Status pull_error, import_error;
  storage::RegistryAuth last_auth;
  absl::Time last_deadline;
  std::vector<storage::HistoryEntry> history;
  storage::Changes changes;
  std::string imported, import_name;
  std::string exported;

 private:
  static bool Names(const storage::Image& image, absl::string_view reference) {
    const auto has = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), reference) != names.end();
    };
    return absl::StartsWith(image.id, reference) || has(image.repo_tags) || has(image.repo_digests);
  }

  mutable absl::Mutex mutex_;
  std::map<std::string, storage::Image> images_;
};

class FakePodNetwork : public network::PodNetwork {
 public:
  absl::StatusOr<network::Attachment> Attach(const network::AttachRequest&,
                                             const Operation&) override {
    return absl::UnavailableError("fake");
  }
  absl::Status Isolate(int, int, const network::Sysctls&) override {
    ++isolated;
    return absl::OkStatus();
  }
  absl::Status Prepare(const std::string&, int, int) override {
    return absl::FailedPreconditionError("fake");
  }
  absl::Status Detach(absl::string_view, int, const Operation&) override {
    return absl::OkStatus();
  }
  absl::StatusOr<network::Attachment> Find(absl::string_view) const override {
    return absl::NotFoundError("pod");
  }
  absl::Status Reconcile(const absl::flat_hash_set<std::string>&) override {
    return absl::OkStatus();
  }
  network::NetworkCondition Condition() const override { return condition; }
  absl::Status SetPodCidr(absl::string_view value) override {
    cidrs = std::string(value);
    return value == "bad" || value.size() > 1000 ? absl::InvalidArgumentError("bad CIDR")
                                                 : absl::OkStatus();
  }
  absl::StatusOr<std::map<std::string, std::vector<network::InterfaceCounters>>> Counters()
      const override {
    return std::map<std::string, std::vector<network::InterfaceCounters>>();
  }
  absl::Status Reset() override { return absl::OkStatus(); }

  network::NetworkCondition condition{.ready = true};
  std::string cidrs;
  std::atomic<int> isolated = 0;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_TESTING_FAKES_H_
