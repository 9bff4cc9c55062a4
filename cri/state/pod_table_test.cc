#include "cri/state/pod_table.h"

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "cri/pods/testing/fake_node.h"

namespace crisp::cri {
namespace {

using ::testing::HasSubstr;
using P = state::PodRecord;
using C = state::ContainerRecord;

constexpr Mover kMovers[] = {Mover::kMaker, Mover::kStarter, Mover::kExit,    Mover::kStopper,
                             Mover::kShim,  Mover::kRemover, Mover::kRecovery};
constexpr PodStage kPodStages[] = {P::MAKING, P::READY, P::NOT_READY, P::REMOVING};
constexpr ContainerStage kContainerStages[] = {C::MAKING, C::CREATED, C::RUNNING, C::EXITED,
                                               C::REMOVING};

class PodTableTest : public ::testing::Test {
 protected:
  PodTableTest() {
    auto rows = RecordStore::Open(dir_.path() + "/state.db");
    EXPECT_OK(rows);
    table_ = std::make_unique<PodTable>(std::make_unique<FaultyRecords>(*std::move(rows), faults_),
                                        dir_.path() + "/pods");
  }
  PodPtr MakePod(PodStage stage, const std::string& id = std::string(64, 'b')) {
    P record;
    record.set_id(id);
    record.set_stage(stage);
    auto pod = std::make_shared<Pod>(std::move(record), "pod " + id);
    EXPECT_OK(table_->Add(*pod));
    return pod;
  }
  ContainerPtr MakeContainer(ContainerStage stage,
                             const PodPtr& pod,
                             const std::string& id = std::string(64, 'c')) {
    C record;
    record.set_id(id);
    record.set_pod_id(pod->id);
    record.set_stage(stage);
    auto container = std::make_shared<Container>(std::move(record), "container " + id, pod);
    EXPECT_OK(table_->Add(*container));
    return container;
  }
  // As the row says.
  PodStage StageInRow(const Pod& pod) {
    const RecordStore::Records rows = table_->Load().value();
    for (const P& row : rows.pods) {
      if (row.id() == pod.id) return row.stage();
    }
    ADD_FAILURE() << "no row";
    return P::MAKING;
  }
  ContainerStage StageInRow(const Container& container) {
    const RecordStore::Records rows = table_->Load().value();
    for (const C& row : rows.containers) {
      if (row.id() == container.id) return row.stage();
    }
    ADD_FAILURE() << "no row";
    return C::MAKING;
  }

  TempDir dir_;
  FaultPlan faults_;
  std::unique_ptr<PodTable> table_;
};

TEST_F(PodTableTest, APodsStageIsMovedByWhoMayAndNobodyElse) {
  const std::set<std::tuple<Mover, PodStage, PodStage>> allowed = {
      {Mover::kMaker, P::MAKING, P::READY},        {Mover::kMaker, P::MAKING, P::REMOVING},
      {Mover::kMaker, P::READY, P::REMOVING},      {Mover::kStopper, P::READY, P::NOT_READY},
      {Mover::kShim, P::READY, P::NOT_READY},      {Mover::kRemover, P::NOT_READY, P::REMOVING},
      {Mover::kRemover, P::REMOVING, P::REMOVING},
  };
  for (const Mover by : kMovers) {
    for (const PodStage from : kPodStages) {
      for (const PodStage to : kPodStages) {
        const PodPtr pod = MakePod(from);
        const PodTable::Moved moved =
            table_->Advance(*pod, by, to, [](P& r) { r.set_shim_pid(7); });
        const bool expected = allowed.contains({by, from, to});
        EXPECT_EQ(moved.done, expected) << static_cast<int>(by) << ": " << from << " to " << to;
        EXPECT_EQ(moved.status.code(),
                  expected ? absl::StatusCode::kOk : absl::StatusCode::kFailedPrecondition);
        EXPECT_EQ(pod->Snapshot()->stage(), expected ? to : from);
        EXPECT_EQ(pod->Snapshot()->shim_pid(), expected ? 7 : 0);
        EXPECT_EQ(StageInRow(*pod), expected ? to : from);
      }
    }
  }
}

TEST_F(PodTableTest, AContainersStageIsMovedByWhoMayAndNobodyElse) {
  const std::set<std::tuple<Mover, ContainerStage, ContainerStage>> allowed = {
      {Mover::kMaker, C::MAKING, C::CREATED},      {Mover::kMaker, C::MAKING, C::REMOVING},
      {Mover::kMaker, C::CREATED, C::REMOVING},    {Mover::kStarter, C::CREATED, C::RUNNING},
      {Mover::kStarter, C::CREATED, C::EXITED},    {Mover::kExit, C::RUNNING, C::EXITED},
      {Mover::kRemover, C::CREATED, C::REMOVING},  {Mover::kRemover, C::EXITED, C::REMOVING},
      {Mover::kRemover, C::REMOVING, C::REMOVING}, {Mover::kRecovery, C::CREATED, C::RUNNING},
  };
  const PodPtr pod = MakePod(P::READY);
  for (const Mover by : kMovers) {
    for (const ContainerStage from : kContainerStages) {
      for (const ContainerStage to : kContainerStages) {
        const ContainerPtr container = MakeContainer(from, pod);
        const PodTable::Moved moved =
            table_->Advance(*container, by, to, [](C& r) { r.set_exit_code(7); });
        const bool expected = allowed.contains({by, from, to});
        EXPECT_EQ(moved.done, expected) << static_cast<int>(by) << ": " << from << " to " << to;
        EXPECT_EQ(moved.status.code(),
                  expected ? absl::StatusCode::kOk : absl::StatusCode::kFailedPrecondition);
        EXPECT_EQ(container->Stage(), expected ? to : from);
        EXPECT_EQ(container->Snapshot()->exit_code(), expected ? 7 : 0);
        EXPECT_EQ(StageInRow(*container), expected ? to : from);
      }
    }
  }
}

TEST_F(PodTableTest, OfManyWhoTellAnEndOneDoesIt) {
  const PodPtr pod = MakePod(P::READY);
  for (int round = 0; round < 20; ++round) {
    const ContainerPtr container = MakeContainer(C::RUNNING, pod);
    std::atomic<int> done = 0;
    std::vector<std::thread> tellers;
    for (int i = 0; i < 4; ++i) {
      tellers.emplace_back([&, i] {
        done += table_
                    ->Advance(*container, Mover::kExit, C::EXITED,
                              [i](C& r) { r.set_exit_code(i + 1); })
                    .done;
      });
    }
    for (std::thread& teller : tellers) teller.join();
    EXPECT_EQ(done, 1);
    EXPECT_EQ(container->Stage(), C::EXITED);
  }
}

TEST_F(PodTableTest, AnEditCannotChangeTheStage) {
  const PodPtr pod = MakePod(P::READY);
  const ContainerPtr container = MakeContainer(C::RUNNING, pod);
  EXPECT_THAT(table_->Change(*pod, [](P& r) { r.set_stage(P::REMOVING); }),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(table_->Change(*container, [](C& r) { r.set_stage(C::EXITED); }),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_TRUE(pod->Ready());
  EXPECT_EQ(container->Stage(), C::RUNNING);
}

TEST_F(PodTableTest, AChangeThatCannotBeWrittenIsSeenAndTheNextRowTellsIt) {
  const PodPtr pod = MakePod(P::READY);
  faults_.FailCall(1);
  EXPECT_THAT(table_->Change(*pod, [](P& r) { r.set_shim_pid(7); }),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(pod->Snapshot()->shim_pid(), 7);
  faults_.FailCall(1);
  const PodTable::Moved moved = table_->Advance(*pod, Mover::kStopper, P::NOT_READY);
  EXPECT_TRUE(moved.done);
  EXPECT_THAT(moved.status, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(StageInRow(*pod), P::READY);
  EXPECT_OK(table_->Change(*pod, [](P& r) { r.set_stopped(true); }));
  EXPECT_EQ(StageInRow(*pod), P::NOT_READY);
}

TEST_F(PodTableTest, WhatIsErasedComesBackByNoChange) {
  const PodPtr pod = MakePod(P::REMOVING);
  const ContainerPtr container = MakeContainer(C::REMOVING, pod);
  EXPECT_OK(table_->Erase(*container));
  EXPECT_OK(table_->Erase(*pod));
  EXPECT_THAT(table_->Change(*pod, [](P&) {}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(table_->Change(*container, [](C&) {}), StatusIs(absl::StatusCode::kNotFound));
  const PodTable::Moved moved = table_->Advance(*pod, Mover::kRemover, P::REMOVING);
  EXPECT_FALSE(moved.done);
  EXPECT_THAT(moved.status, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(table_->HasRow(pod->id), IsOk());
  EXPECT_FALSE(*table_->HasRow(pod->id));
  EXPECT_FALSE(*table_->HasRow(container->id));
}

TEST_F(PodTableTest, NamesFollowWhatIsShown) {
  const PodPtr pod = MakePod(P::READY);
  EXPECT_EQ(table_->IdOf(pod->name_key), "");
  table_->Show(pod);
  const ContainerPtr first = MakeContainer(C::CREATED, pod),
                     second = MakeContainer(C::CREATED, pod, std::string(64, 'd'));
  table_->Show(first);
  EXPECT_OK(table_->ShowMade(second));
  EXPECT_EQ(table_->IdOf(pod->name_key), pod->id);
  EXPECT_EQ(table_->IdOf(first->name_key), first->id);
  EXPECT_EQ(table_->ContainersOf(*pod).size(), 2u);
  EXPECT_TRUE(table_->Hide(*first));
  EXPECT_FALSE(table_->Hide(*first));
  EXPECT_EQ(table_->IdOf(first->name_key), "");
  EXPECT_EQ(table_->ContainersOf(*pod), std::vector<ContainerPtr>{second});
  EXPECT_THAT(table_->FindContainer(first->id), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PodTableTest, NothingIsMadeInAPodThatIsNotReady) {
  const PodPtr pod = MakePod(P::READY);
  EXPECT_OK(PodTable::BeginCreation(*pod));
  EXPECT_TRUE(table_->Advance(*pod, Mover::kStopper, P::NOT_READY).done);
  EXPECT_FALSE(PodTable::AwaitCreations(*pod, absl::ZeroDuration()));
  EXPECT_THAT(table_->ShowMade(MakeContainer(C::CREATED, pod)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not ready")));
  PodTable::EndCreation(*pod);
  EXPECT_TRUE(PodTable::AwaitCreations(*pod, absl::ZeroDuration()));
  EXPECT_THAT(PodTable::BeginCreation(*pod), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(PodTableTest, AnEndThatIsToldDuringAStartIsKeptForWhoStarts) {
  const PodPtr pod = MakePod(P::READY);
  const ContainerPtr container = MakeContainer(C::CREATED, pod);
  EXPECT_OK(PodTable::BeginStart(*container));
  EXPECT_FALSE(PodTable::BeginEnd(*container, {.exit_code = 9}));
  absl::MutexLock lock(&container->mutex);
  ASSERT_TRUE(container->early_exit.has_value());
  EXPECT_EQ(container->early_exit->exit_code, 9);
}

TEST_F(PodTableTest, WhatIsBeingStartedIsNotFoundRunningByRecovery) {
  const ContainerPtr container = MakeContainer(C::CREATED, MakePod(P::READY));
  ASSERT_OK(PodTable::BeginStart(*container));
  const PodTable::Moved moved = table_->Advance(*container, Mover::kRecovery, C::RUNNING);
  EXPECT_FALSE(moved.done);
  EXPECT_THAT(moved.status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(container->Snapshot()->stage(), C::CREATED);
}

TEST_F(PodTableTest, OneTellsAnEnd) {
  const PodPtr pod = MakePod(P::READY);
  const ContainerPtr container = MakeContainer(C::RUNNING, pod);
  EXPECT_TRUE(PodTable::BeginEnd(*container, {}));
  EXPECT_FALSE(PodTable::BeginEnd(*container, {}));
  PodTable::EndEnd(*container);
  EXPECT_FALSE(PodTable::BeginEnd(*MakeContainer(C::EXITED, pod), {}));
  EXPECT_THAT(PodTable::BeginStart(*container),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("running")));
}

}  // namespace
}  // namespace crisp::cri
