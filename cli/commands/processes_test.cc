#include "cli/commands/processes.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace crisp::cli {
namespace {

constexpr char kStat[] =
    "12 (a (b) c) S 3 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 700 2000000 30 "
    "18446744073709551615 1 1\n";
constexpr char kStatus[] = "Name:\tx\nUid:\t0\t1000\t0\t0\nGid:\t0\t0\t0\t0\n";

TEST(ProcessesTest, AProcessIsReadWhateverItsName) {
  const auto process = ParseProcess(kStat, kStatus, std::string("/bin/x\0--flag\0", 14), 100, 4096);
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ(process->pid, 12);
  EXPECT_EQ(process->parent, 3);
  EXPECT_EQ(process->uid, 1000u);
  EXPECT_EQ(process->state, 'S');
  EXPECT_EQ(process->cpu_time, absl::Seconds(3));
  EXPECT_EQ(process->started, absl::Seconds(7));
  EXPECT_EQ(process->rss_bytes, 30u * 4096);
  EXPECT_EQ(process->command, "/bin/x --flag");
  EXPECT_EQ(ParseProcess(kStat, kStatus, "", 100, 4096)->command, "[a (b) c]");
}

TEST(ProcessesTest, WhatHasAnotherFormIsAnError) {
  EXPECT_FALSE(ParseProcess("", kStatus, "", 100, 4096).ok());
  EXPECT_FALSE(ParseProcess("12 (a)", kStatus, "", 100, 4096).ok());
  EXPECT_FALSE(ParseProcess("12 (a) S 3", kStatus, "", 100, 4096).ok());
  EXPECT_FALSE(ParseProcess(kStat, "Name:\tx\n", "", 100, 4096).ok());
}

TEST(ProcessesTest, OneThatHasEndedIsNotFound) {
  EXPECT_TRUE(ReadProcess("/proc", getpid()).ok());
  EXPECT_EQ(ReadProcess("/proc", 2147483646).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace crisp::cli
