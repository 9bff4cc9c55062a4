#include "base/database.h"

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp {
namespace {

constexpr char kSchema[] = "CREATE TABLE IF NOT EXISTS t(k TEXT PRIMARY KEY, v BLOB, n INTEGER)";

TEST(DatabaseTest, KeepsBytesAcrossReopen) {
  TempDir dir;
  const std::string bytes("a\0b", 3);
  {
    ASSERT_OK_AND_ASSIGN(auto db,
                         Database::Open(dir.path() + "/d", Database::Sync::kFull, kSchema));
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
  }),
              StatusIs(absl::StatusCode::kAborted));
  int rows = 0;
  ASSERT_OK(db->Execute("SELECT k FROM t", {}, [&](const Database::Row&) { ++rows; }));
  EXPECT_EQ(rows, 0);
}

TEST(DatabaseTest, DuplicateKeyIsAlreadyExists) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto db, Database::Open(dir.path() + "/d", Database::Sync::kOff, kSchema));
  ASSERT_OK(db->Execute("INSERT INTO t VALUES('a','',0)"));
  EXPECT_THAT(db->Execute("INSERT INTO t VALUES('a','',0)"),
              StatusIs(absl::StatusCode::kAlreadyExists));
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
    EXPECT_THAT(db->Execute("INSERT INTO t VALUES('a','',0)"),
                StatusIs(absl::StatusCode::kAlreadyExists));
  }
  const std::string garbage(4096, 'x');
  ASSERT_OK(AtomicWriteFile(path, garbage, 0600, Durability::kNone));
  ASSERT_OK_AND_ASSIGN(auto db, Database::OpenOrSetAside(path, Database::Sync::kOff, kSchema));
  EXPECT_OK(db->Execute("INSERT INTO t VALUES('a','',0)"));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, ListDir(dir.path()));
  int kept = 0;
  for (const std::string& name : names) {
    if (name.starts_with("d.bad-") && ReadFile(dir.path() + "/" + name).value_or("") == garbage)
      ++kept;
  }
  EXPECT_EQ(kept, 1);
}

using Step = Database::Schema::Step;
constexpr char kAddColumn[] = "ALTER TABLE t ADD COLUMN more INTEGER NOT NULL DEFAULT 5";
constexpr char kAddTable[] = "CREATE TABLE u(k TEXT PRIMARY KEY)";
constexpr char kRename[] = "ALTER TABLE t RENAME TO things";

class DatabaseSchemaTest : public ::testing::Test {
 protected:
  static Database::Schema Steps(size_t count) {
    const std::vector<Step> all = {{.sql = kSchema},
                                   {.sql = kAddColumn},
                                   {.sql = kAddTable},
                                   {.sql = kRename, .breaks = true}};
    switch (count) {
      case 1:
        return {all[0]};
      case 2:
        return {all[0], all[1]};
      case 3:
        return {all[0], all[1], all[2]};
      default:
        return {all[0], all[1], all[2], all[3]};
    }
  }
  absl::StatusOr<std::unique_ptr<Database>> OpenWith(size_t steps) const {
    return Database::OpenOrSetAside(path_, Database::Sync::kOff, Steps(steps));
  }
  int64_t Number(const char* sql) const {
    auto db = Database::Open(path_, Database::Sync::kOff, "");
    EXPECT_OK(db);
    int64_t number = -1;
    if (!db.ok()) return number;
    EXPECT_OK((*db)->Execute(sql, {}, [&](const Database::Row& row) { number = row.Int(0); }));
    return number;
  }
  int64_t Mark() const { return Number("PRAGMA user_version"); }
  void MakeUnversioned() const {
    ASSERT_OK_AND_ASSIGN(auto db, Database::Open(path_, Database::Sync::kOff, ""));
    ASSERT_OK(db->Execute(kSchema));
    ASSERT_OK(db->Execute("INSERT INTO t VALUES('a', '', 1)"));
  }

  TempDir dir_;
  const std::string path_ = dir_.path() + "/d";
};

TEST_F(DatabaseSchemaTest, AFileOfTheFirstReleaseIsTakenOver) {
  MakeUnversioned();
  EXPECT_EQ(Mark(), 0);
  ASSERT_OK(OpenWith(1));
  EXPECT_EQ(Mark(), 1000);
  ASSERT_OK(OpenWith(3));
  EXPECT_EQ(Mark(), 1002);
  EXPECT_EQ(Number("SELECT more FROM t WHERE k = 'a'"), 5);
  ASSERT_OK(OpenWith(3)) << "no step is done twice";
}

TEST_F(DatabaseSchemaTest, ANewFileGoesAllTheWay) {
  ASSERT_OK(OpenWith(4));
  EXPECT_EQ(Mark(), 2000);
  EXPECT_EQ(Number("SELECT count(*) FROM things"), 0);
}

TEST_F(DatabaseSchemaTest, AnOlderProgramUsesWhatALaterOneHasOnlyAddedTo) {
  ASSERT_OK(OpenWith(3));
  {
    ASSERT_OK_AND_ASSIGN(auto db, OpenWith(1));
    ASSERT_OK(db->Execute("INSERT INTO t(k, v, n) VALUES('old', '', 1)"));
  }
  EXPECT_EQ(Mark(), 1002) << "what is there stays known";
  ASSERT_OK(OpenWith(3));
  EXPECT_EQ(Number("SELECT more FROM t WHERE k = 'old'"), 5);
}

TEST_F(DatabaseSchemaTest, AnOlderProgramSaysSoOfALaterOnesAndChangesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(auto db, OpenWith(4));
    ASSERT_OK(db->Execute("INSERT INTO things VALUES('a', '', 1, 2)"));
  }
  ASSERT_OK_AND_ASSIGN(const std::string before, ReadFile(path_));
  for (const size_t steps : {1, 3}) {
    EXPECT_THAT(OpenWith(steps), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          ::testing::HasSubstr("later release")));
    ASSERT_OK_AND_ASSIGN(const std::string after, ReadFile(path_));
    EXPECT_TRUE(before == after);
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, ListDir(dir_.path()));
  for (const std::string& name : names) EXPECT_FALSE(name.starts_with("d.bad-")) << name;
  EXPECT_EQ(Number("SELECT count(*) FROM things"), 1);
  EXPECT_OK(OpenWith(4));
}

TEST_F(DatabaseSchemaTest, AMigrationThatFailsLeavesTheFileAsItWas) {
  MakeUnversioned();
  const Database::Schema bad = {
      {.sql = kSchema}, {.sql = kAddColumn}, {.sql = "INSERT INTO nowhere VALUES(1)"}};
  EXPECT_FALSE(Database::Open(path_, Database::Sync::kOff, bad).ok());
  EXPECT_EQ(Mark(), 0);
  ASSERT_OK(OpenWith(2));
  EXPECT_EQ(Mark(), 1001);
}

TEST_F(DatabaseSchemaTest, AMarkThatNobodyCanHaveWrittenIsDamage) {
  MakeUnversioned();
  {
    ASSERT_OK_AND_ASSIGN(auto db, Database::Open(path_, Database::Sync::kOff, ""));
    ASSERT_OK(db->Execute("PRAGMA user_version=2021161080"));  // "xxxx"
  }
  EXPECT_THAT(Database::Open(path_, Database::Sync::kOff, kSchema),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_OK(OpenWith(1));
  EXPECT_EQ(Mark(), 1000);
}

}  // namespace
}  // namespace crisp
