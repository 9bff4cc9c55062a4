#include "runtime/oci/oci_spec.h"

#include <gtest/gtest.h>

#include "base/testing/status_matchers.h"
#include "runtime/oci/default_spec.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

Json Document(const std::string& text) { return *ParseJson(text); }

TEST(OciSpecTest, KeepsEveryMemberAcrossARoundTrip) {
  const Json document = Document(R"({
    "ociVersion": "1.2.0",
    "process": {
      "terminal": true, "consoleSize": {"height": 24, "width": 80},
      "user": {"uid": 1000, "gid": 1001, "umask": 63, "additionalGids": [5, 4294967294]},
      "args": ["sh", "-c", "true"], "env": ["A=b"], "cwd": "/srv",
      "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"],
                       "permitted": ["CAP_KILL"], "inheritable": ["CAP_KILL"],
                       "ambient": ["CAP_KILL"]},
      "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 18446744073709551615}],
      "noNewPrivileges": true, "apparmorProfile": "p", "oomScoreAdj": -998, "selinuxLabel": "l",
      "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 4}
    },
    "root": {"path": "/r", "readonly": true},
    "hostname": "h", "domainname": "d",
    "mounts": [{"destination": "/a", "type": "bind", "source": "/b", "options": ["rbind"],
                "uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}],
                "gidMappings": [{"containerID": 3, "hostID": 4, "size": 5}]}],
    "hooks": {"prestart": [{"path": "/h", "args": ["h"], "env": ["X=y"], "timeout": 3}],
              "poststop": [{"path": "/p"}]},
    "annotations": {"k": "v"},
    "linux": {
      "uidMappings": [{"containerID": 0, "hostID": 65536, "size": 65536}],
      "gidMappings": [{"containerID": 0, "hostID": 65536, "size": 65536}],
      "sysctl": {"net.core.somaxconn": "1"},
      "resources": {
        "devices": [{"allow": false, "access": "rwm"},
                    {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"}],
        "memory": {"limit": -1, "reservation": 2, "swap": 3, "kernel": 4, "kernelTCP": 5,
                   "swappiness": 6, "disableOOMKiller": true, "useHierarchy": false,
                   "checkBeforeUpdate": true},
        "cpu": {"shares": 2, "quota": -1, "burst": 7, "period": 100000, "realtimeRuntime": 8,
                "realtimePeriod": 9, "cpus": "0-1", "mems": "0", "idle": 1},
        "pids": {"limit": 0},
        "blockIO": {"weight": 10, "leafWeight": 11,
                    "weightDevice": [{"major": 8, "minor": 0, "weight": 12, "leafWeight": 13}],
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 14}],
                    "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 15}],
                    "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 16}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 17}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 18}],
        "network": {"classID": 19, "priorities": [{"name": "eth0", "priority": 20}]},
        "unified": {"memory.high": "21"},
        "rdma": {"mlx": {"hcaHandles": 1}}
      },
      "cgroupsPath": "/x", "namespaces": [{"type": "pid"}, {"type": "network", "path": "/n"}],
      "devices": [{"type": "c", "path": "/dev/x", "major": 1, "minor": 2, "fileMode": 438,
                   "uid": 0, "gid": 5}],
      "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
                  "architectures": ["SCMP_ARCH_X86"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                  "listenerPath": "/s", "listenerMetadata": "m",
                  "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1,
                                "args": [{"index": 1, "value": 2, "valueTwo": 3,
                                          "op": "SCMP_CMP_MASKED_EQ"}]}]},
      "rootfsPropagation": "rslave", "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
      "mountLabel": "ml", "intelRdt": {"closID": "gold"}, "personality": {"domain": "LINUX32"}
    },
    "vm": {"kernel": {"path": "/k"}}
  })");
  absl::StatusOr<OciSpec> spec = OciSpecFromJson(document);
  ASSERT_OK(spec);
  EXPECT_EQ(ToJson(*spec), document);
  EXPECT_EQ(*OciSpecFromJson(ToJson(*spec)), *spec);
  EXPECT_EQ(spec->process.user.additional_gids[1], 4294967294u);
  EXPECT_EQ(spec->linux_.resources.memory.use_hierarchy, false);
  EXPECT_EQ(spec->FindNamespace("network")->path, "/n");
  EXPECT_EQ(spec->FindNamespace("user"), nullptr);
}

TEST(OciSpecTest, RoundTripsTheDefaults) {
  OciSpec spec = DefaultSpec({});
  absl::StatusOr<OciSpec> again = OciSpecFromJson(ToJson(spec));
  ASSERT_OK(again);
  EXPECT_EQ(*again, spec);
  EXPECT_FALSE(ToJson(spec)["linux"].contains("seccomp"));
}

TEST(OciSpecTest, NamesTheMemberThatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "is not an object"},
      {R"({})", "ociVersion: is missing"},
      {R"({"ociVersion": 1})", "ociVersion: is not a string"},
      {R"({"ociVersion": "1", "process": {"user": {"uid": 4294967296, "gid": 0}}})",
       "process.user.uid: is out of range"},
      {R"({"ociVersion": "1", "process": {"user": {"uid": -1, "gid": 0}}})",
       "process.user.uid: is out of range"},
      {R"({"ociVersion": "1", "process": {"user": {"uid": 1.5, "gid": 0}}})",
       "process.user.uid: is not an integer"},
      {R"({"ociVersion": "1", "process": {"args": ["a", 1]}})", "process.args[1]: is not a string"},
      {R"({"ociVersion": "1", "process": {"cwd": "rel"}})", "process.cwd: is not an absolute path"},
      {R"({"ociVersion": "1", "process": {"env": ["A=\u0000"]}})", "process.env[0]: has a NUL"},
      {R"({"ociVersion": "1", "mounts": [{"source": "/x"}]})", "mounts[0].destination: is missing"},
      {R"({"ociVersion": "1", "linux": {"resources": {"cpu": {"shares": -1}}}})",
       "linux.resources.cpu.shares: is out of range"},
      {R"({"ociVersion": "1", "annotations": {"a": {}}})", "annotations.a: is not a string"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(OciSpecFromJson(Document(text)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << text;
  }
}

TEST(OciSpecTest, KeepsBytesThatAreNotUtf8) {
  OciSpec spec = DefaultSpec({});
  spec.process.env.push_back("BIN=\xff\xfe");
  EXPECT_EQ(OciSpecFromJson(ToJson(spec))->process.env, spec.process.env);
}

}  // namespace
}  // namespace crisp::runtime
