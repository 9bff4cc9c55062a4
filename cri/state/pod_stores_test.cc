#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/database.h"
#include "base/file.h"
#include "base/testing/cancelled_wait.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "base/testing/test_threads.h"
#include "cri/state/event_hub.h"
#include "cri/state/id_store.h"
#include "cri/state/join_table.h"
#include "cri/state/pod.h"
#include "cri/state/record_store.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {
namespace {

TEST(IdStore, FindsUnambiguousPrefixes) {
  IdStore<int> store("thing");
  store.Insert("aa11", std::make_shared<int>(1));
  store.Insert("aa22", std::make_shared<int>(2));
  EXPECT_EQ(**store.Find("aa1"), 1);
  EXPECT_THAT(store.Find("aa"), StatusIs(absl::StatusCode::kInvalidArgument));
  for (const char* absent : {"", "ab", "aa111", "zz", "AA11"}) {
    EXPECT_THAT(store.Find(absent), StatusIs(absl::StatusCode::kNotFound)) << absent;
  }
  EXPECT_TRUE(store.Erase("aa11"));
  EXPECT_FALSE(store.Erase("aa11"));
  EXPECT_EQ(**store.Find("aa"), 2);
}

TEST(JoinTable, OneWorksTheOthersJoin) {
  JoinTable<int> table;
  absl::Notification begun, go_on;
  std::atomic<int> runs = 0;
  const auto work = [&]() -> absl::StatusOr<int> {
    if (!begun.HasBeenNotified()) begun.Notify();
    go_on.WaitForNotification();
    return ++runs;
  };
  std::atomic<int> sum = 0;
  std::thread first([&] { sum += *table.Run("key", Operation(), work); });
  begun.WaitForNotification();
  std::vector<std::thread> others;
  std::array<std::atomic<pid_t>, 3> ids{};
  for (std::atomic<pid_t>& id : ids) {
    others.emplace_back([&] {
      id = gettid();
      sum += *table.Run("key", Operation(), work);
    });
  }
  for (const std::atomic<pid_t>& id : ids) {
    EXPECT_TRUE(Eventually([&] { return id != 0; }));
    EXPECT_TRUE(SleepsUndisturbed(id));
  }
  go_on.Notify();
  first.join();
  for (std::thread& other : others) other.join();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(sum, 4);
  EXPECT_EQ(*table.Run("key", Operation(), work), 2);
}

TEST(JoinTable, AWaiterMayGiveUpTheWorkGoesOn) {
  JoinTable<int> table;
  absl::Notification begun, go_on;
  std::atomic<bool> finished = false;
  std::thread worker([&] {
    (void)table.Run("key", Operation(), [&]() -> absl::StatusOr<int> {
      begun.Notify();
      go_on.WaitForNotification();
      finished = true;
      return 1;
    });
  });
  begun.WaitForNotification();
  EXPECT_THAT(table.Run("key", Operation(absl::Now() + absl::Milliseconds(20)),
                        []() -> absl::StatusOr<int> { return 2; }),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_FALSE(finished);
  go_on.Notify();
  worker.join();
  EXPECT_TRUE(finished);
}

TEST(JoinTable, AWaiterIsWokenByItsCancellation) {
  JoinTable<int> table;
  absl::Notification begun, go_on;
  std::thread worker([&] {
    (void)table.Run("key", Operation(), [&]() -> absl::StatusOr<int> {
      begun.Notify();
      go_on.WaitForNotification();
      return 1;
    });
  });
  begun.WaitForNotification();
  EXPECT_THAT(CancelledWhileAsleep([&](const Operation& operation) {
                return table.Run("key", operation, []() -> absl::StatusOr<int> { return 2; });
              }),
              StatusIs(absl::StatusCode::kCancelled));
  go_on.Notify();
  worker.join();
}

TEST(RecordStore, OneBadRowDoesNotStopTheRest) {
  TempDir dir;
  const std::string path = dir.path() + "/state.db";
  {
    ASSERT_OK_AND_ASSIGN(auto store, RecordStore::Open(path));
    state::PodRecord pod;
    pod.set_id("p");
    ASSERT_OK(store->Put(pod));
    pod.set_stage(state::PodRecord::READY);
    ASSERT_OK(store->Put(pod));
    state::ContainerRecord container;
    container.set_id("c");
    ASSERT_OK(store->Put(container));
    container.set_id("gone");
    ASSERT_OK(store->Put(container));
    ASSERT_OK(store->Erase("gone"));
  }
  {
    ASSERT_OK_AND_ASSIGN(auto database, Database::Open(path, Database::Sync::kOff, ""));
    ASSERT_OK(database->Execute("INSERT INTO records VALUES('bad', 'pod', 'garbage')"));
    ASSERT_OK(database->Execute("INSERT INTO specs VALUES('bad', '{}')"));
    ASSERT_OK(database->Execute("INSERT INTO records VALUES('later', 'checkpoint', 'unknown')"));
  }
  ASSERT_OK_AND_ASSIGN(auto store, RecordStore::Open(path));
  ASSERT_OK_AND_ASSIGN(auto records, store->LoadAll());
  ASSERT_EQ(records.pods.size(), 1u);
  EXPECT_EQ(records.pods[0].stage(), state::PodRecord::READY);
  ASSERT_EQ(records.containers.size(), 1u);
  EXPECT_EQ(records.containers[0].id(), "c");
  EXPECT_THAT(store->Spec("bad"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const bool kept, store->Has("later"));
  EXPECT_TRUE(kept);
}

// A later release's rows: what it knows more of stays with what an older one writes again.
TEST(RecordStore, AnOlderReleaseKeepsWhatItDoesNotKnowOfARow) {
  TempDir dir;
  const std::string path = dir.path() + "/state.db";
  const std::string later("\xfa\x3e\x03new", 6);  // field 1007, three bytes
  {
    ASSERT_OK_AND_ASSIGN(auto store, RecordStore::Open(path));
    ASSERT_OK_AND_ASSIGN(auto database, Database::Open(path, Database::Sync::kOff, ""));
    state::PodRecord pod;
    pod.set_id("p");
    ASSERT_OK(database->Execute("INSERT INTO records VALUES('p', 'pod', ?)",
                                {pod.SerializeAsString() + later}));
  }
  ASSERT_OK_AND_ASSIGN(auto store, RecordStore::Open(path));
  ASSERT_OK_AND_ASSIGN(auto records, store->LoadAll());
  ASSERT_EQ(records.pods.size(), 1u);
  records.pods[0].set_stage(state::PodRecord::NOT_READY);
  ASSERT_OK(store->Put(records.pods[0]));
  ASSERT_OK_AND_ASSIGN(auto database, Database::Open(path, Database::Sync::kOff, ""));
  std::string data;
  ASSERT_OK(database->Execute("SELECT data FROM records", {},
                              [&](const Database::Row& row) { data = row.Text(0); }));
  EXPECT_THAT(data, ::testing::HasSubstr(later));
}

TEST(RecordStore, ASpecGoesWithItsContainer) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto store, RecordStore::Open(dir.path() + "/state.db"));
  state::ContainerRecord container;
  container.set_id("c");
  ASSERT_OK(store->Put(container));
  EXPECT_THAT(store->Spec("c"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(store->PutSpec("c", "{}"));
  ASSERT_OK(store->PutSpec("c", "{\"a\":1}"));
  ASSERT_OK(store->Put(container));
  EXPECT_EQ(store->Spec("c").value_or(""), "{\"a\":1}");
  ASSERT_OK(store->Erase("c"));
  EXPECT_THAT(store->Spec("c"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(WorkQueue, TriesUntilItSucceeds) {
  WorkQueue queue(2);
  ASSERT_OK(queue.Start());
  std::atomic<int> tries = 0;
  queue.UntilDone(
      "test", [&] { return ++tries < 3 ? absl::UnavailableError("not yet") : absl::OkStatus(); });
  EXPECT_TRUE(Eventually([&] { return tries >= 3; }));
  EXPECT_TRUE(Stays([&] { return tries == 3; }));
}

TEST(WorkQueue, WithoutThreadsTheStartFails) {
  WorkQueue queue(2);
  ASSERT_TRUE(WithoutNewThreads(
      [&] { EXPECT_THAT(queue.Start(), StatusIs(absl::StatusCode::kResourceExhausted)); }));
}

TEST(EventHub, AReaderIsWokenByItsCancellation) {
  EventHub hub;
  EXPECT_THAT(CancelledWhileAsleep([&](const Operation& operation) {
                return hub.Read([](const EventHub::Event&) { return true; }, operation);
              }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_FALSE(hub.HasReaders());
}

TEST(EventHub, ASlowReaderLosesTheNewestAndBlocksNobody) {
  EventHub hub;
  std::atomic<size_t> seen = 0;
  absl::Notification go;
  std::thread reader([&] {
    EXPECT_OK(hub.Read(
        [&](const EventHub::Event&) {
          go.WaitForNotification();
          return ++seen < EventHub::kMaxPending;
        },
        Operation(absl::Now() + absl::Seconds(10))));
  });
  EXPECT_TRUE(Eventually([&] { return hub.HasReaders(); }));
  for (size_t i = 0; i < 2 * EventHub::kMaxPending; ++i)
    hub.Publish(std::make_shared<EventHub::Event>());
  go.Notify();
  reader.join();
  EXPECT_EQ(seen, EventHub::kMaxPending);
  // One event was in the reader's hands, perhaps, when the others queued up.
  EXPECT_GE(hub.dropped(), EventHub::kMaxPending - 1);
  EXPECT_LE(hub.dropped(), EventHub::kMaxPending);
  EXPECT_FALSE(hub.HasReaders());
}

TEST(NameKeys, PartsCannotRunIntoEachOther) {
  v1::PodSandboxMetadata a, b;
  a.set_name("a/1:b");
  a.set_namespace_("n");
  b.set_name("a");
  b.set_namespace_("n");
  b.set_uid("b");
  EXPECT_NE(PodNameKey(a), PodNameKey(b));
}

}  // namespace
}  // namespace crisp::cri
