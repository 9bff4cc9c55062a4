#ifndef CRISP_NETWORK_CNI_CNI_NETWORK_H_
#define CRISP_NETWORK_CNI_CNI_NETWORK_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "base/thread.h"
#include "network/cni/cni_attachment.h"
#include "network/cni/cni_config.h"
#include "network/values/attach.h"
#include "network/values/network_options.h"

namespace crisp::network {

// Pods whose network is made by CNI plugins. Thread-safe: it serves pods in parallel, and the
// operations of one pod one after another. A pod is recorded, with the bytes of the configuration,
// before the first plugin runs. The record stays until a DEL with those bytes has succeeded; one
// background thread tries until it does.
class CniNetwork {
 public:
  static absl::StatusOr<std::unique_ptr<CniNetwork>> Create(const NetworkOptions& options);
  // Ends the background thread. A plugin that it runs is killed, and runs again in the daemon's
  // next life.
  ~CniNetwork();

  // The configuration in force; looks at the directory each time, parses on change. NotFound when
  // there is no file; InvalidArgument, naming the file, when the first one is bad.
  absl::StatusOr<std::shared_ptr<const CniConfig>> Config() const;

  // As in PodNetwork. Attach() uses `config`.
  absl::StatusOr<Attachment> Attach(const AttachRequest& request,
                                    const CniConfig& config,
                                    const Operation& operation);
  absl::Status Detach(absl::string_view pod_id, int netns_fd, const Operation& operation);
  absl::StatusOr<Attachment> Find(absl::string_view pod_id) const;
  // Runs DEL in the background for every pod that is not live or is of an earlier boot, and then GC
  // if the plugins know it.
  void Reconcile(const absl::flat_hash_set<std::string>& live);
  // Runs DEL for every recorded pod now. Returns the first failure after it has tried all of them.
  absl::Status Reset();
  void BeginRemoval();
  std::vector<std::string> LeftBehind() const;
  // Of the present configuration; starts no plugin (STATUS is asked in the background).
  NetworkCondition Condition() const;

  bool Has(absl::string_view pod_id) const;
  void AddHostLinks(absl::flat_hash_map<std::string, std::string>& pods_by_link) const;

 private:
  struct Entry {
    CniAttachment attachment;
    bool busy = false;       // an operation of this pod is running
    bool recovered = false;  // attached by an earlier daemon
    int failures = 0;
    absl::Time retry_at = absl::InfiniteFuture();
  };
  struct StatusAnswer {
    std::string config_text;
    absl::Time asked_at = absl::InfinitePast();
    absl::Status status;
  };
  // While it lives, its maker alone operates on the pod. If a DEL is still due when it ends, the
  // background thread tries that again, later each time.
  class ExclusivePod {
   public:
    ExclusivePod(CniNetwork* network, absl::string_view pod_id);
    ~ExclusivePod();
    // The pod's record of when the operation began; nullptr if it had none.
    const CniAttachment* known() const { return known_ ? &*known_ : nullptr; }

   private:
    CniNetwork* network_;
    std::string pod_id_;
    std::optional<CniAttachment> known_;
  };

  CniNetwork(const NetworkOptions& options, std::unique_ptr<CniAttachmentStore> store);
  // Runs DEL and, when it succeeds, forgets the pod.
  absl::Status Delete(const CniAttachment& attachment, int netns_fd, const Operation& operation);
  absl::Status Forget(const std::string& pod_id);
  // The only try of a removal. What is left is remembered, and the pod is forgotten.
  absl::Status DeleteFinally(const CniAttachment& attachment,
                             int netns_fd,
                             const Operation& operation);
  absl::Status Put(const CniAttachment& attachment);
  void Background();
  void RetryDue();
  void RefreshStatus();
  void CollectGarbage();

  const NetworkOptions options_;
  const std::unique_ptr<CniAttachmentStore> store_;
  const CniRunner runner_;
  const std::string boot_id_;

  mutable absl::Mutex mutex_;  // never held while a plugin runs or the database syncs
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  mutable StatusAnswer status_ ABSL_GUARDED_BY(mutex_);
  mutable std::string config_stamp_ ABSL_GUARDED_BY(mutex_);
  mutable absl::StatusOr<std::shared_ptr<const CniConfig>> config_ ABSL_GUARDED_BY(mutex_) =
      absl::NotFoundError("not looked yet");
  bool collect_garbage_ ABSL_GUARDED_BY(mutex_) = false;
  mutable bool wake_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::string> left_behind_ ABSL_GUARDED_BY(mutex_);
  absl::Time removal_ends_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  CancelSource removing_;  // cancelled once BeginRemoval() was called
  CancelSource stop_;      // once this object is to go
  Thread thread_;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_CNI_CNI_NETWORK_H_
