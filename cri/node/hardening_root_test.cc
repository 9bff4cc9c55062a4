#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "cri/node/hardening.h"

namespace crisp::cri {
namespace {

uint64_t MaskIn(absl::string_view status, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (!absl::ConsumePrefix(&line, name)) continue;
    uint64_t mask = 0;
    return absl::SimpleHexAtoi(absl::StripAsciiWhitespace(line.substr(1)), &mask) ? mask : 0;
  }
  return 0;
}

// In a process of its own, which says by its exit code what was wrong.
int InChild(int (*body)()) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(HardeningTest, LeavesNoCoreAndNothingNeedless) {
  EXPECT_EQ(InChild([] {
              if (!HardenProcess().ok()) return 1;
              if (prctl(PR_GET_DUMPABLE) != 0) return 2;
              const std::string status = ReadFile("/proc/self/status").value_or("");
              if ((MaskIn(status, "CapEff") & NeedlessCapabilities()) != 0) return 3;
              if ((MaskIn(status, "CapPrm") & NeedlessCapabilities()) != 0) return 4;
              return MaskIn(status, "CapEff") != 0 ? 0 : 5;
            }),
            0);
}

TEST(HardeningTest, ProgramsThatItStartsHaveAllAgain) {
  EXPECT_EQ(InChild([] {
              if (!HardenProcess().ok()) return 1;
              execl("/bin/sh", "sh", "-c",
                    "read -r a b <<E\n$(grep CapEff /proc/self/status)\nE\n"
                    "read -r c d <<E\n$(grep CapBnd /proc/self/status)\nE\n"
                    "[ \"$b\" = \"$d\" ]",
                    nullptr);
              return 2;
            }),
            0);
}

}  // namespace
}  // namespace crisp::cri
