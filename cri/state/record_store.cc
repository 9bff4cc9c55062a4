#include "cri/state/record_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::cri {
namespace {

constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS records(id TEXT PRIMARY KEY, kind TEXT NOT NULL, data BLOB NOT "
    "NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS specs(id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS quarantine(id TEXT, kind TEXT, data BLOB);";

// Some hundred rows: every pod can be stopped and removed on a full tmpfs, which then is not full.
constexpr int64_t kReserve = 2 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<RecordStore>> RecordStore::Open(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(auto database,
                         Database::OpenOrSetAside(path, Database::Sync::kOff, kSchema));
  database->KeepReserve(path + "-reserve", kReserve);
  return std::unique_ptr<RecordStore>(new RecordStore(std::move(database)));
}

absl::Status RecordStore::Write(const std::string& id,
                                const char* kind,
                                const std::string& data,
                                bool urgent) {
  constexpr char kWrite[] =
      "INSERT INTO records(id, kind, data) VALUES(?, ?, ?)"
      " ON CONFLICT(id) DO UPDATE SET data = excluded.data";
  return urgent ? database_->ExecuteUrgently(kWrite, {id, kind, data}).status()
                : database_->Execute(kWrite, {id, kind, data}).status();
}

absl::Status RecordStore::Put(const state::PodRecord& record) {
  const bool ends =
      record.stage() == state::PodRecord::NOT_READY || record.stage() == state::PodRecord::REMOVING;
  return Write(record.id(), "pod", record.SerializeAsString(), ends);
}

absl::Status RecordStore::Put(const state::ContainerRecord& record) {
  const bool ends = record.stage() == state::ContainerRecord::EXITED ||
                    record.stage() == state::ContainerRecord::REMOVING;
  return Write(record.id(), "container", record.SerializeAsString(), ends);
}

absl::Status RecordStore::PutSpec(const std::string& id, const std::string& json) {
  return database_
      ->Execute(
          "INSERT INTO specs(id, json) VALUES(?, ?)"
          " ON CONFLICT(id) DO UPDATE SET json = excluded.json",
          {id, json})
      .status();
}

absl::StatusOr<std::string> RecordStore::Spec(const std::string& id) {
  std::string json;
  CRISP_RETURN_IF_ERROR(database_
                            ->Execute("SELECT json FROM specs WHERE id = ?", {id},
                                      [&](const Database::Row& row) { json = row.Text(0); })
                            .status());
  if (json.empty()) return absl::NotFoundError(absl::StrCat("no spec is stored of container ", id));
  return json;
}

absl::StatusOr<bool> RecordStore::Has(const std::string& id) {
  bool found = false;
  CRISP_RETURN_IF_ERROR(database_
                            ->Execute("SELECT 1 FROM records WHERE id = ?", {id},
                                      [&](const Database::Row&) { found = true; })
                            .status());
  return found;
}

// The spec goes first: without its record nobody would ever erase it.
absl::Status RecordStore::Erase(const std::string& id) {
  CRISP_RETURN_IF_ERROR(
      database_->ExecuteUrgently("DELETE FROM specs WHERE id = ?", {id}).status());
  return database_->ExecuteUrgently("DELETE FROM records WHERE id = ?", {id}).status();
}

absl::StatusOr<RecordStore::Records> RecordStore::LoadAll() {
  Records records;
  std::vector<std::string> bad;
  CRISP_RETURN_IF_ERROR(
      database_
          ->Execute("SELECT id, kind, data FROM records", {},
                    [&](const Database::Row& row) {
                      const std::string id = row.Text(0), kind = row.Text(1), data = row.Text(2);
                      if (kind == "pod") {
                        state::PodRecord& pod = records.pods.emplace_back();
                        if (pod.ParseFromString(data) && pod.id() == id) return;
                        records.pods.pop_back();
                      } else if (kind == "container") {
                        state::ContainerRecord& container = records.containers.emplace_back();
                        if (container.ParseFromString(data) && container.id() == id) return;
                        records.containers.pop_back();
                      } else {
                        LogWarning("record.of_a_kind_unknown", {{"id", id}, {"kind", kind}});
                        return;
                      }
                      bad.push_back(id);
                    })
          .status());
  for (const std::string& id : bad) {
    LogError("record.quarantined", {{"id", id}});
    const absl::Status moved = database_->Transaction([&]() -> absl::Status {
      auto copied = database_->Execute(
          "INSERT INTO quarantine SELECT id, kind, data FROM records WHERE id = ?", {id});
      if (!copied.ok()) return copied.status();
      return Erase(id);
    });
    if (!moved.ok()) return moved;
  }
  return records;
}

}  // namespace crisp::cri
