#ifndef CRISP_NETWORK_CNI_CNI_ATTACHMENT_H_
#define CRISP_NETWORK_CNI_CNI_ATTACHMENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/database.h"
#include "base/json.h"
#include "base/operation.h"
#include "network/cni/cni_config.h"
#include "network/values/attach.h"

namespace crisp::network {

// Everything that a DEL needs. It must suffice whatever happens to the configuration directory, the
// daemon or the machine after the ADD.
struct CniAttachment {
  enum class State {
    kAdding,  // an intent: any part of the chain may have run
    kAdded,
    kDeleting,  // DEL is due until it succeeds
  };
  State state = State::kAdding;
  std::string pod_id;
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  std::string boot_id;
  std::string netns_path;
  std::string config_text;  // the very bytes that ADD used
  Json capability_args = Json::object();
  Json result;  // the chain's; null until it ran

  std::string DisplayName() const { return pod_namespace + "/" + pod_name; }
};

std::string CurrentBootId();
CniAttachment AttachmentFor(const AttachRequest& request, const CniConfig& config);
absl::StatusOr<Attachment> ResultOf(const CniAttachment& attachment);

// Durable: a committed change survives power loss, as a plugin's own files do. Thread-safe.
class CniAttachmentStore {
 public:
  static absl::StatusOr<std::unique_ptr<CniAttachmentStore>> Open(const std::string& directory);
  absl::StatusOr<std::vector<CniAttachment>> Load();
  absl::Status Save(const CniAttachment& attachment);
  absl::Status Delete(const std::string& pod_id);

 private:
  explicit CniAttachmentStore(std::unique_ptr<Database> database)
      : database_(std::move(database)) {}
  std::unique_ptr<Database> database_;
};

// Runs the plugins of one attachment. Thread-safe; blocks for as long as the plugins take.
class CniRunner {
 public:
  explicit CniRunner(std::vector<std::string> bin_dirs) : bin_dirs_(std::move(bin_dirs)) {}

  // NotFound naming the first plugin that no directory has.
  absl::Status CheckPlugins(const CniConfig& config) const;

  // Runs the chain in order. Unavailable, with the plugin's own words, when a plugin fails or
  // prints something that is not a result. The plugins before it are not undone.
  absl::StatusOr<Json> Add(const CniAttachment& attachment,
                           const CniConfig& config,
                           const Operation& operation) const;
  // Runs the chain backwards, up to the first failure. `netns_path` is empty when the namespace is
  // gone.
  absl::Status Del(const CniAttachment& attachment,
                   const std::string& netns_path,
                   const Operation& operation) const;
  // Asks the plugins for their STATUS (spec 1.1). Unavailable when one says that it cannot serve an
  // ADD.
  absl::Status CheckStatus(const CniConfig& config, const Operation& operation) const;
  absl::Status CollectGarbage(const CniConfig& config,
                              const std::vector<std::string>& valid_pods,
                              const Operation& operation) const;

 private:
  struct Call {
    const char* verb;
    std::string input;
    std::string pod_id;
    std::string netns_path;
    std::string args;
  };
  absl::StatusOr<std::string> FindPlugin(const std::string& type) const;
  absl::StatusOr<std::string> Run(const CniPlugin& plugin,
                                  const Call& call,
                                  const Operation&) const;

  std::vector<std::string> bin_dirs_;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_CNI_CNI_ATTACHMENT_H_
