#include "runtime/handler/handler_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/testing/status_matchers.h"
#include "runtime/handler/missing_runtime.h"

namespace crisp::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

// It does nothing; only its type counts here.
std::vector<std::unique_ptr<PodRuntime>> Runtimes(const std::vector<std::string>& types) {
  std::vector<std::unique_ptr<PodRuntime>> runtimes;
  for (const std::string& type : types) runtimes.push_back(std::make_unique<MissingRuntime>(type));
  return runtimes;
}

TEST(HandlerTableTest, TheHandlerWithoutANameIsAlwaysThere) {
  ASSERT_OK_AND_ASSIGN(const auto table, HandlerTable::Create({}, Runtimes({"crisp"})));
  ASSERT_EQ(table->handlers().size(), 1u);
  EXPECT_EQ(table->handlers()[0].name, "");
  ASSERT_OK_AND_ASSIGN(const PodRuntime* runtime, table->Find(""));
  EXPECT_EQ(runtime->type(), "crisp");
}

TEST(HandlerTableTest, HandlersAreFoundByName) {
  ASSERT_OK_AND_ASSIGN(const auto table,
                       HandlerTable::Create({{.name = "plain"}, {.name = "small", .type = "vm"}},
                                            Runtimes({"crisp", "vm"})));
  EXPECT_EQ((*table->Find("plain"))->type(), "crisp");
  EXPECT_EQ((*table->Find("small"))->type(), "vm");
  EXPECT_THAT(table->Find("other"),
              StatusIs(kInvalid, AllOf(HasSubstr("\"other\" is not configured"),
                                       HasSubstr("\"\", \"plain\", \"small\""))));
}

TEST(HandlerTableTest, WhatCannotBeIsRefusedByName) {
  EXPECT_THAT(HandlerTable::Create({{.name = "x", .type = "vm"}}, Runtimes({"crisp"})),
              StatusIs(kInvalid, HasSubstr("handler \"x\": there is no runtime of type \"vm\"")));
  EXPECT_THAT(HandlerTable::Create({{.name = "x"}, {.name = "x"}}, Runtimes({"crisp"})),
              StatusIs(kInvalid, HasSubstr("given twice")));
  EXPECT_THAT(HandlerTable::Create({{.name = ""}}, Runtimes({"crisp"})), StatusIs(kInvalid));
  EXPECT_THAT(HandlerTable::Create({}, {}), StatusIs(kInvalid));
}

TEST(HandlerTableTest, APodOfATypeThatIsGoneSaysWhatToDo) {
  ASSERT_OK_AND_ASSIGN(const auto table, HandlerTable::Create({}, Runtimes({"crisp"})));
  EXPECT_EQ(table->OfType("").type(), "crisp") << "recorded before there were types";
  PodRuntime& missing = table->OfType("vm");
  EXPECT_EQ(&missing, &table->OfType("vm"));
  const std::string path = "/p/c";
  const auto gone = StatusIs(absl::StatusCode::kFailedPrecondition,
                             AllOf(HasSubstr("\"vm\""), HasSubstr("runtime.handlers")));
  EXPECT_THAT(missing.Usable(), gone);
  EXPECT_THAT(missing.EndPod("/state", Operation()), gone);
  EXPECT_THAT(missing.KillOnce({.pod_id = "p", .id = "c", .cgroups_path = path}), gone);
  EXPECT_THAT(missing.IsEmpty({.pod_id = "p", .id = "c", .cgroups_path = path}), gone);
}

TEST(FeaturesTest, AVerbThatIsNotThereIsRefusedByName) {
  const VerbSet verbs = VerbSet::All().Without(Verb::kPause);
  EXPECT_TRUE(verbs.Has(Verb::kUpdate));
  EXPECT_FALSE(verbs.Has(Verb::kPause));
  EXPECT_FALSE(VerbSet().Has(Verb::kExec));
  const std::string path = "/p/c";
  MissingRuntime runtime("vm");
  EXPECT_THAT(
      runtime.Pause({.pod_id = "p", .id = "c", .cgroups_path = path}, Operation()),
      StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("\"vm\" cannot pause a container")));
}

}  // namespace
}  // namespace crisp::runtime
