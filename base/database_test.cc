#include "base/database.h"

#include "base/file.h"
#include "base/status_matchers.h"

namespace crisp {
namespace {

constexpr char kSchema[] = "CREATE TABLE IF NOT EXISTS t(k TEXT PRIMARY KEY, v BLOB, n INTEGER)";

TEST(DatabaseTest, KeepsBytesAcrossReopen) {
  TempDir dir;
  const std::string bytes("a\0b", 3);
  {
    ASSERT_OK_AND_ASSIGN(auto db, Database::Open(dir.path() + "/d", Database::Sync::kFull, kSchema));
    ASSERT_OK(db->Execute("INSERT INTO t VALUES(?,?,?)", {"k", bytes, 7}));
  }
  ASSERT_OK_AND_ASSIGN(auto db, Database::Open(dir.path() + "/d", Database::Sync::kOff, kSchema));
  std::string got;
  int64_t number = 0;
  ASSERT_OK(db->Execute("SELECT v, n FROM t WHERE k=?", {"k"}, [&](const Database::Row& row) {
    got = row.Text(0);
    number = row.Int(1);
  }));
  EXPECT_EQ(got, bytes);
  EXPECT_EQ(number, 7);
}

TEST(DatabaseTest, FailedTransactionLeavesNothing) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto db, Database::Open(dir.path() + "/d", Database::Sync::kOff, kSchema));
  EXPECT_THAT(db->Transaction([&]() -> absl::Status {
    CRISP_RETURN_IF_ERROR(db->Execute("INSERT INTO t VALUES('a','',0)").status());
    return absl::AbortedError("no");
  }), StatusIs(absl::StatusCode::kAborted));
  int rows = 0;
  ASSERT_OK(db->Execute("SELECT k FROM t", {}, [&](const Database::Row&) { ++rows; }));
  EXPECT_EQ(rows, 0);
}

TEST(DatabaseTest, DuplicateKeyIsAlreadyExists) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto db, Database::Open(dir.path() + "/d", Database::Sync::kOff, kSchema));
  ASSERT_OK(db->Execute("INSERT INTO t VALUES('a','',0)"));
  EXPECT_THAT(db->Execute("INSERT INTO t VALUES('a','',0)"), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_OK(db->Execute("INSERT INTO t VALUES(?,?,?)", {"b", "", 1}));
}

TEST(DatabaseTest, GarbageFileIsDataLoss) {
  TempDir dir;
  ASSERT_OK(AtomicWriteFile(dir.path() + "/d", std::string(4096, 'x'), 0600, Durability::kNone));
  EXPECT_THAT(Database::Open(dir.path() + "/d", Database::Sync::kOff, kSchema),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(DatabaseTest, AMalformedFileIsSetAsideAndKept) {
  TempDir dir;
  const std::string path = dir.path() + "/d";
  {
    ASSERT_OK_AND_ASSIGN(auto db, Database::OpenOrSetAside(path, Database::Sync::kOff, kSchema));
    ASSERT_OK(db->Execute("INSERT INTO t VALUES('a','',0)"));
  }
  {
    ASSERT_OK_AND_ASSIGN(auto db, Database::OpenOrSetAside(path, Database::Sync::kOff, kSchema));
    EXPECT_THAT(db->Execute("INSERT INTO t VALUES('a','',0)"), StatusIs(absl::StatusCode::kAlreadyExists));
  }
  const std::string garbage(4096, 'x');
  ASSERT_OK(AtomicWriteFile(path, garbage, 0600, Durability::kNone));
  ASSERT_OK_AND_ASSIGN(auto db, Database::OpenOrSetAside(path, Database::Sync::kOff, kSchema));
  EXPECT_OK(db->Execute("INSERT INTO t VALUES('a','',0)"));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, ListDir(dir.path()));
  int kept = 0;
  for (const std::string& name : names) {
    if (name.starts_with("d.bad-") && ReadFile(dir.path() + "/" + name).value_or("") == garbage) ++kept;
  }
  EXPECT_EQ(kept, 1);
}

}  // namespace
}  // namespace crisp
