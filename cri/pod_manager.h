#ifndef CRISP_CRI_POD_MANAGER_H_
#define CRISP_CRI_POD_MANAGER_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "cri/constant_layers.h"
#include "cri/event_hub.h"
#include "cri/exec_session.h"
#include "cri/id_store.h"
#include "cri/join_table.h"
#include "cri/pod.h"
#include "cri/pod_files.h"
#include "cri/pod_api.h"
#include "cri/pod_rpcs.h"
#include "cri/record_copies.h"
#include "cri/record_store.h"
#include "cri/spare_roots.h"
#include "cri/spec_builder.h"
#include "cri/stats_builder.h"
#include "cri/step_timer.h"
#include "cri/work_queue.h"
#include "network/pod_network.h"
#include "runtime/cdi_registry.h"
#include "runtime/cgroup.h"
#include "runtime/host_paths.h"
#include "runtime/mcs_pool.h"
#include "runtime/seccomp_filter.h"
#include "storage/image_store.h"
#include "streaming/server.h"

namespace crisp::cri {

struct PodManagerOptions {
  std::string state;  // tmpfs directory: state.db, pods/<id>/
  std::string root;   // durable directory: the contents of image volumes
  runtime::CgroupDriver cgroup_driver = runtime::CgroupDriver::kCgroupfs;
  std::vector<std::string> handlers = {"crisp"};  // besides ""
  std::vector<std::string> cgroup_writable_handlers;  // whose containers may make cgroups of their own
  bool selinux = true;            // labels, where the kernel has SELinux
  bool selinux_required = false;  // where it has none, what asks for labels is refused
  int selinux_categories = 1024;  // pods get pairs of the first so many
  std::string no_user_namespaces;  // why pods with a user namespace are refused; empty: they are not
  bool own_devices = false;  // a container's devices belong to its run_as_user and run_as_group
  std::string blockio_config_file;         // read when a container asks for a class
  std::vector<std::string> cdi_spec_dirs;  // empty: CDI devices are refused
  std::string path_helper;  // crisp-paths: looks at what pods and volumes control
  absl::Duration path_timeout = absl::Seconds(30);  // when such a path is given up
  int spare_roots = 0;       // overlays that are mounted ahead, for each of the images used last
  bool attach_spares = false;  // the network prepares the pool's spares
  // How often CPU and OOM counters are read while there are pods.
  absl::Duration sample_period = absl::Seconds(10);
};

// The pods and containers of the node (RuntimeService without its node RPCs). In memory and in the
// record store; what a shim, a cgroup or the network holds is found again from the records.
//
// An operation is done to its end by the thread of the RPC that asked for it first, whatever becomes
// of the client; the same request again joins it (JoinTable) or finds what it made (`names_`). Every
// pod and container has a row before it has anything else, and loses it last: undoing is one
// idempotent function for each (TearDownPod, TearDownContainer), run by the failing RPC, by the
// background queue until it succeeds, or by the next start.
class PodManager : public PodApi, public runtime::ShimObserver {
 public:
  // Serves after Attach() and Recover(). The stores outlive the manager.
  // What the shims' spares may be made for: a pod that asks for nothing.
  static absl::StatusOr<runtime::PodPlan> UsualPlan();
  static absl::StatusOr<std::unique_ptr<PodManager>> Create(PodManagerOptions options,
                                                            storage::ImageStore* images,
                                                            network::PodNetwork* network);
  ~PodManager() override;
  // The pool whose observer this is; before every other call, and it must outlive Stop().
  void Connect(runtime::ShimPool* shims) { shims_ = shims; }
  // What hands out the URLs of Exec, Attach and PortForward, which answer Unavailable without it;
  // before serving.
  void Connect(streaming::Server* server) { streaming_ = server; }
  // Where the times of steps go; before Recover().
  void Connect(metrics::Registry* metrics) { metrics_ = metrics; }
  // Begins what is only made ahead of need; once, when requests are being answered, which it would delay.
  void WarmUp();
  // Ends event streams.
  void EndStreams() { events_.Stop(); }
  // No background work is running any more when it returns. The containers go on.
  void Stop();

#define CRISP_POD_RPC(name)                                              \
  absl::Status name(const v1::name##Request& request, v1::name##Response* reply, \
                    const Cancel& cancel) override;
  CRISP_POD_MANAGER_RPCS(CRISP_POD_RPC)
  CRISP_POD_SESSION_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC
  absl::Status GetContainerEvents(const v1::GetEventsRequest& request,
                                  const std::function<bool(const v1::ContainerEventResponse&)>& write,
                                  const Cancel& cancel) override;
  absl::StatusOr<Json> Explain(absl::string_view container_id) override;
  absl::Status Recover() override;
  absl::Status RemoveAllPods(const Cancel& cancel) override;
  absl::Status Ready() const override;
  int PodCount() const override { return static_cast<int>(pods_.size()); }

  // For the metrics: how many there are now, and what happened since the start.
  int PodsThat(bool are_ready) const;
  int ContainersIn(state::ContainerRecord::Stage stage) const;
  uint64_t DroppedEvents() const { return events_.dropped(); }
  uint64_t OomKills() const { return oom_kills_; }
  size_t StuckPathHelpers() const { return paths_->Stuck(); }

  runtime::ShimObserver* observer() override { return this; }

  // The store has removed the image: nothing here keeps its layers any more but containers.
  void ForgetImage(const std::string& image_id) { spare_roots_.Drop(image_id); }

  // Starts a process in a running container; for ExecSync and the streaming server. NotFound,
  // FailedPrecondition unless running, InvalidArgument without argv.
  absl::StatusOr<std::shared_ptr<ExecSession>> StartExec(absl::string_view container_id,
                                                         const std::vector<std::string>& argv,
                                                         bool terminal,
                                                         const runtime::Stdio& stdio,
                                                         const Cancel& cancel);
  // For attach and port-forward: a running container's, a ready pod's shim.
  struct RunningContainer {
    std::string id, pod_id;
    std::shared_ptr<runtime::Shim> shim;
    bool terminal = false;
    bool stdin_open = false;
  };
  absl::StatusOr<RunningContainer> FindRunning(absl::string_view container_id) const;
  absl::StatusOr<std::shared_ptr<runtime::Shim>> FindReadyPod(absl::string_view pod_id) const;

  void OnContainerExit(absl::string_view pod_id,
                       absl::string_view container_id,
                       const runtime::ExitRecord& record) override;
  void OnExecExit(absl::string_view pod_id,
                  absl::string_view exec_id,
                  const runtime::ExitRecord& record) override;
  void OnShimDeath(absl::string_view pod_id) override;
  void OnShimLost(absl::string_view pod_id) override;

 private:
  using PodPtr = std::shared_ptr<Pod>;
  using ContainerPtr = std::shared_ptr<Container>;
  struct CreateJob;

  PodManager(PodManagerOptions options, storage::ImageStore* images, network::PodNetwork* network);

  // Where things are.
  std::string PodDir(const std::string& id) const;
  // Where a pod has its files for /etc that was made by a version which kept them there; else empty.
  std::string OlderFilesDir(const std::string& id) const;
  std::string ExitRecordPath(const std::string& pod_id, const std::string& id) const;
  std::string VolumeDir(const std::string& container_id) const;
  // Whether a pod's parent group is ours to remove: it did not exist, or another pod's claim holds.
  // The kubelet makes its groups before it asks for a pod.
  bool ClaimCgroup(const std::string& path);
  void WatchSystemd(bool failed_before);
  // Lets what is to be stopped go on where somebody has frozen the pod's groups: the shim may be in them.
  void ThawPod(const Pod& pod);
  // Whether the pod's containers may make cgroups below their own.
  bool CgroupWritable(const Pod& pod) const;
  bool UsesSystemd() const { return options_.cgroup_driver == runtime::CgroupDriver::kSystemd; }
  // Removes the groups that are a pod's own, once its shim is gone, and gives back its claim.
  absl::Status RemovePodGroups(const state::PodRecord& record, const Cancel& cancel);
  // Gives a claim back; the last one removes the group, or fails while something is still in it.
  // Ends containers' groups in a group of ours that no row tells of.
  absl::Status RemoveOrphans(const runtime::Cgroup& group);
  absl::Status ReleaseCgroup(const runtime::Cgroup& group);
  runtime::Cgroup CgroupAt(const std::string& path) const { return {layout_, path}; }
  runtime::PodNamespaces NamespacesOf(const Pod& pod) const;

  // Applies `change` to a copy of the record, writes the row, then makes it what everybody sees. When
  // the row cannot be written the change is seen all the same and the error returned: the caller
  // decides whether to go on (an exit is true, written or not).
  absl::Status Change(Pod& pod, const std::function<void(state::PodRecord&)>& change);
  absl::Status Change(Container& container, const std::function<void(state::ContainerRecord&)>& change);
  // The last of it: no later Change() brings the row back.
  absl::Status EraseRow(Pod& pod);
  absl::Status EraseRow(Container& container);
  void ForgetName(const std::string& key, const std::string& id);
  // A container is being made in the pod: FailedPrecondition unless it is ready. Whoever stops a pod
  // first makes it not ready and then waits for those that have begun, so none is made behind its back.
  static absl::Status BeginCreation(Pod& pod);
  static void EndCreation(Pod& pod);
  // Whether there is none left.
  static bool AwaitCreations(const Pod& pod, absl::Duration patience);
  // As ShowContainer(), for one that has just been made. FailedPrecondition when its pod has been stopped
  // meanwhile: it is to be undone.
  absl::Status ShowMade(const ContainerPtr& container);
  // Clients can see the container, by itself and as its pod's.
  void ShowContainer(const ContainerPtr& container);
  // Whether they could until now.
  bool HideContainer(const Container& container);
  std::vector<ContainerPtr> ContainersOf(const Pod& pod) const;

  // pod_run.cc
  absl::Status CheckPodConfig(const v1::RunPodSandboxRequest& request) const;
  absl::StatusOr<std::string> RunPod(const v1::RunPodSandboxRequest& request, const std::string& key);
  absl::Status MakePod(const PodPtr& pod, StepTimer& timer);
  // In a moment: the pod's containers come first.
  void AddSparesSoon();
  // Once those have started.
  void PrepareSparesSoon();
  void PrepareSparesIn(absl::Duration pause);
  void PrepareSpares();
  // Gives memory that requests have used back to the kernel, once the rush is over.
  void TrimSoon();
  // `network_sysctls`: what is to be set when there is a network.
  absl::StatusOr<PodFiles> StartShim(const PodPtr& pod,
                                     const v1::PodSandboxConfig& config,
                                     network::Sysctls* network_sysctls);
  absl::Status AttachNetwork(const PodPtr& pod,
                             const v1::PodSandboxConfig& config,
                             network::Sysctls sysctls);
  absl::Status KeepPorts(const Pod& pod, runtime::Shim& shim);
  // The id under a name, when it stands for the same thing; "" when the name is free or given up.
  absl::StatusOr<std::string> ExistingPod(const std::string& key, const v1::RunPodSandboxRequest& request);

  // pod_stop.cc, pod_remove.cc
  absl::Status StopPod(const PodPtr& pod);
  // Ends the pod's shim, by asking or else by force, and with it what it still has.
  absl::Status EndShim(const PodPtr& pod);
  absl::Status KillContainers(const PodPtr& pod, const Cancel& cancel);
  absl::Status RemovePod(const PodPtr& pod);
  absl::Status TearDownPod(const PodPtr& pod);

  // pod_selinux.cc
  // Level and label of a new pod; what it takes is given back with mcs_.Release().
  absl::Status AssignSelinux(state::PodRecord& record);
  // What the pod's own process, if any, runs as; "" without labels.
  absl::StatusOr<std::string> PodInitLabel(const state::PodRecord& record) const;
  // The level that a container asks for and its pod does not have; "" when there is none.
  std::string ReserveSelinux(const v1::ContainerConfig& config, const state::PodRecord& pod);
  absl::Status ResolveSelinux(CreateJob& job);
  absl::Status RelabelVolume(const CreateJob& job, const ResolvedMount& mount) const;
  // Text that belongs to the pod as a whole, under its label.

  // container_create.cc
  absl::StatusOr<std::string> MakeContainer(const v1::CreateContainerRequest& request,
                                            const PodPtr& pod, const std::string& key);
  absl::StatusOr<std::string> ExistingContainer(const std::string& key,
                                                const v1::CreateContainerRequest& request);
  absl::StatusOr<state::ContainerRecord> InitialRecord(const CreateJob& job);
  absl::Status PrepareContainer(CreateJob& job);
  absl::Status PrepareRoot(CreateJob& job);
  absl::Status ResolveMounts(CreateJob& job);
  absl::Status ResolveDevices(CreateJob& job);
  absl::Status ResolveUser(CreateJob& job);
  absl::Status MakeVolumes(CreateJob& job);
  absl::Status InjectCdiDevices(CreateJob& job);
  absl::Status ApplyBlockIoClass(CreateJob& job);
  // What of a container's plan is not in its spec.
  absl::StatusOr<runtime::ContainerInputs> MakePlanInputs(const CreateJob& job,
                                                          const state::ContainerRecord& record,
                                                          const runtime::PodNamespaces& namespaces,
                                                          const runtime::Cgroup& group);
  absl::Status BuildAndPlan(CreateJob& job);
  // Writes down what the shim has made.
  absl::Status RecordMade(const CreateJob& job);
  absl::StatusOr<std::shared_ptr<const ExecBase>> MakeExecBase(const runtime::OciSpec& spec);
  absl::StatusOr<std::shared_ptr<const ExecBase>> BaseOf(Container& container);

  // container_start.cc, container_stop.cc, container_remove.cc
  absl::Status FinishStart(const ContainerPtr& container,
                           absl::StatusOr<runtime::StartedProcess> started);
  void RequestStop(const ContainerPtr& container, absl::Duration timeout);
  // By the pidfd, or by the shim where there is none.
  absl::Status SignalInit(Container& container, int signal);
  void Escalate(const ContainerPtr& container, int round);
  // Says that a killed container has ended when nothing of it is left and its shim does not say so.
  bool ConcludeExit(const ContainerPtr& container);
  absl::Status AwaitExit(const ContainerPtr& container, const Cancel& cancel);
  absl::Status RemoveOne(const ContainerPtr& container, const Cancel& cancel);
  absl::Status TearDownContainer(const ContainerPtr& container);

  // container_update.cc: gives the record's oom_score_adj to the container's processes that have
  // `former`.
  void ApplyOomScore(const state::ContainerRecord& record, int64_t former);

  // container_exit.cc: state first, then record, then the news.
  void HandleExit(const ContainerPtr& container, const runtime::ExitRecord& record,
                  const std::string& reason);
  void HandleShimDeath(const PodPtr& pod);
  // Connects again, in the background.
  void HandleShimLost(const PodPtr& pod);
  void Publish(const PodPtr& pod, const std::string& id, v1::ContainerEventType type);

  // pod_query.cc, container_query.cc
  void FillStatus(const Pod& pod, v1::PodSandboxStatus* status) const;
  void FillStatus(const Container& container, v1::ContainerStatus* status) const;
  // The OCI spec that a container was made with and has been updated to, read from its row. DataLoss
  // when that cannot be.
  absl::StatusOr<runtime::OciSpec> SpecOf(const Container& container) const;
  // For people; null (and logged) when it cannot be read.
  Json SpecShown(const Container& container) const;
  // Of all the pod's containers, the newest first: of several attempts the kubelet takes the first.
  void FillStatuses(const Pod& pod, google::protobuf::RepeatedPtrField<v1::ContainerStatus>* statuses) const;

  // container_stats.cc
  using InterfaceMap = std::map<std::string, std::vector<network::InterfaceCounters>>;
  InterfaceMap Interfaces() const;
  ContainerReading ReadContainer(Container& container);
  PodReading ReadPod(Pod& pod, const InterfaceMap& interfaces);

  // sampler.cc: reads every ready pod's counters once per period, those of its containers where
  // something has run since, and measures what those have written. As long as there are pods; nothing
  // runs on a node without.
  void ArmSampler();
  void SampleAll();
  void SampleOne(Container& container);
  void CountLastOomKills(Container& container, uint64_t total);

  void LoadDefaultAppArmor();

  // recovery.cc
  class Countdown;
  void RecoverPod(const PodPtr& pod,
                  const std::vector<ContainerPtr>& containers,
                  const std::shared_ptr<Countdown>& adoptions);
  // Connects to the shim and takes over what it says of the pod's containers. OK as well when that has
  // become needless or impossible for good.
  absl::Status AdoptShim(const PodPtr& pod, absl::Duration patience);
  // The same in the background until it is done. `first` is told when it was tried once.
  void AdoptSoon(const PodPtr& pod, std::function<void()> first = nullptr);
  // Those of the reports whose containers have no row: it was lost.
  absl::StatusOr<std::vector<runtime::ContainerReport>> UnknownOf(
      runtime::Shim& shim, const std::vector<runtime::ContainerReport>& reports) const;
  // Shows such a container if it runs, so that it can be ended; else undoes it.
  void TakeUnknown(const PodPtr& pod, const runtime::ContainerReport& report);
  // The same with pods: those of shims that no row and no directory leads to, those that have a
  // directory and no row.
  void TakeStrays();
  absl::Status AddUnknownPods(RecordStore::Records* records);
  // `lives`: it is to be shown; else to be undone.
  state::PodRecord RecordOfUnknown(const std::string& pod_id, bool lives) const;
  void HoldProcess(Container& container, pid_t pid);
  void Reconcile(const ContainerPtr& container, const runtime::ContainerReport* report);
  void SweepLeftovers(const absl::flat_hash_set<std::string>& keys, const absl::flat_hash_set<std::string>& live);

  const PodManagerOptions options_;
  storage::ImageStore* const images_;
  network::PodNetwork* const network_;
  runtime::ShimPool* shims_ = nullptr;
  streaming::Server* streaming_ = nullptr;
  metrics::Registry* metrics_ = nullptr;
  std::shared_ptr<const runtime::CgroupLayout> layout_;
  HostFacts host_;
  ConstantLayers layers_;
  std::unique_ptr<RecordStore> records_;
  RecordCopies copies_;
  std::unique_ptr<runtime::HostPaths> paths_;
  runtime::SeccompCache seccomp_;
  runtime::CdiRegistry cdi_;
  runtime::McsPool mcs_;

  IdStore<Pod> pods_{"pod sandbox"};
  IdStore<Container> containers_{"container"};
  absl::Mutex groups_mutex_;
  // Parent groups that we made, with how many pods there are in each.
  absl::flat_hash_map<std::string, int> own_groups_ ABSL_GUARDED_BY(groups_mutex_);

  absl::Mutex names_mutex_;
  // Name key → id of what has it now.
  absl::flat_hash_map<std::string, std::string> names_ ABSL_GUARDED_BY(names_mutex_);

  JoinTable<std::string> creations_;
  JoinTable<bool> starts_;
  JoinTable<bool> removals_;
  ExecTable execs_;
  EventHub events_;
  std::atomic<bool> sampler_armed_ = false;
  std::atomic<bool> adding_spares_ = false;
  std::atomic<bool> preparing_spares_ = false;
  std::atomic<bool> trimming_ = false;
  std::atomic<uint64_t> oom_kills_ = 0;
  std::atomic<bool> stopping_ = false;
  SpareRoots spare_roots_;
  // Declared last, so stopped first: their jobs use everything above.
  mutable absl::Mutex systemd_mutex_;
  absl::Status systemd_answer_ ABSL_GUARDED_BY(systemd_mutex_);  // OK also where it is not needed

  WorkQueue cleanup_{2};
  WorkQueue quick_{4};
  // Waits for shims, so that nobody else does.
  WorkQueue adoptions_{8};
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_POD_MANAGER_H_
