#include "base/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr absl::Duration kReservePause = absl::Seconds(1);
constexpr int64_t kBreak = 1000;  // what a step that breaks counts, see Schema
constexpr int64_t kLastMark =
    1000 * kBreak;  // no database has come so far: what says more is malformed

}  // namespace

Database::Schema::Schema(const char* first) {
  if (*first != '\0') steps_.push_back({.sql = first, .breaks = false});
}

int64_t Database::Schema::MarkOf(size_t count) const {
  if (count == 0) return 0;
  int64_t mark = kBreak;
  for (size_t i = 1; i < count; ++i)
    mark = steps_[i].breaks ? (mark / kBreak + 1) * kBreak : mark + 1;
  return mark;
}

thread_local const Database* Database::in_transaction_ = nullptr;

// Takes the mutex unless this thread's transaction already holds it.
class ABSL_SCOPED_LOCKABLE Database::Lock {
 public:
  explicit Lock(Database* database) ABSL_EXCLUSIVE_LOCK_FUNCTION(database->mutex_)
      : database_(database), taken_(in_transaction_ != database) {
    if (taken_) database_->mutex_.Lock();
  }
  ~Lock() ABSL_UNLOCK_FUNCTION() {
    if (taken_) database_->mutex_.Unlock();
  }

 private:
  Database* database_;
  bool taken_;
};

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path,
                                                         Sync sync,
                                                         const Schema& schema) {
  // SQLite would create it with the umask's mode.
  CRISP_RETURN_IF_ERROR(crisp::Open(path, O_RDWR | O_CREAT, 0600).status());
  sqlite3* connection = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &connection,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Database> database(new Database(connection, path));
  if (code != SQLITE_OK) return database->Error("open");
  sqlite3_busy_timeout(connection, 5000);
  CRISP_ASSIGN_OR_RETURN(const int64_t mark, database->Mark());
  CRISP_RETURN_IF_ERROR(database->CheckUsable(schema, mark));
  CRISP_RETURN_IF_ERROR(database->RunScript("PRAGMA journal_mode=WAL"));
  CRISP_RETURN_IF_ERROR(database->RunScript(sync == Sync::kFull ? "PRAGMA synchronous=FULL"
                                                                : "PRAGMA synchronous=OFF"));
  CRISP_RETURN_IF_ERROR(database->RunScript("PRAGMA foreign_keys=ON"));
  CRISP_RETURN_IF_ERROR(database->Migrate(schema, mark));
  return database;
}

absl::Status Database::CheckUsable(const Schema& schema, int64_t mark) {
  const int64_t known = schema.MarkOf(schema.steps_.size());
  if (mark < 0 || mark > kLastMark) {
    return absl::DataLossError(
        absl::StrCat("database ", path_, ": its schema is said to be ", mark));
  }
  if (known == 0 || mark / kBreak <= known / kBreak) return absl::OkStatus();
  // Not even what a close writes by itself.
  (void)sqlite3_db_config(connection_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  std::string verdict;
  CRISP_RETURN_IF_ERROR(Execute("PRAGMA quick_check(1)", {}, [&verdict](const Row& row) {
                          verdict = row.Text(0);
                        }).status());
  if (verdict != "ok") return absl::DataLossError(absl::StrCat("database ", path_, ": ", verdict));
  return absl::FailedPreconditionError(absl::StrCat(
      "database ", path_, " is of a later release of crisp: its schema is ", mark,
      ", and this program knows ", known,
      ". Nothing was changed. Start that release, or remove what it has made (docs/on-disk.md)"));
}

absl::StatusOr<int64_t> Database::Mark() {
  int64_t mark = 0;
  CRISP_RETURN_IF_ERROR(
      Execute("PRAGMA user_version", {}, [&mark](const Row& row) { mark = row.Int(0); }).status());
  return mark;
}

absl::Status Database::Migrate(const Schema& schema, int64_t found) {
  const int64_t known = schema.MarkOf(schema.steps_.size());
  // Also where a later program has added to it what does not concern this one.
  if (found >= known) return absl::OkStatus();
  return Transaction([&]() -> absl::Status {
    // Another process that opens it may have been quicker.
    CRISP_ASSIGN_OR_RETURN(const int64_t mark, Mark());
    if (mark >= known) return absl::OkStatus();
    for (size_t i = 0; i < schema.steps_.size(); ++i) {
      if (schema.MarkOf(i + 1) <= mark) continue;
      CRISP_RETURN_IF_ERROR(RunScript(schema.steps_[i].sql));
    }
    return RunScript(absl::StrCat("PRAGMA user_version=", known));
  });
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenOrSetAside(const std::string& path,
                                                                   Sync sync,
                                                                   const Schema& schema) {
  absl::StatusOr<std::unique_ptr<Database>> database = Open(path, sync, schema);
  absl::Status state = database.status();
  if (database.ok()) {
    std::string verdict;
    state =
        (*database)
            ->Execute("PRAGMA quick_check(1)", {}, [&](const Row& row) { verdict = row.Text(0); })
            .status();
    if (state.ok() && verdict == "ok") return database;
    if (state.ok()) state = absl::DataLossError(absl::StrCat("database ", path, ": ", verdict));
  }
  if (!absl::IsDataLoss(state)) return state;
  database = state;  // closes it
  const std::string aside = absl::StrCat(path, ".bad-", absl::ToUnixSeconds(absl::Now()));
  for (const char* part : {"", "-wal", "-shm"}) {
    if (rename((path + part).c_str(), (aside + part).c_str()) != 0 && errno != ENOENT) {
      return ErrnoError(errno, absl::StrCat("set the malformed database ", path, " aside"));
    }
  }
  LogError("database.set_aside", {{"path", path}, {"now", aside}, {"error", state.message()}});
  return Open(path, sync, schema);
}

Database::Database(sqlite3* connection, std::string path)
    : connection_(connection), path_(std::move(path)) {}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

absl::Status Database::Error(absl::string_view what) const {
  const int code = sqlite3_errcode(connection_);
  const std::string message =
      absl::StrCat("database ", path_, ": ", what, ": ", sqlite3_errmsg(connection_));
  switch (code) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return absl::DataLossError(message);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CONSTRAINT:
      return absl::AlreadyExistsError(message);
    case SQLITE_BUSY:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status Database::RunScript(const std::string& sql) {
  if (sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return Error(sql.substr(0, 60));
  }
  return absl::OkStatus();
}

absl::StatusOr<sqlite3_stmt*> Database::Prepare(const char* sql) {
  for (auto& [text, statement] : statements_) {
    if (text == sql) return statement;
  }
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(connection_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) !=
      SQLITE_OK) {
    return Error(sql);
  }
  statements_.emplace_back(sql, statement);
  return statement;
}

absl::StatusOr<int64_t> Database::Execute(const char* sql,
                                          const std::vector<Value>& parameters,
                                          const std::function<void(const Row&)>& on_row) {
  Lock lock(this);
  CRISP_ASSIGN_OR_RETURN(sqlite3_stmt * statement, Prepare(sql));
  for (size_t i = 0; i < parameters.size(); ++i) {
    const int index = static_cast<int>(i) + 1;
    const Value& value = parameters[i];
    if (value.is_number()) {
      sqlite3_bind_int64(statement, index, value.number());
    } else {
      sqlite3_bind_text(statement, index, value.text().empty() ? "" : value.text().data(),
                        static_cast<int>(value.text().size()), SQLITE_STATIC);
    }
  }
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    if (on_row) on_row(Row(statement));
  }
  absl::Status status = code == SQLITE_DONE ? absl::OkStatus() : Error(sql);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  if (!status.ok()) return status;
  return sqlite3_changes64(connection_);
}

void Database::KeepReserve(std::string path, int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  reserve_path_ = std::move(path);
  reserve_bytes_ = bytes;
  MakeReserve();
}

void Database::MakeReserve() {
  if (reserve_path_.empty() || reserved_ || absl::Now() < next_reserve_) return;
  next_reserve_ = absl::Now() + kReservePause;
  const absl::StatusOr<UniqueFd> file =
      crisp::Open(reserve_path_, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  reserved_ = file.ok() && fallocate(file->get(), 0, 0, reserve_bytes_) == 0;
  if (!reserved_) (void)unlink(reserve_path_.c_str());
}

absl::StatusOr<int64_t> Database::ExecuteUrgently(const char* sql,
                                                  const std::vector<Value>& parameters) {
  absl::StatusOr<int64_t> changed = Execute(sql, parameters);
  const Lock lock(this);
  if (!absl::IsResourceExhausted(changed.status())) {
    MakeReserve();
    return changed;
  }
  if (reserved_) LogWarning("database.reserve_used", {{"path", path_}});
  (void)unlink(reserve_path_.c_str());
  reserved_ = false;
  next_reserve_ = absl::Now() + kReservePause;
  // The mutex is this thread's, as in a transaction.
  const Database* outer = std::exchange(in_transaction_, this);
  changed = Execute(sql, parameters);
  in_transaction_ = outer;
  return changed;
}

absl::Status Database::Transaction(const std::function<absl::Status()>& body) {
  if (in_transaction_ == this) return body();
  absl::MutexLock lock(&mutex_);
  const Database* outer = std::exchange(in_transaction_, this);
  absl::Status status = Execute("BEGIN IMMEDIATE").status();
  if (status.ok()) {
    status = body();
    if (status.ok()) status = Execute("COMMIT").status();
    if (!status.ok()) (void)Execute("ROLLBACK");  // the first error is the one to tell
  }
  in_transaction_ = outer;
  return status;
}

int64_t Database::Row::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Database::Row::Text(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string() : std::string(data, static_cast<size_t>(size));
}

}  // namespace crisp
