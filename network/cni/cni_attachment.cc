#include "network/cni/cni_attachment.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "network/values/bandwidth.h"
#include "network/values/host_ports.h"

namespace crisp::network {
namespace {

constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS attachments ("
    "pod_id TEXT PRIMARY KEY, config TEXT NOT NULL, detail TEXT NOT NULL)";

Json PortMappings(const std::vector<PortMapping>& ports) {
  Json mappings = Json::array();
  for (const PortMapping& port : ports) {
    if (port.host_port == 0) continue;
    Json mapping = {{"hostPort", port.host_port},
                    {"containerPort", port.container_port},
                    {"protocol", std::string(ProtocolName(port.protocol))}};
    if (!port.host_ip.empty()) mapping["hostIP"] = port.host_ip;
    mappings.push_back(std::move(mapping));
  }
  return mappings;
}

// The bandwidth plugin wants a burst too; as large as a counter may be, that is no burst limit.
Json BandwidthArgs(const Bandwidth& bandwidth) {
  constexpr int64_t kBurst = 2147483647;
  Json args = Json::object();
  if (bandwidth.ingress != 0) {
    args["ingressRate"] = bandwidth.ingress;
    args["ingressBurst"] = kBurst;
  }
  if (bandwidth.egress != 0) {
    args["egressRate"] = bandwidth.egress;
    args["egressBurst"] = kBurst;
  }
  return args;
}

absl::StatusOr<CniAttachment> Decode(const std::string& config, const std::string& text) {
  CRISP_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  CniAttachment attachment{.config_text = config};
  CRISP_ASSIGN_OR_RETURN(const int64_t state, JsonInt(json, "state", -1));
  if (state < 0 || state > static_cast<int>(CniAttachment::State::kDeleting)) {
    return absl::InvalidArgumentError("unknown state");
  }
  attachment.state = static_cast<CniAttachment::State>(state);
  CRISP_ASSIGN_OR_RETURN(attachment.pod_id, JsonString(json, "pod_id"));
  CRISP_ASSIGN_OR_RETURN(attachment.pod_name, JsonString(json, "pod_name"));
  CRISP_ASSIGN_OR_RETURN(attachment.pod_namespace, JsonString(json, "pod_namespace"));
  CRISP_ASSIGN_OR_RETURN(attachment.pod_uid, JsonString(json, "pod_uid"));
  CRISP_ASSIGN_OR_RETURN(attachment.boot_id, JsonString(json, "boot_id"));
  CRISP_ASSIGN_OR_RETURN(attachment.netns_path, JsonString(json, "netns_path"));
  CRISP_ASSIGN_OR_RETURN(const Json* args, JsonObject(json, "capability_args"));
  attachment.capability_args = *args;
  if (const auto result = json.find("result"); result != json.end()) attachment.result = *result;
  return attachment;
}

}  // namespace

std::string CurrentBootId() {
  const absl::StatusOr<std::string> id = ReadFile("/proc/sys/kernel/random/boot_id");
  return id.ok() ? std::string(absl::StripAsciiWhitespace(*id)) : "";
}

CniAttachment AttachmentFor(const AttachRequest& request, const CniConfig& config) {
  CniAttachment attachment{.pod_id = request.pod_id,
                           .pod_name = request.pod_name,
                           .pod_namespace = request.pod_namespace,
                           .pod_uid = request.pod_uid,
                           .boot_id = CurrentBootId(),
                           .netns_path = request.netns_path,
                           .config_text = config.text};
  Json& args = attachment.capability_args;
  if (Json ports = PortMappings(request.ports); !ports.empty())
    args["portMappings"] = std::move(ports);
  if (const auto bandwidth = BandwidthOf(request.annotations);
      bandwidth.ok() && bandwidth->limited()) {
    args["bandwidth"] = BandwidthArgs(*bandwidth);
  }
  Json dns = Json::object();
  if (!request.dns_servers.empty()) dns["servers"] = request.dns_servers;
  if (!request.dns_searches.empty()) dns["searches"] = request.dns_searches;
  if (!request.dns_options.empty()) dns["options"] = request.dns_options;
  if (!dns.empty()) args["dns"] = std::move(dns);
  if (!request.cgroup_parent.empty()) args["cgroupPath"] = request.cgroup_parent;
  if (!request.annotations.empty()) {
    args["io.kubernetes.cri.pod-annotations"] = request.annotations;
  }
  return attachment;
}

absl::StatusOr<Attachment> ResultOf(const CniAttachment& attachment) {
  Attachment result;
  CRISP_ASSIGN_OR_RETURN(CniResult parsed,
                         ParseCniResult(DumpJson(attachment.result), result.interface));
  if (parsed.addresses.empty()) {
    return absl::UnavailableError("the CNI plugins gave the pod no address");
  }
  result.addresses = std::move(parsed.addresses);
  result.mac = std::move(parsed.mac);
  return result;
}

absl::StatusOr<std::unique_ptr<CniAttachmentStore>> CniAttachmentStore::Open(
    const std::string& directory) {
  CRISP_RETURN_IF_ERROR(MakeDirs(directory, 0700));
  CRISP_ASSIGN_OR_RETURN(
      std::unique_ptr<Database> database,
      Database::OpenOrSetAside(directory + "/cni.db", Database::Sync::kFull, kSchema));
  return std::unique_ptr<CniAttachmentStore>(new CniAttachmentStore(std::move(database)));
}

absl::StatusOr<std::vector<CniAttachment>> CniAttachmentStore::Load() {
  std::vector<CniAttachment> attachments;
  auto on_row = [&](const Database::Row& row) {
    absl::StatusOr<CniAttachment> attachment = Decode(row.Text(1), row.Text(2));
    if (attachment.ok()) {
      attachments.push_back(*std::move(attachment));
    } else {
      LogWarning("cni_record_unreadable",
                 {{"pod", row.Text(0)}, {"error", attachment.status().message()}});
    }
  };
  CRISP_RETURN_IF_ERROR(
      database_->Execute("SELECT pod_id, config, detail FROM attachments", {}, on_row).status());
  return attachments;
}

absl::Status CniAttachmentStore::Save(const CniAttachment& a) {
  const std::string detail = DumpJson({{"state", static_cast<int>(a.state)},
                                       {"pod_id", a.pod_id},
                                       {"pod_name", a.pod_name},
                                       {"pod_namespace", a.pod_namespace},
                                       {"pod_uid", a.pod_uid},
                                       {"boot_id", a.boot_id},
                                       {"netns_path", a.netns_path},
                                       {"capability_args", a.capability_args},
                                       {"result", a.result}});
  return database_
      ->Execute("INSERT OR REPLACE INTO attachments (pod_id, config, detail) VALUES (?, ?, ?)",
                {a.pod_id, a.config_text, detail})
      .status();
}

absl::Status CniAttachmentStore::Delete(const std::string& pod_id) {
  return database_->Execute("DELETE FROM attachments WHERE pod_id = ?", {pod_id}).status();
}

}  // namespace crisp::network
