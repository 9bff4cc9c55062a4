#include "cri/record_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::cri {
namespace {

constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS records(id TEXT PRIMARY KEY, kind TEXT NOT NULL, data BLOB NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS specs(id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS quarantine(id TEXT, kind TEXT, data BLOB);";

}  // namespace

absl::StatusOr<std::unique_ptr<RecordStore>> RecordStore::Open(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(auto database, Database::Open(path, Database::Sync::kOff, kSchema));
  return std::unique_ptr<RecordStore>(new RecordStore(std::move(database)));
}

absl::Status RecordStore::Write(const std::string& id, const char* kind, const std::string& data) {
  return database_
      ->Execute("INSERT INTO records(id, kind, data) VALUES(?, ?, ?)"
                " ON CONFLICT(id) DO UPDATE SET data = excluded.data",
                {id, kind, data})
      .status();
}

absl::Status RecordStore::Put(const state::PodRecord& record) {
  return Write(record.id(), "pod", record.SerializeAsString());
}

absl::Status RecordStore::Put(const state::ContainerRecord& record) {
  return Write(record.id(), "container", record.SerializeAsString());
}

absl::Status RecordStore::PutSpec(const std::string& id, const std::string& json) {
  return database_
      ->Execute("INSERT INTO specs(id, json) VALUES(?, ?)"
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

// The spec goes first: without its record nobody would ever erase it.
absl::Status RecordStore::Erase(const std::string& id) {
  CRISP_RETURN_IF_ERROR(database_->Execute("DELETE FROM specs WHERE id = ?", {id}).status());
  return database_->Execute("DELETE FROM records WHERE id = ?", {id}).status();
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
