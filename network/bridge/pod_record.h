#ifndef CRISP_NETWORK_BRIDGE_POD_RECORD_H_
#define CRISP_NETWORK_BRIDGE_POD_RECORD_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/database.h"
#include "network/link/links.h"
#include "network/values/host_ports.h"

namespace crisp::network {

// Everything that the built-in network has made, or is about to make, for one pod.
struct PodRecord {
  enum class State {
    kAttaching,  // an intent: some of it may exist
    kAttached,
    kDetaching,  // undoing failed; it is tried again
    kDraining,   // host ports are gone; the addresses wait for the kernel to drop the veth
    kPrepared,   // made for a namespace that has no pod yet; `pod_id` is the key of Prepare()
  };
  State state = State::kAttaching;
  std::string pod_id;
  std::string pod_name;   // namespace/name, for messages
  std::string host_veth;  // the key: one pod id may have a draining predecessor
  std::string ifb;        // empty without an egress limit
  std::string mac;
  std::vector<InterfaceAddress> addresses;
  std::vector<HostPort> ports;

  // True if nobody detaches it: its addresses are free when the link is gone.
  bool EndsWithItsLink() const { return state == State::kDraining || state == State::kPrepared; }
};

// The records of one instance, on tmpfs: they outlive the daemon, not the machine. Thread-safe.
class PodRecordStore {
 public:
  static absl::StatusOr<std::unique_ptr<PodRecordStore>> Open(const std::string& directory);

  // Unreadable records are dropped with a log line.
  absl::StatusOr<std::vector<PodRecord>> Load();
  absl::Status Save(const PodRecord& record);
  absl::Status Delete(const std::string& host_veth);

  // The kubelet's pod CIDR; empty when it sent none since boot.
  absl::StatusOr<std::string> PodCidr();
  absl::Status SavePodCidr(const std::string& cidrs);
  // The networks that were chosen because none is configured; empty if none was chosen yet.
  absl::StatusOr<std::string> ChosenSubnets();
  absl::Status SaveChosenSubnets(const std::string& subnets);
  absl::Status Clear();

 private:
  absl::StatusOr<std::string> Setting(const char* name);
  absl::Status SaveSetting(const char* name, const std::string& value);
  explicit PodRecordStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  std::unique_ptr<Database> database_;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_POD_RECORD_H_
