#include "cri/cli/doctor.h"

#include <map>

#include "base/file.h"
#include "base/status_matchers.h"

namespace crisp::cli {
namespace {

using ::testing::HasSubstr;
using Level = Finding::Level;

class DoctorTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::string full = dir_.path() + path;
    ASSERT_OK(MakeDirs(full.substr(0, full.rfind('/'))));
    ASSERT_OK(AtomicWriteFile(full, text, 0600, Durability::kNone));
  }
  std::map<std::string, Finding> Examine(const std::string& release = "6.18.0") {
    std::map<std::string, Finding> result;
    for (Finding& finding : ExamineHost({.proc = dir_.path() + "/proc",
                                         .cgroup = dir_.path() + "/cgroup",
                                         .cni_conf_dir = dir_.path() + "/net.d",
                                         .cni_bin_dirs = {dir_.path() + "/bin"}},
                                        release)) {
      result[finding.subject] = finding;
    }
    return result;
  }
  TempDir dir_;
};

TEST_F(DoctorTest, AHealthyHostIsGood) {
  Write("/proc/filesystems", "nodev\tsysfs\nnodev\toverlay\n");
  Write("/proc/sys/net/ipv4/ip_forward", "1\n");
  Write("/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
  for (const auto& [subject, finding] : Examine()) {
    EXPECT_EQ(finding.level, Level::kGood) << subject << ": " << finding.message;
  }
}

TEST_F(DoctorTest, AnEmptyHostIsBadAndSaysWhatToDo) {
  auto findings = Examine("5.4.0");
  EXPECT_EQ(findings["kernel"].level, Level::kBad);
  EXPECT_THAT(findings["overlayfs"].message, HasSubstr("modprobe overlay"));
  EXPECT_EQ(findings["cgroups"].level, Level::kBad);
  EXPECT_THAT(findings["cgroups"].message, HasSubstr("cpu, memory, pids"));
  EXPECT_EQ(findings["IPv4 forwarding"].level, Level::kWarning);
  EXPECT_EQ(Examine("6.1.0")["kernel"].level, Level::kWarning);
}

TEST_F(DoctorTest, ReadsV1Hierarchies) {
  for (const char* name : {"cpu,cpuacct", "memory", "pids", "blkio", "cpuset"}) {
    ASSERT_OK(MakeDirs(dir_.path() + "/cgroup/" + name));
  }
  const Finding cgroups = Examine()["cgroups"];
  EXPECT_EQ(cgroups.level, Level::kWarning);
  EXPECT_THAT(cgroups.message, HasSubstr("v1 without hugetlb"));
}

TEST_F(DoctorTest, CniNeedsPluginsOnceConfigured) {
  EXPECT_THAT(Examine()["CNI"].message, HasSubstr("built-in"));
  Write("/net.d/10-x.conflist", "{}");
  EXPECT_EQ(Examine()["CNI"].level, Level::kBad);
  Write("/bin/bridge", "x");
  EXPECT_EQ(Examine()["CNI"].level, Level::kGood);
}

TEST_F(DoctorTest, ASilentDaemonIsBad) {
  Client client(dir_.path() + "/none.sock");
  const auto findings = ExamineDaemon(client, "unix:///none");
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].level, Level::kBad);
  EXPECT_THAT(findings[0].message, HasSubstr("start crispd"));
}

}  // namespace
}  // namespace crisp::cli
