#ifndef CRISP_NETWORK_POD_POD_NETWORK_H_
#define CRISP_NETWORK_POD_POD_NETWORK_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "network/values/attach.h"
#include "network/values/network_options.h"

namespace crisp::network {

// Gives pods their network: a built-in bridge (netlink and nftables in-process) or the CNI plugins
// of the first configuration in `cni_conf_dir`. Thread-safe. The intent is recorded before the
// first side effect, so Detach() undoes whatever an Attach() started, also one of another process's
// life.
class PodNetwork {
 public:
  // Recovers the records of an earlier daemon. Makes no kernel change before the first Attach().
  static absl::StatusOr<std::unique_ptr<PodNetwork>> Create(NetworkOptions options);
  virtual ~PodNetwork() = default;

  // Attaches the pod: interfaces eth0 and lo are up, with addresses, routes, host ports and
  // bandwidth limits. A second call for an attached pod returns the first one's result. After a
  // failure everything is undone, or remains recorded and is undone by Detach() or background
  // retries. Codes: ResourceExhausted (no address is left), AlreadyExists (a host port is taken:
  // the message names the pod or says that a process of the node has it), Unavailable (no network
  // is ready, or a plugin failed), InvalidArgument (bad host_ip, ports, bandwidth or sysctls),
  // DeadlineExceeded.
  virtual absl::StatusOr<Attachment> Attach(const AttachRequest& request,
                                            const Operation& operation) = 0;

  // Gives a namespace nothing but its lo, which is up then, and sets the sysctls. Nothing is
  // recorded, so there is nothing to detach.
  virtual absl::Status Isolate(int netns_fd, int rtnl_fd, const Sysctls& sysctls) = 0;

  // The sockets that hold the pod's host ports against the processes of the node. The caller keeps
  // them open as long as the pod lives, which is longer than this daemon; this object holds those
  // that nobody takes. Call it once after an Attach(): a second call returns none.
  virtual std::vector<UniqueFd> TakePortHolds(absl::string_view) { return {}; }

  // Attaches a namespace that has no pod yet, as for a pod without host ports and limits. The
  // Attach() that names `key` (unique among all lives of the daemon) then has little left to do.
  // The built-in network alone does this. The attachment ends with the namespace. It is taken back
  // earlier when it is in the way: when no address is left for a pod, or other subnets or CNI
  // plugins serve. So it is a hint, and Attach() makes what does not exist. FailedPrecondition when
  // there is nothing to prepare now: CNI plugins serve, no pod has been attached since the start,
  // or addresses are short.
  virtual absl::Status Prepare(const std::string& key, int netns_fd, int rtnl_fd) = 0;

  // Releases everything of the pod. Idempotent; unknown pods are OK. `netns_fd` may be -1 when the
  // namespace is gone already, and plugins then get an empty path. After an error the pod stays
  // recorded, and the background retries until it succeeds.
  virtual absl::Status Detach(absl::string_view pod_id,
                              int netns_fd,
                              const Operation& operation) = 0;

  // The recorded result, for a restarted daemon. NotFound when it has none.
  virtual absl::StatusOr<Attachment> Find(absl::string_view pod_id) const = 0;

  // Detaches every pod of an earlier daemon that is not in `live`, and repairs the host side
  // (bridge, tables, host ports) of those that are. Called once after start-up.
  virtual absl::Status Reconcile(const absl::flat_hash_set<std::string>& live) = 0;

  virtual NetworkCondition Condition() const = 0;

  // Takes the CIDRs of UpdateRuntimeConfig: one or two, separated by a comma (IPv4, IPv6).
  // InvalidArgument when malformed. Leases of running pods stay valid.
  virtual absl::Status SetPodCidr(absl::string_view cidrs) = 0;

  // Counters as seen from inside the pod (its own rx and tx), by pod id. It knows pods of the
  // built-in network, and any veth whose host end is known. One netlink dump serves all of them.
  virtual absl::StatusOr<std::map<std::string, std::vector<InterfaceCounters>>> Counters()
      const = 0;

  // From now on Detach() and Reset() try each pod once and briefly, and all of them together for
  // half a minute. What a plugin does not undo by then is forgotten, so they succeed; LeftBehind()
  // tells of it.
  virtual void BeginRemoval() {}
  virtual std::vector<std::string> LeftBehind() const { return {}; }

  // Removes every trace of this instance: bridge, tables, leases. `crispd reset` calls it after the
  // pods are gone.
  virtual absl::Status Reset() = 0;
};

// The DNS and host files of a pod (pure text).
struct DnsConfig {
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  std::vector<std::string> options;
};
// resolv.conf's text. InvalidArgument for entries with white space or control characters.
absl::StatusOr<std::string> RenderResolvConf(const DnsConfig& config);
// /etc/hosts of a pod: loopback names, then each address with the hostname.
std::string RenderHosts(absl::string_view hostname, const std::vector<std::string>& addresses);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_POD_POD_NETWORK_H_
