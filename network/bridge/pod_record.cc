#include "network/bridge/pod_record.h"

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::network {
namespace {

constexpr int64_t kReserve = 512 << 10;
constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS pods (host_veth TEXT PRIMARY KEY, record TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);";

std::string Encode(const PodRecord& record) {
  Json addresses = Json::array();
  for (const InterfaceAddress& a : record.addresses) {
    addresses.push_back({{"ip", a.address.ToString()}, {"length", a.prefix_length}});
  }
  Json ports = Json::array();
  for (const HostPort& port : record.ports) {
    ports.push_back({{"protocol", static_cast<int>(port.protocol)},
                     {"host", port.host_port},
                     {"container", port.container_port},
                     {"ip", port.host_ip ? port.host_ip->ToString() : ""}});
  }
  return DumpJson({{"state", static_cast<int>(record.state)},
                   {"pod_id", record.pod_id},
                   {"pod_name", record.pod_name},
                   {"host_veth", record.host_veth},
                   {"ifb", record.ifb},
                   {"mac", record.mac},
                   {"addresses", std::move(addresses)},
                   {"ports", std::move(ports)}});
}

absl::StatusOr<HostPort> DecodePort(const Json& json) {
  HostPort port;
  CRISP_ASSIGN_OR_RETURN(const int64_t protocol, JsonInt(json, "protocol"));
  CRISP_ASSIGN_OR_RETURN(const int64_t host, JsonInt(json, "host"));
  CRISP_ASSIGN_OR_RETURN(const int64_t container, JsonInt(json, "container"));
  CRISP_ASSIGN_OR_RETURN(const std::string ip, JsonString(json, "ip"));
  port.protocol = static_cast<Protocol>(protocol);
  port.host_port = static_cast<uint16_t>(host);
  port.container_port = static_cast<uint16_t>(container);
  if (!ip.empty()) {
    CRISP_ASSIGN_OR_RETURN(port.host_ip, IpAddress::Parse(ip));
  }
  return port;
}

absl::StatusOr<PodRecord> Decode(const std::string& text) {
  CRISP_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  PodRecord record;
  CRISP_ASSIGN_OR_RETURN(const int64_t state, JsonInt(json, "state", -1));
  if (state < 0 || state > static_cast<int>(PodRecord::State::kPrepared)) {
    return absl::InvalidArgumentError("unknown state");
  }
  record.state = static_cast<PodRecord::State>(state);
  CRISP_ASSIGN_OR_RETURN(record.pod_id, JsonString(json, "pod_id"));
  CRISP_ASSIGN_OR_RETURN(record.pod_name, JsonString(json, "pod_name"));
  CRISP_ASSIGN_OR_RETURN(record.host_veth, JsonString(json, "host_veth"));
  CRISP_ASSIGN_OR_RETURN(record.ifb, JsonString(json, "ifb"));
  CRISP_ASSIGN_OR_RETURN(record.mac, JsonString(json, "mac"));
  CRISP_ASSIGN_OR_RETURN(const Json* addresses, JsonArray(json, "addresses"));
  for (const Json& item : *addresses) {
    CRISP_ASSIGN_OR_RETURN(const std::string ip, JsonString(item, "ip"));
    CRISP_ASSIGN_OR_RETURN(const int64_t length, JsonInt(item, "length"));
    CRISP_ASSIGN_OR_RETURN(const IpAddress address, IpAddress::Parse(ip));
    record.addresses.push_back({address, static_cast<int>(length)});
  }
  CRISP_ASSIGN_OR_RETURN(const Json* ports, JsonArray(json, "ports"));
  for (const Json& item : *ports) {
    CRISP_ASSIGN_OR_RETURN(const HostPort port, DecodePort(item));
    record.ports.push_back(port);
  }
  return record;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PodRecordStore>> PodRecordStore::Open(const std::string& directory) {
  CRISP_RETURN_IF_ERROR(MakeDirs(directory, 0700));
  CRISP_ASSIGN_OR_RETURN(
      std::unique_ptr<Database> database,
      Database::OpenOrSetAside(directory + "/pods.db", Database::Sync::kOff, kSchema));
  database->KeepReserve(directory + "/pods.db-reserve", kReserve);
  return std::unique_ptr<PodRecordStore>(new PodRecordStore(std::move(database)));
}

absl::StatusOr<std::vector<PodRecord>> PodRecordStore::Load() {
  std::vector<PodRecord> records;
  CRISP_RETURN_IF_ERROR(
      database_
          ->Execute("SELECT host_veth, record FROM pods", {},
                    [&](const Database::Row& row) {
                      absl::StatusOr<PodRecord> record = Decode(row.Text(1));
                      if (record.ok()) {
                        records.push_back(*std::move(record));
                      } else {
                        LogWarning("network_record_unreadable",
                                   {{"veth", row.Text(0)}, {"error", record.status().message()}});
                      }
                    })
          .status());
  return records;
}

absl::Status PodRecordStore::Save(const PodRecord& record) {
  const std::string text = Encode(record);
  constexpr char kWrite[] = "INSERT OR REPLACE INTO pods (host_veth, record) VALUES (?, ?)";
  // The record of an undoing must not fail for want of space.
  return record.state == PodRecord::State::kDetaching || record.state == PodRecord::State::kDraining
             ? database_->ExecuteUrgently(kWrite, {record.host_veth, text}).status()
             : database_->Execute(kWrite, {record.host_veth, text}).status();
}

absl::Status PodRecordStore::Delete(const std::string& host_veth) {
  return database_->ExecuteUrgently("DELETE FROM pods WHERE host_veth = ?", {host_veth}).status();
}

absl::StatusOr<std::string> PodRecordStore::Setting(const char* name) {
  std::string value;
  CRISP_RETURN_IF_ERROR(database_
                            ->Execute("SELECT value FROM settings WHERE name = ?", {name},
                                      [&](const Database::Row& row) { value = row.Text(0); })
                            .status());
  return value;
}

absl::Status PodRecordStore::SaveSetting(const char* name, const std::string& value) {
  return database_
      ->Execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", {name, value})
      .status();
}

absl::StatusOr<std::string> PodRecordStore::PodCidr() { return Setting("pod_cidr"); }

absl::Status PodRecordStore::SavePodCidr(const std::string& cidrs) {
  return SaveSetting("pod_cidr", cidrs);
}

absl::StatusOr<std::string> PodRecordStore::ChosenSubnets() { return Setting("chosen_subnets"); }

absl::Status PodRecordStore::SaveChosenSubnets(const std::string& subnets) {
  return SaveSetting("chosen_subnets", subnets);
}

absl::Status PodRecordStore::Clear() {
  CRISP_RETURN_IF_ERROR(database_->Execute("DELETE FROM pods").status());
  return database_->Execute("DELETE FROM settings").status();
}

}  // namespace crisp::network
