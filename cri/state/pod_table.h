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

// The pods and containers of the node: what clients can see of them, by id and by name, and the row
// that each has in the state database before it has anything else and loses last. Thread-safe; no
// call waits for more than the database, but those that are given a patience.
class PodTable {
 public:
  using PodEdit = absl::FunctionRef<void(state::PodRecord&)>;
  using ContainerEdit = absl::FunctionRef<void(state::ContainerRecord&)>;

  // `pods_dir`: <state>/pods, where the copies of the rows are.
  PodTable(std::unique_ptr<RecordStore> records, std::string pods_dir)
      : records_(std::move(records)), copies_(std::move(pods_dir)) {}

  // By id or an unambiguous prefix of it: those that clients can see. NotFound, InvalidArgument.
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

  // A running container with its pod's shim, which is waited for while it is being connected to.
  // FailedPrecondition unless it runs; Unavailable without a shim.
  struct RunningContainer {
    std::string id, pod_id;
    ContainerPtr container;
    std::shared_ptr<runtime::Shim> shim;
  };
  absl::StatusOr<RunningContainer> FindRunning(absl::string_view container_id) const;
  // The shim of a ready pod, in the same way.
  absl::StatusOr<std::shared_ptr<runtime::Shim>> FindReadyPod(absl::string_view pod_id) const;

  // The first of it: writes the row. Nobody sees the pod or container yet.
  absl::Status Add(Pod& pod);
  absl::Status Add(Container& container);
  // Applies `edit` to a copy of the record, writes the row, then makes it what everybody sees. When
  // the row cannot be written the change is seen all the same and the error returned: the caller
  // decides whether to go on (an exit is true, written or not). NotFound once the row has been
  // erased. An edit that touches the stage is refused (Internal): see Advance().
  absl::Status Change(Pod& pod, PodEdit edit);
  absl::Status Change(Container& container, ContainerEdit edit);
  // Without a row being written: the next one that is tells it too.
  void Note(Pod& pod, PodEdit edit);

  // What has become of a change of stage.
  struct Moved {
    bool done =
        false;  // false: it is not `by`'s to make from the present stage; nothing has changed
    absl::Status status;  // as Change() says; FailedPrecondition when it was not done
  };
  // Moves on to stage `to`, with `edit` in the same row, if the present stage is one from which
  // `by` may do so (stages.h). Of several who tell the same thing at once one does it.
  Moved Advance(
      Pod& pod, Mover by, PodStage to, PodEdit edit = [](state::PodRecord&) {});
  Moved Advance(
      Container& container,
      Mover by,
      ContainerStage to,
      ContainerEdit edit = [](state::ContainerRecord&) {});
  // The last of it: no later change brings the row back.
  absl::Status Erase(Pod& pod);
  absl::Status Erase(Container& container);

  // Clients can see it, by itself, under its name, and a container as its pod's.
  void Show(const PodPtr& pod);
  void Show(const ContainerPtr& container);
  // The same for one that has just been made. FailedPrecondition when its pod has been stopped
  // meanwhile: it is to be undone.
  absl::Status ShowMade(const ContainerPtr& container);
  // Whether they could until now. The name is free.
  bool Hide(const Pod& pod);
  bool Hide(const Container& container);
  // The id of what was shown last under this key (PodNameKey(), ContainerNameKey()); "": none.
  std::string IdOf(const std::string& name_key) const;

  // A container is being made in the pod: FailedPrecondition unless it is ready. Whoever stops a
  // pod first makes it not ready and then waits for those that have begun, so none is made behind
  // its back.
  static absl::Status BeginCreation(Pod& pod);
  static void EndCreation(Pod& pod);
  // Whether there is none left.
  static bool AwaitCreations(const Pod& pod, absl::Duration patience);

  // A start begins: until its phase is settled nobody else says what becomes of the container, and
  // recovery's Advance() is refused. Waits for a row that is being written. FailedPrecondition
  // unless it is created and nobody removes it; then nothing has changed.
  static absl::Status BeginStart(Container& container);
  // Whether the caller is the one to tell that the container has ended. Several may know of it: the
  // shim, a look at its records, who has killed it. During a start the end is kept for who starts
  // it.
  static bool BeginEnd(Container& container, const runtime::ExitRecord& exit);
  static void EndEnd(Container& container);

  // A container's OCI spec, in a row of its own.
  absl::Status PutSpec(const Container& container, const std::string& row);
  // The spec that a container was made with and has been updated to. DataLoss when that cannot be
  // read.
  absl::StatusOr<runtime::OciSpec> SpecOf(const Container& container) const;

  // What is kept beside the rows, for the case that they are lost.
  absl::Status KeepCopy(const Pod& pod) { return copies_.Write(*pod.Snapshot()); }
  absl::Status KeepCopy(const Container& container, const std::string& spec) {
    return copies_.Write(*container.Snapshot(), spec);
  }
  void ForgetCopy(const Pod& pod) { copies_.ForgetPod(pod.id); }
  void ForgetCopy(const Container& container) {
    copies_.ForgetContainer(container.pod->id, container.id);
  }

  // For recovery: all rows, with those put back that only a copy tells of.
  absl::StatusOr<RecordStore::Records> Load();
  // The row of a pod that has lost it.
  absl::Status PutRow(const state::PodRecord& record) { return records_->Put(record); }
  // The pods that have a directory and no row.
  std::vector<std::string> WithoutRow(const RecordStore::Records& records) const {
    return copies_.WithoutRecord(records);
  }
  // Whether a pod or container, visible or not, has a row.
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
  // Name key → id of what has it now.
  absl::flat_hash_map<std::string, std::string> names_ ABSL_GUARDED_BY(names_mutex_);
};

// FailedPrecondition, in the words that clients know.
absl::Status NotReady(const Pod& pod);

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_POD_TABLE_H_
