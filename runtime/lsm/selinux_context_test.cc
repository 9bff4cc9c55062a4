#include "runtime/lsm/selinux_context.h"

#include "base/testing/status_matchers.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(SelinuxContextTest, HasThreeOrFourParts) {
  ASSERT_OK_AND_ASSIGN(const SelinuxContext full, ParseSelinuxContext("u:r:t:s0-s0:c0.c1023"));
  EXPECT_EQ(full, (SelinuxContext{"u", "r", "t", "s0-s0:c0.c1023"}));
  EXPECT_EQ(full.ToString(), "u:r:t:s0-s0:c0.c1023");
  ASSERT_OK_AND_ASSIGN(const SelinuxContext plain, ParseSelinuxContext("u:r:t"));
  EXPECT_EQ(plain.ToString(), "u:r:t");
  EXPECT_EQ(SelinuxContext().ToString(), "");
  for (const char* bad :
       {"", "u:r", "u::t:s0", "u:r:t:", "u:r:t t:s0", "u:r:t:s0\n", "u:r:t\":s0"}) {
    EXPECT_THAT(ParseSelinuxContext(bad), StatusIs(kInvalid)) << bad;
  }
}

TEST(LxcContextsTest, SaysWhatContainersGet) {
  ASSERT_OK_AND_ASSIGN(
      const SelinuxDefaults read,
      ParseLxcContexts("# a policy's\nprocess = \"a_u:a_r:a_t:s0\"\n"
                       "content=\"b_u:object_r:lib_t:s0\"\n\nfile = c_u:object_r:c_t:s0\n"));
  EXPECT_EQ(read.process.ToString(), "a_u:a_r:a_t:s0");
  EXPECT_EQ(read.file.ToString(), "c_u:object_r:c_t:s0");
  EXPECT_EQ(read.unconfined.ToString(), "a_u:a_r:spc_t:s0");
  ASSERT_OK_AND_ASSIGN(const SelinuxDefaults empty, ParseLxcContexts(""));
  EXPECT_EQ(empty, StandardSelinuxDefaults());
  EXPECT_THAT(ParseLxcContexts("\nprocess = \"a_t\"\n"), StatusIs(kInvalid, HasSubstr("line 2")));
}

SelinuxLabels Make(const SelinuxContext& options, bool unconfined = false) {
  auto labels = MakeSelinuxLabels(StandardSelinuxDefaults(),
                                  {.options = options, .unconfined = unconfined}, "s0:c1,c2");
  EXPECT_OK(labels.status());
  return labels.ok() ? *labels : SelinuxLabels();
}

TEST(SelinuxLabelsTest, ThePodsLevelKeepsContainersApart) {
  EXPECT_EQ(Make({}), (SelinuxLabels{"system_u:system_r:container_t:s0:c1,c2",
                                     "system_u:object_r:container_file_t:s0:c1,c2", true}));
}

TEST(SelinuxLabelsTest, EachOptionCountsByItself) {
  EXPECT_EQ(Make({.level = "s0:c7,c8"}),
            (SelinuxLabels{"system_u:system_r:container_t:s0:c7,c8",
                           "system_u:object_r:container_file_t:s0:c7,c8", true}));
  EXPECT_EQ(Make({.type = "my_t"}).process, "system_u:system_r:my_t:s0:c1,c2");
  EXPECT_EQ(Make({.type = "my_t"}).mount, "system_u:object_r:container_file_t:s0:c1,c2")
      << "the type is the process's";
  EXPECT_EQ(Make({.role = "my_r"}).process, "system_u:my_r:container_t:s0:c1,c2");
  EXPECT_EQ(Make({.user = "my_u"}),
            (SelinuxLabels{"my_u:system_r:container_t:s0:c1,c2",
                           "my_u:object_r:container_file_t:s0:c1,c2", true}));
}

TEST(SelinuxLabelsTest, UnconfinedProcessesHaveTheirOwnTypeAndThePodsFiles) {
  EXPECT_EQ(Make({}, true), (SelinuxLabels{"system_u:system_r:spc_t:s0",
                                           "system_u:object_r:container_file_t:s0:c1,c2", false}));
  EXPECT_EQ(Make({.type = "my_t"}, true).process, "system_u:system_r:my_t:s0:c1,c2")
      << "asked for is asked for";
  EXPECT_EQ(Make({.type = "spc_t"}).process, "system_u:system_r:spc_t:s0");
  EXPECT_FALSE(Make({.type = "spc_t"}).confined);
}

TEST(SelinuxLabelsTest, APolicyMayLackUnconfinedContainers) {
  SelinuxDefaults defaults = StandardSelinuxDefaults();
  defaults.unconfined = {};
  ASSERT_OK_AND_ASSIGN(const SelinuxLabels labels,
                       MakeSelinuxLabels(defaults, {.unconfined = true}, "s0:c1,c2"));
  EXPECT_EQ(labels, (SelinuxLabels{"", "system_u:object_r:container_file_t:s0:c1,c2", false}));
}

TEST(SelinuxLabelsTest, OptionsCannotSmuggleParts) {
  for (const SelinuxContext& bad :
       {SelinuxContext{.user = "a:b"}, SelinuxContext{.type = "container_t:s0"},
        SelinuxContext{.role = "a b"}, SelinuxContext{.level = "s0\n"},
        SelinuxContext{.level = "s0\",x=\""}, SelinuxContext{.type = std::string("a\0b", 3)},
        SelinuxContext{.level = std::string(5000, '1')}}) {
    EXPECT_THAT(MakeSelinuxLabels(StandardSelinuxDefaults(), {.options = bad}, "s0"),
                StatusIs(kInvalid))
        << bad.ToString();
  }
}

}  // namespace
}  // namespace crisp::runtime
