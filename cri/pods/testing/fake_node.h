#ifndef CRISP_CRI_PODS_TESTING_FAKE_NODE_H_
#define CRISP_CRI_PODS_TESTING_FAKE_NODE_H_

// For tests: a network, images and rows that know what is held of them, and fail when they are told
// to.

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "cri/pods/testing/fault_plan.h"
#include "cri/state/record_store.h"
#include "cri/testing/fakes.h"

namespace crisp::cri {

// Gives each pod an address until it is detached.
class FakeNetwork final : public FakePodNetwork {
 public:
  explicit FakeNetwork(FaultPlan& faults) : faults_(faults) {}

  absl::StatusOr<network::Attachment> Attach(const network::AttachRequest& request,
                                             const Operation&) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("PodNetwork::Attach"));
    absl::MutexLock lock(&mutex_);
    attached_.insert(request.pod_id);
    return network::Attachment{.addresses = {"10.1.2.3"}};
  }
  absl::Status Detach(absl::string_view pod_id, int, const Operation&) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("PodNetwork::Detach"));
    absl::MutexLock lock(&mutex_);
    attached_.erase(std::string(pod_id));
    return absl::OkStatus();
  }
  absl::Status Reconcile(const absl::flat_hash_set<std::string>& live) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("PodNetwork::Reconcile"));
    absl::MutexLock lock(&mutex_);
    std::erase_if(attached_, [&](const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return earlier_.contains(id) && !live.contains(id);
    });
    return absl::OkStatus();
  }
  // Called when a daemon starts: what is attached was an earlier one's.
  void BeginLife() {
    absl::MutexLock lock(&mutex_);
    earlier_ = attached_;
  }
  std::set<std::string> Attached() const {
    absl::MutexLock lock(&mutex_);
    return attached_;
  }

 private:
  FaultPlan& faults_;
  mutable absl::Mutex mutex_;
  std::set<std::string> attached_ ABSL_GUARDED_BY(mutex_), earlier_ ABSL_GUARDED_BY(mutex_);
};

// One image, "busybox:1", with one layer, `layer`.
class FakeContainerStore final : public FakeImageStore {
 public:
  FakeContainerStore(std::string layer, FaultPlan& faults)
      : layer_(std::move(layer)), faults_(faults) {
    Add({.id = "sha256:" + std::string(64, 'a'),
         .repo_tags = {"busybox:1"},
         .size_bytes = 1,
         .command = {"/bin/sh"}});
  }

  absl::StatusOr<storage::RootFs> PrepareContainer(absl::string_view key,
                                                   absl::string_view) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("ImageStore::PrepareContainer"));
    absl::MutexLock lock(&mutex_);
    pinned_.insert(std::string(key));
    return storage::RootFs{.lower_dirs = {layer_}, .upper_dir = "/upper", .work_dir = "/work"};
  }
  absl::StatusOr<storage::RootFs> PrepareView(absl::string_view key, absl::string_view) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("ImageStore::PrepareView"));
    absl::MutexLock lock(&mutex_);
    pinned_.insert(std::string(key));
    return storage::RootFs{.lower_dirs = {layer_}};
  }
  absl::Status ReleaseContainer(absl::string_view key) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("ImageStore::ReleaseContainer"));
    absl::MutexLock lock(&mutex_);
    pinned_.erase(std::string(key));
    return absl::OkStatus();
  }
  std::vector<std::string> PinnedKeys() const override {
    absl::MutexLock lock(&mutex_);
    return {pinned_.begin(), pinned_.end()};
  }

 private:
  const std::string layer_;
  FaultPlan& faults_;
  mutable absl::Mutex mutex_;
  std::set<std::string> pinned_ ABSL_GUARDED_BY(mutex_);
};

// The rows of a store, whose writing and reading fails when it is told to.
class FaultyRecords final : public RecordStore {
 public:
  FaultyRecords(std::unique_ptr<RecordStore> rows, FaultPlan& faults)
      : RecordStore(nullptr), rows_(std::move(rows)), faults_(faults) {}

  absl::Status Put(const state::PodRecord& record) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("RecordStore::Put(pod)"));
    return rows_->Put(record);
  }
  absl::Status Put(const state::ContainerRecord& record) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("RecordStore::Put(container)"));
    return rows_->Put(record);
  }
  absl::Status PutSpec(const std::string& id, const std::string& json) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("RecordStore::PutSpec"));
    return rows_->PutSpec(id, json);
  }
  absl::StatusOr<std::string> Spec(const std::string& id) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("RecordStore::Spec"));
    return rows_->Spec(id);
  }
  absl::StatusOr<bool> Has(const std::string& id) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("RecordStore::Has"));
    return rows_->Has(id);
  }
  absl::Status Erase(const std::string& id) override {
    CRISP_RETURN_IF_ERROR(faults_.Next("RecordStore::Erase"));
    return rows_->Erase(id);
  }
  // A test reads with this, too, so it does not fail.
  absl::StatusOr<Records> LoadAll() override { return rows_->LoadAll(); }

 private:
  const std::unique_ptr<RecordStore> rows_;
  FaultPlan& faults_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_TESTING_FAKE_NODE_H_
