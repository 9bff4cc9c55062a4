#ifndef CRISP_BASE_DATABASE_H_
#define CRISP_BASE_DATABASE_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace crisp {

// A SQLite database in WAL mode with one connection. Thread-safe: every call and every transaction
// holds the connection's mutex, so keep transactions short and free of other I/O.
class Database {
 public:
  enum class Sync {
    kOff,   // survives the death of the daemon, not of the machine
    kFull,  // a committed transaction survives power loss
  };

  // The tables of a database, as the steps that lead to them. Steps are only ever added. The first
  // one makes the tables of the first release. It runs on empty files and on those of that release,
  // which do not say how far they are, so its statements change nothing that exists. Each other
  // step runs once. The file records how far it has come (PRAGMA user_version: a thousand for the
  // first step and for each that breaks, one for each that does not).
  class Schema {
   public:
    struct Step {
      std::string sql;
      // True if a program that does not know this step may no longer use the file. False for a step
      // that adds tables, or columns with defaults: an older program then reads and writes what it
      // knows.
      bool breaks = false;
    };
    // A schema of one step. Empty for none: the file is taken as it is.
    Schema(const char* first);  // NOLINT(google-explicit-constructor)
    Schema(std::initializer_list<Step> steps) : steps_(steps) {}

   private:
    friend class Database;
    // The mark of a file that has done the first `count` steps.
    int64_t MarkOf(size_t count) const;

    std::vector<Step> steps_;
  };

  // Creates the file (mode 0600) if it is absent, then does the steps of `schema` that it lacks,
  // all or none. DataLoss if the file is not a database. FailedPrecondition, with nothing changed,
  // if a later program has done a step to it that breaks.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path,
                                                        Sync sync,
                                                        const Schema& schema);
  // The same, for data that can be found again: a file that is malformed, anywhere in it, is
  // renamed to <path>.bad-<seconds since the epoch> and logged as an error, and an empty database
  // takes its place.
  static absl::StatusOr<std::unique_ptr<Database>> OpenOrSetAside(const std::string& path,
                                                                  Sync sync,
                                                                  const Schema& schema);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // A parameter or a column: text and blobs alike are byte strings.
  class Value {
   public:
    Value(int64_t number)
        : is_number_(true), number_(number) {}       // NOLINT(google-explicit-constructor)
    Value(absl::string_view text) : text_(text) {}   // NOLINT(google-explicit-constructor)
    Value(const std::string& text) : text_(text) {}  // NOLINT(google-explicit-constructor)
    Value(const char* text) : text_(text) {}         // NOLINT(google-explicit-constructor)
    bool is_number() const { return is_number_; }
    int64_t number() const { return number_; }
    absl::string_view text() const { return text_; }

   private:
    bool is_number_ = false;
    int64_t number_ = 0;
    absl::string_view text_;
  };

  class Row {
   public:
    int64_t Int(int column) const;
    std::string Text(int column) const;

   private:
    friend class Database;
    explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
    sqlite3_stmt* statement_;
  };

  // Runs one statement ('?' parameters). `on_row` is called for each result row under the mutex and
  // must not call back into the database. Returns the number of rows that were changed.
  absl::StatusOr<int64_t> Execute(const char* sql,
                                  const std::vector<Value>& parameters = {},
                                  const std::function<void(const Row&)>& on_row = nullptr);

  // Keeps a file of that size beside the database, as a reserve for ExecuteUrgently().
  void KeepReserve(std::string path, int64_t bytes);
  // Execute() for a statement that must succeed on a full disk, because it leads to space. If there
  // is none, the reserve is given up, and made anew when there is room again.
  absl::StatusOr<int64_t> ExecuteUrgently(const char* sql, const std::vector<Value>& parameters);

  // Runs `body` in one transaction. If it returns an error, the transaction is rolled back and the
  // error returned. Inside, use Execute() as usual (same thread).
  absl::Status Transaction(const std::function<absl::Status()>& body);

 private:
  explicit Database(sqlite3* connection, std::string path);
  absl::Status Error(absl::string_view what) const;
  absl::StatusOr<sqlite3_stmt*> Prepare(const char* sql);
  absl::Status RunScript(const std::string& sql);
  absl::StatusOr<int64_t> Mark();
  absl::Status CheckUsable(const Schema& schema, int64_t mark);
  absl::Status Migrate(const Schema& schema, int64_t found);
  void MakeReserve() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  class Lock;
  absl::Mutex mutex_;
  // The database whose transaction holds the mutex in this thread. Lets Execute() re-enter from
  // Transaction()'s body.
  static thread_local const Database* in_transaction_;
  sqlite3* connection_;
  std::string path_;
  std::string reserve_path_ ABSL_GUARDED_BY(mutex_);
  int64_t reserve_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool reserved_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time next_reserve_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::vector<std::pair<std::string, sqlite3_stmt*>> statements_;  // prepared once, by text
};

}  // namespace crisp

#endif  // CRISP_BASE_DATABASE_H_
