#ifndef CRISP_CRI_STATE_POD_TABLE_H_
#define CRISP_CRI_STATE_POD_TABLE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cri/state/id_store.h"
#include "cri/state/pod.h"
#include "cri/state/record_copies.h"
#include "cri/state/record_store.h"
#include "cri/state/stages.h"

namespace crisp::cri {

using PodPtr = std::shared_ptr<Pod>;
using ContainerPtr = std::shared_ptr<Container>;

// The pods and containers of the node, as clients see them by id and by name, and the row of each
// in the state database. A pod or container has its row before it has anything else, and loses it
// last. Thread-safe. No call waits for more than the database, except those that take a patience.
class PodTable {
 public:
  using PodEdit = absl::FunctionRef<void(state::PodRecord&)>;
  using ContainerEdit = absl::FunctionRef<void(state::ContainerRecord&)>;

  // `pods_dir` is <state>/pods, with the copies of the rows.
  PodTable(std::unique_ptr<RecordStore> records, std::string pods_dir)
      : records_(std::move(records)), copies_(std::move(pods_dir)) {}

  // Find one that clients can see, by its id or an unambiguous prefix of it. NotFound,
  // InvalidArgument.
  absl::StatusOr<PodPtr> FindPod(absl::string_view id) const { return pods_.Find(id); }
  absl::StatusOr<ContainerPtr> FindContainer(absl::string_view id) const {
    return containers_.Find(id);
  }
  // In the order of their ids.
  std::vector<PodPtr> Pods() const { return pods_.All(); }
  std::vector<ContainerPtr> Containers() const { return containers_.All(); }
  std::vector<ContainerPtr> ContainersOf(const Pod& pod) const;
  size_t PodCount() const { return pods_.size(); }
  size_t ContainerCount() const { return containers_.size(); }

  // A running container with its pod's handle, which is waited for while it is being connected to.
  // FailedPrecondition unless it runs; Unavailable without a handle.
  struct RunningContainer {
    std::string id, pod_id;
    ContainerPtr container;
    std::shared_ptr<runtime::PodHandle> handle;
  };
  absl::StatusOr<RunningContainer> FindRunning(absl::string_view container_id) const;
  // The handle of a ready pod, in the same way.
  absl::StatusOr<std::shared_ptr<runtime::PodHandle>> FindReadyPod(absl::string_view pod_id) const;

  // Writes the first row. Nobody sees the pod or container yet.
  absl::Status Add(Pod& pod);
  absl::Status Add(Container& container);
  // Applies `edit` to a copy of the record, writes the row, and then publishes it. If the row
  // cannot be written, the change is published all the same and the error returned. The caller
  // decides whether to go on: an exit is true, written or not. NotFound once the row has been
  // erased. An edit that touches the stage is refused (Internal): see Advance().
  absl::Status Change(Pod& pod, PodEdit edit);
  absl::Status Change(Container& container, ContainerEdit edit);
  // Changes the record without writing a row. The next row that is written has the change, too.
  void Note(Pod& pod, PodEdit edit);

  // The result of a change of stage.
  struct Moved {
    bool done =
        false;  // false: it is not `by`'s to make from the present stage; nothing has changed
    absl::Status status;  // as of Change(); FailedPrecondition if nothing was changed
  };
  // Moves to stage `to`, with `edit` in the same row, if `by` may do so from the present stage
  // (stages.h). Of several that tell the same thing at once, one does it.
  Moved Advance(
      Pod& pod, Mover by, PodStage to, PodEdit edit = [](state::PodRecord&) {});
  Moved Advance(
      Container& container,
      Mover by,
      ContainerStage to,
      ContainerEdit edit = [](state::ContainerRecord&) {});
  // Erases the row. No later change brings it back.
  absl::Status Erase(Pod& pod);
  absl::Status Erase(Container& container);

  // Shows it to clients: by its id, under its name, and a container as its pod's.
  void Show(const PodPtr& pod);
  void Show(const ContainerPtr& container);
  // The same for one that has just been made. FailedPrecondition if its pod has been stopped
  // meanwhile: it is to be undone.
  absl::Status ShowMade(const ContainerPtr& container);
  // Hides it from clients and frees its name. True if they could see it until now.
  bool Hide(const Pod& pod);
  bool Hide(const Container& container);
  // The id of the one that was shown last under this key (PodNameKey(), ContainerNameKey()); "" for
  // none.
  std::string IdOf(const std::string& name_key) const;

  // Notes that a container is being made in the pod. FailedPrecondition unless the pod is ready. A
  // stop of a pod first makes it not ready and then waits for those that have begun, so none is
  // made behind its back.
  static absl::Status BeginCreation(Pod& pod);
  static void EndCreation(Pod& pod);
  // Waits until no container is being made in the pod. True if none is.
  static bool AwaitCreations(const Pod& pod, absl::Duration patience);

  // Begins a start. Until its phase is settled, nobody else decides what becomes of the container,
  // and recovery's Advance() is refused. Waits for a row that is being written. FailedPrecondition,
  // with nothing changed, unless the container is created and nobody removes it.
  static absl::Status BeginStart(Container& container);
  // True if the caller is to tell that the container has ended. Several may know of it: the shim, a
  // look at its records, the one that has killed it. During a start the end is kept for the
  // starter.
  static bool BeginEnd(Container& container, const runtime::ExitRecord& exit);
  static void EndEnd(Container& container);

  // A container's OCI spec, in a row of its own.
  absl::Status PutSpec(const Container& container, const std::string& row);
  // The spec with which a container was made, with all its updates. DataLoss if it cannot be read.
  absl::StatusOr<runtime::OciSpec> SpecOf(const Container& container) const;

  // Copies that are kept beside the rows, in case these are lost.
  absl::Status KeepCopy(const Pod& pod) { return copies_.Write(*pod.Snapshot()); }
  absl::Status KeepCopy(const Container& container, const std::string& spec) {
    return copies_.Write(*container.Snapshot(), spec);
  }
  void ForgetCopy(const Pod& pod) { copies_.ForgetPod(pod.id); }
  void ForgetCopy(const Container& container) {
    copies_.ForgetContainer(container.pod->id, container.id);
  }

  // For recovery: all rows, with those put back of which only a copy tells.
  absl::StatusOr<RecordStore::Records> Load();
  // Writes the row of a pod that has lost it.
  absl::Status PutRow(const state::PodRecord& record) { return records_->Put(record); }
  // The pods that have a directory and no row.
  std::vector<std::string> WithoutRow(const RecordStore::Records& records) const {
    return copies_.WithoutRecord(records);
  }
  // True if a pod or container, visible or not, has a row.
  absl::StatusOr<bool> HasRow(const std::string& id) const { return records_->Has(id); }

 private:
  absl::Status Write(Pod& pod, std::shared_ptr<state::PodRecord> record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(pod.save_mutex);
  absl::Status Write(Container& container, std::shared_ptr<state::ContainerRecord> record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(container.save_mutex);
  void Name(const std::string& key, const std::string& id);
  void ForgetName(const std::string& key, const std::string& id);

  const std::unique_ptr<RecordStore> records_;
  const RecordCopies copies_;
  IdStore<Pod> pods_{"pod sandbox"};
  IdStore<Container> containers_{"container"};
  mutable absl::Mutex names_mutex_;
  // Name key → id of the one that has it now.
  absl::flat_hash_map<std::string, std::string> names_ ABSL_GUARDED_BY(names_mutex_);
};

// FailedPrecondition, in the words that clients know.
absl::Status NotReady(const Pod& pod);

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_POD_TABLE_H_
