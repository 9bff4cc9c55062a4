#include "network/cni/cni_network.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "network/link/links.h"
#include "network/values/bandwidth.h"
#include "network/values/host_ports.h"

namespace crisp::network {
namespace {

constexpr absl::Duration kPluginTime = absl::Seconds(90);  // a whole DEL, STATUS or GC
constexpr absl::Duration kStatusPeriod = absl::Seconds(5);
constexpr absl::Duration kLongestRetry = absl::Seconds(60);
constexpr absl::Duration kLastTry = absl::Seconds(10);
constexpr absl::Duration kRemovalTime = absl::Seconds(30);

bool Exists(const std::string& path) { return !path.empty() && access(path.c_str(), F_OK) == 0; }

std::string FdPath(int fd) { return absl::StrCat("/proc/", getpid(), "/fd/", fd); }

}  // namespace

CniNetwork::ExclusivePod::ExclusivePod(CniNetwork* network, absl::string_view pod_id)
    : network_(network), pod_id_(pod_id) {
  absl::MutexLock lock(&network_->mutex_);
  auto free = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const auto it = network_->entries_.find(pod_id_);
    return it == network_->entries_.end() || !it->second.busy;
  };
  network_->mutex_.Await(absl::Condition(&free));
  Entry& entry = network_->entries_[pod_id_];
  entry.busy = true;
  entry.retry_at = absl::InfiniteFuture();
  if (!entry.attachment.pod_id.empty()) known_ = entry.attachment;
}

CniNetwork::ExclusivePod::~ExclusivePod() {
  thread_local absl::BitGen random;
  absl::MutexLock lock(&network_->mutex_);
  const auto it = network_->entries_.find(pod_id_);
  Entry& entry = it->second;
  entry.busy = false;
  if (entry.attachment.pod_id.empty()) {
    network_->entries_.erase(it);
  } else if (entry.attachment.state == CniAttachment::State::kDeleting) {
    const int doublings = std::min(entry.failures++, 10);
    const absl::Duration wait = std::min(absl::Seconds(1) * (1 << doublings), kLongestRetry);
    entry.retry_at = absl::Now() + wait * absl::Uniform(random, 0.5, 1.0);
    network_->wake_ = true;
  }
}

CniNetwork::CniNetwork(const NetworkOptions& options, std::unique_ptr<CniAttachmentStore> store)
    : options_(options),
      store_(std::move(store)),
      runner_(options.cni_bin_dirs),
      boot_id_(CurrentBootId()) {}

absl::StatusOr<std::unique_ptr<CniNetwork>> CniNetwork::Create(const NetworkOptions& options) {
  CRISP_ASSIGN_OR_RETURN(std::unique_ptr<CniAttachmentStore> store,
                         CniAttachmentStore::Open(options.root));
  CRISP_ASSIGN_OR_RETURN(std::vector<CniAttachment> attachments, store->Load());
  std::unique_ptr<CniNetwork> network(new CniNetwork(options, std::move(store)));
  {
    absl::MutexLock lock(&network->mutex_);
    for (CniAttachment& attachment : attachments) {
      Entry& entry = network->entries_[attachment.pod_id];
      entry.recovered = true;
      if (attachment.state == CniAttachment::State::kDeleting) entry.retry_at = absl::Now();
      entry.attachment = std::move(attachment);
    }
  }
  CRISP_ASSIGN_OR_RETURN(network->thread_,
                         Thread::Start("cni", [n = network.get()] { n->Background(); }));
  return network;
}

CniNetwork::~CniNetwork() {
  stop_.Cancel();
  {
    absl::MutexLock lock(&mutex_);
    wake_ = true;
  }
  thread_.Join();
}

absl::StatusOr<std::shared_ptr<const CniConfig>> CniNetwork::Config() const {
  CRISP_ASSIGN_OR_RETURN(const CniConfigFile file, FindCniConfig(options_.cni_conf_dir));
  {
    absl::MutexLock lock(&mutex_);
    if (file.stamp == config_stamp_) return config_;
  }
  absl::StatusOr<std::shared_ptr<const CniConfig>> parsed =
      [&]() -> absl::StatusOr<std::shared_ptr<const CniConfig>> {
    CRISP_ASSIGN_OR_RETURN(const std::string text, ReadFile(file.path, 1u << 20));
    CRISP_ASSIGN_OR_RETURN(CniConfig config, ParseCniConfig(text));
    return std::make_shared<const CniConfig>(std::move(config));
  }();
  if (!parsed.ok()) parsed = Annotate(parsed.status(), file.path);
  absl::MutexLock lock(&mutex_);
  config_stamp_ = file.stamp;
  config_ = parsed;
  wake_ = true;
  return config_;
}

absl::Status CniNetwork::Put(const CniAttachment& attachment) {
  CRISP_RETURN_IF_ERROR(store_->Save(attachment));
  absl::MutexLock lock(&mutex_);
  entries_[attachment.pod_id].attachment = attachment;
  return absl::OkStatus();
}

absl::StatusOr<Attachment> CniNetwork::Attach(const AttachRequest& request,
                                              const CniConfig& config,
                                              const Operation& operation) {
  CRISP_RETURN_IF_ERROR(CheckHostPorts(request.ports).status());
  CRISP_RETURN_IF_ERROR(BandwidthOf(request.annotations).status());
  if (request.pod_id.empty() || request.netns_fd < 0 || request.rtnl_fd < 0) {
    return absl::InvalidArgumentError("attach: no pod id or no network namespace is given");
  }
  ExclusivePod exclusive(this, request.pod_id);
  if (const CniAttachment* known = exclusive.known()) {
    if (known->state == CniAttachment::State::kAdded) return ResultOf(*known);
    CRISP_RETURN_IF_ERROR(Annotate(Delete(*known, request.netns_fd, operation),
                                   "an earlier attempt cannot be undone"));
  }
  CRISP_RETURN_IF_ERROR(operation.Check("attach"));
  CniAttachment attachment = AttachmentFor(request, config);
  if (attachment.netns_path.empty()) attachment.netns_path = FdPath(request.netns_fd);
  CRISP_RETURN_IF_ERROR(BringLoopbackUp(request.rtnl_fd));
  CRISP_RETURN_IF_ERROR(Put(attachment));
  absl::StatusOr<Attachment> result = [&]() -> absl::StatusOr<Attachment> {
    CRISP_ASSIGN_OR_RETURN(attachment.result, runner_.Add(attachment, config, operation));
    CRISP_ASSIGN_OR_RETURN(Attachment attached, ResultOf(attachment));
    attachment.state = CniAttachment::State::kAdded;
    CRISP_RETURN_IF_ERROR(Put(attachment));
    return attached;
  }();
  if (result.ok()) return result;
  attachment.state = CniAttachment::State::kDeleting;
  // Undone now when the caller has time left, else, and after a failure, in the background.
  absl::Status undone = Put(attachment);
  if (undone.ok()) undone = Delete(attachment, request.netns_fd, operation);
  if (!undone.ok()) {
    LogWarning("cni_undo_failed", {{"pod", attachment.DisplayName()}, {"error", undone.message()}});
  }
  return Annotate(result.status(), absl::StrCat("network of pod ", attachment.DisplayName()));
}

absl::Status CniNetwork::Delete(const CniAttachment& attachment,
                                int netns_fd,
                                const Operation& operation) {
  std::string path;
  if (attachment.boot_id == boot_id_) {
    if (Exists(attachment.netns_path)) {
      path = attachment.netns_path;
    } else if (netns_fd >= 0) {
      path = FdPath(netns_fd);
    }
    // Our own descriptor's number may be another file's by now.
    if (absl::StartsWith(path, "/proc/")) path = netns_fd >= 0 ? FdPath(netns_fd) : "";
  }
  CancelSource either(operation);
  const auto stopped = stop_.operation().OnCancel([&either] { either.Cancel(); });
  CRISP_RETURN_IF_ERROR(
      runner_.Del(attachment, path, either.operation().Until(absl::Now() + kPluginTime)));
  return Forget(attachment.pod_id);
}

absl::Status CniNetwork::Forget(const std::string& pod_id) {
  CRISP_RETURN_IF_ERROR(store_->Delete(pod_id));
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[pod_id];
  entry.attachment = CniAttachment();
  entry.failures = 0;
  return absl::OkStatus();
}

void CniNetwork::BeginRemoval() {
  {
    absl::MutexLock lock(&mutex_);
    if (removal_ends_ != absl::InfiniteFuture()) return;
    removal_ends_ = absl::Now() + kRemovalTime;
  }
  removing_.Cancel();
}

std::vector<std::string> CniNetwork::LeftBehind() const {
  absl::MutexLock lock(&mutex_);
  return left_behind_;
}

absl::Status CniNetwork::DeleteFinally(const CniAttachment& attachment,
                                       int netns_fd,
                                       const Operation& operation) {
  absl::Time end;
  {
    absl::MutexLock lock(&mutex_);
    end = std::min(removal_ends_, absl::Now() + kLastTry);
  }
  absl::Status status = absl::DeadlineExceededError("there was no time left to try");
  if (absl::Now() < end) {
    status = Delete(attachment, netns_fd, operation.Until(end));
  }
  if (status.ok()) return status;
  {
    absl::MutexLock lock(&mutex_);
    left_behind_.push_back(absl::StrCat("the CNI plugins have not undone the network of pod ",
                                        attachment.DisplayName(), " (", attachment.pod_id,
                                        "): ", status.message()));
  }
  return Forget(attachment.pod_id);
}

absl::Status CniNetwork::Detach(absl::string_view pod_id,
                                int netns_fd,
                                const Operation& operation) {
  if (!Has(pod_id)) return absl::OkStatus();
  ExclusivePod exclusive(this, pod_id);
  if (exclusive.known() == nullptr) return absl::OkStatus();
  CniAttachment attachment = *exclusive.known();
  attachment.state = CniAttachment::State::kDeleting;
  if (removing_.cancelled()) return DeleteFinally(attachment, netns_fd, operation);
  CRISP_RETURN_IF_ERROR(Put(attachment));
  return Annotate(Delete(attachment, netns_fd, operation),
                  absl::StrCat("network of pod ", attachment.DisplayName()));
}

absl::StatusOr<Attachment> CniNetwork::Find(absl::string_view pod_id) const {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(std::string(pod_id));
  if (it == entries_.end() || it->second.attachment.state != CniAttachment::State::kAdded) {
    return absl::NotFoundError(absl::StrCat("pod ", pod_id, " has no network"));
  }
  return ResultOf(it->second.attachment);
}

bool CniNetwork::Has(absl::string_view pod_id) const {
  absl::MutexLock lock(&mutex_);
  return entries_.contains(std::string(pod_id));
}

void CniNetwork::AddHostLinks(absl::flat_hash_map<std::string, std::string>& pods_by_link) const {
  absl::MutexLock lock(&mutex_);
  for (const auto& [pod_id, entry] : entries_) {
    if (entry.attachment.state != CniAttachment::State::kAdded) continue;
    const auto interfaces = JsonArray(entry.attachment.result, "interfaces");
    if (!interfaces.ok()) continue;
    for (const Json& item : **interfaces) {
      const auto name = JsonString(item, "name");
      const auto sandbox = JsonString(item, "sandbox");
      if (name.ok() && sandbox.ok() && sandbox->empty()) pods_by_link[*name] = pod_id;
    }
  }
}

void CniNetwork::Reconcile(const absl::flat_hash_set<std::string>& live) {
  absl::MutexLock lock(&mutex_);
  for (auto& [pod_id, entry] : entries_) {
    // Those of this life are not of those that `live` was made from.
    if (!entry.recovered) continue;
    const CniAttachment& attachment = entry.attachment;
    if (live.contains(pod_id) && attachment.boot_id == boot_id_ &&
        attachment.state != CniAttachment::State::kDeleting) {
      continue;
    }
    entry.attachment.state = CniAttachment::State::kDeleting;
    entry.retry_at = absl::Now();
  }
  collect_garbage_ = true;
  wake_ = true;
}

absl::Status CniNetwork::Reset() {
  std::vector<std::string> pods;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [pod_id, entry] : entries_) pods.push_back(pod_id);
  }
  absl::Status status;
  for (const std::string& pod_id : pods) {
    status.Update(Detach(pod_id, -1, Operation(absl::Now() + kPluginTime)));
  }
  return status;
}

NetworkCondition CniNetwork::Condition() const {
  constexpr char kNotReady[] = "NetworkPluginNotReady";
  const auto config = Config();
  if (!config.ok()) return {.reason = kNotReady, .message = std::string(config.status().message())};
  if (const absl::Status s = runner_.CheckPlugins(**config); !s.ok()) {
    return {.reason = kNotReady, .message = std::string(s.message())};
  }
  if (!(*config)->HasStatusAndGc()) return {.ready = true};
  absl::MutexLock lock(&mutex_);
  if (absl::Now() - status_.asked_at > kStatusPeriod) wake_ = true;
  if (status_.config_text != (*config)->text) {
    return {.reason = kNotReady, .message = "the CNI plugins have not been asked for STATUS yet"};
  }
  if (!status_.status.ok()) {
    return {.reason = kNotReady, .message = std::string(status_.status.message())};
  }
  return {.ready = true};
}

}  // namespace crisp::network
