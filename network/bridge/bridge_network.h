#ifndef CRISP_NETWORK_BRIDGE_BRIDGE_NETWORK_H_
#define CRISP_NETWORK_BRIDGE_BRIDGE_NETWORK_H_

#include <cstdint>
#include <map>
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
#include "network/bridge/bridge_claim.h"
#include "network/bridge/host_side.h"
#include "network/bridge/pod_record.h"
#include "network/bridge/port_holds.h"
#include "network/link/link_monitor.h"
#include "network/values/address_pool.h"
#include "network/values/attach.h"
#include "network/values/network_options.h"

namespace crisp::network {

// The built-in network: a bridge, addresses from the pod CIDR, host ports and bandwidth limits. It
// starts no process and syncs nothing. Thread-safe. Changes to the kernel are made one at a time;
// look-ups do not wait for them.
//
// An address has three owners in turn. The first is the pod. After Detach() it is the kernel, which
// removes the veth some milliseconds after the pod's namespace is closed. When a netlink event (or
// a look) says that the link is gone, it is the pool. An address that Prepare() has taken belongs
// to the pod whose Attach() asks for it, or to the kernel.
class BridgeNetwork {
 public:
  static absl::StatusOr<std::unique_ptr<BridgeNetwork>> Create(const NetworkOptions& options);
  ~BridgeNetwork();

  // As in PodNetwork.
  absl::StatusOr<Attachment> Attach(const AttachRequest& request, const Operation& operation);
  absl::Status Prepare(const std::string& key, int netns_fd, int rtnl_fd);
  absl::Status Detach(absl::string_view pod_id);
  std::vector<UniqueFd> TakePortHolds(absl::string_view pod_id);
  absl::StatusOr<Attachment> Find(absl::string_view pod_id) const;
  absl::Status Reconcile(const absl::flat_hash_set<std::string>& live);
  absl::Status SetPodCidr(absl::string_view cidrs);
  absl::Status Reset();
  // From memory.
  NetworkCondition Condition() const;

  // Undoes what Prepare() has made, if it still exists. Waits for the kernel.
  absl::Status GiveBack(const std::string& key);
  bool Has(absl::string_view pod_id) const;
  // Adds host veth → pod id for every attached pod.
  void AddHostLinks(absl::flat_hash_map<std::string, std::string>& pods_by_link) const;

 private:
  using State = PodRecord::State;
  BridgeNetwork(const NetworkOptions& options,
                BridgeClaim claim,
                std::unique_ptr<PodRecordStore> store,
                std::unique_ptr<HostSide> host);
  static Attachment ResultOf(const PodRecord& record);
  absl::Status Recover(const std::vector<PodRecord>& records);
  // The networks in use now: the kubelet's, the configured ones, or some that are free.
  absl::StatusOr<std::vector<IpPrefix>> Subnets() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  absl::StatusOr<std::vector<IpPrefix>> ChooseSubnets()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  // FailedPrecondition if another route or address of the host overlaps with the networks. Sets the
  // condition.
  absl::Status CheckSubnets() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  absl::Status CheckRoutes(const PodRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  void SetProblem(const absl::Status& status);
  absl::Status UseSubnets(const std::vector<IpPrefix>& subnets)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);

  // Sets `built` if it makes links.
  absl::StatusOr<Attachment> AttachOnce(const AttachRequest& request,
                                        std::vector<HostPort> ports,
                                        const Bandwidth& bandwidth,
                                        const Operation& operation,
                                        bool* built) ABSL_LOCKS_EXCLUDED(kernel_mutex_);
  absl::Status PrepareOnce(const std::string& key, int netns_fd, int rtnl_fd)
      ABSL_LOCKS_EXCLUDED(kernel_mutex_);
  // Waits until the link that has just been made for this pod carries its packets: what a pod sends
  // before would be lost, and be sent again only after a second or more.
  void AwaitLink(const std::string& pod) ABSL_LOCKS_EXCLUDED(kernel_mutex_);
  absl::StatusOr<PodRecord> Plan(const AttachRequest& request,
                                 std::vector<HostPort> ports,
                                 bool limit_egress) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  absl::Status Build(const PodRecord& record, const HostSide::Pod& pod)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  // Stores the new state of what Build() has made. If Build() failed (`status`), undoes it.
  absl::Status Settle(PodRecord record, State state, absl::Status status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  // Gives what is prepared to the pod.
  absl::StatusOr<Attachment> Adopt(PodRecord record,
                                   const AttachRequest& request,
                                   std::vector<HostPort> ports)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  absl::Status GiveBackLocked(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  // Undoes `count` of the prepared attachments. A failure is logged, and the undoing is tried again
  // later.
  void GiveBackSome(size_t count = SIZE_MAX) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  // Takes away everything of a pod whose namespace may stay open; frees its addresses at once.
  absl::Status Undo(PodRecord record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  absl::Status DetachLocked(PodRecord record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  // Claims the record's host ports among the pods and against the processes of the node.
  absl::Status TakePorts(const PodRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  void ReleasePorts(const std::string& pod_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  absl::Status ChangePorts(const char* verb, const PodRecord& record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  absl::Status EnsureHost() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  // The host side that the records ask for, as if the ports of pod `published` were published and
  // those of the other pod were not.
  HostSide::Wanted Wanted(absl::string_view published = "",
                          absl::string_view unpublished = "") const;

  absl::Status Put(const PodRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  void Free(const PodRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);
  std::optional<PodRecord> OfPod(absl::string_view pod_id) const;
  std::vector<PodRecord> InState(State state) const;
  // Frees draining pods without an IFB device whose link is gone.
  void FreeGone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel_mutex_);

  // On the monitor's thread.
  void OnLinkGone(const std::string& name);
  void Sweep();
  void CheckNow();
  void Release(const PodRecord& record);
  void ForgetStaleFlows();

  const NetworkOptions options_;
  BridgeClaim claim_;
  const std::unique_ptr<PodRecordStore> store_;

  absl::Mutex kernel_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  const std::unique_ptr<HostSide> host_ ABSL_PT_GUARDED_BY(kernel_mutex_);
  std::vector<AddressPool> pools_ ABSL_GUARDED_BY(kernel_mutex_);
  HostPortOwners port_owners_ ABSL_GUARDED_BY(kernel_mutex_);
  absl::Time next_check_ ABSL_GUARDED_BY(kernel_mutex_) = absl::InfinitePast();
  PortHolds port_holds_ ABSL_GUARDED_BY(kernel_mutex_);
  absl::flat_hash_set<std::string> recovered_
      ABSL_GUARDED_BY(kernel_mutex_);  // veths of an earlier life

  // Held for map operations only. A change of the maps holds kernel_mutex_ as well.
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, PodRecord> records_ ABSL_GUARDED_BY(mutex_);  // by host veth
  absl::flat_hash_map<std::string, std::string> veth_of_pod_ ABSL_GUARDED_BY(mutex_);
  std::vector<IpPrefix> subnets_ ABSL_GUARDED_BY(mutex_);
  std::string problem_ ABSL_GUARDED_BY(mutex_);  // why the network is not ready; empty if it is
  mutable std::string told_ ABSL_GUARDED_BY(mutex_);  // the problem that was logged last
  std::vector<PortTarget> changed_udp_ports_ ABSL_GUARDED_BY(mutex_);  // for ForgetStaleFlows()

  std::unique_ptr<LinkMonitor> monitor_;  // last: its thread uses all of the above
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_BRIDGE_NETWORK_H_
