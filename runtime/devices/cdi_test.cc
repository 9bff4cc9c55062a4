#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "runtime/devices/cdi_registry.h"
#include "runtime/devices/cdi_spec.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kFull[] = R"(
cdiVersion: "0.7.0"
kind: vendor.com/gpu
annotations: {note: all}
containerEdits:
  env: [COMMON=1]
devices:
  - name: "0"
    annotations: {a: b}
    containerEdits:
      env: [GPU=zero, EMPTY=]
      deviceNodes:
        - {path: /dev/gpu0, hostPath: /dev/null, permissions: rw, fileMode: 0640, uid: 5, gid: 6}
        - {path: /dev/raw, type: b, major: 8, minor: 1, permissions: none}
      mounts:
        - {hostPath: /usr/lib/x.so, containerPath: /lib/x.so, options: [ro, bind]}
      additionalGids: [44, 0]
  - name: hooked
    containerEdits:
      hooks: [{hookName: createContainer, path: /bin/x}]
)";

TEST(CdiSpecTest, ReadsEveryMember) {
  ASSERT_OK_AND_ASSIGN(const CdiSpec spec, ParseCdiSpec(kFull));
  EXPECT_EQ(spec.kind, "vendor.com/gpu");
  EXPECT_THAT(spec.edits.env, ElementsAre("COMMON=1"));
  const CdiEdits& edits = spec.devices.at("0");
  EXPECT_THAT(edits.env, ElementsAre("GPU=zero", "EMPTY="));
  ASSERT_EQ(edits.device_nodes.size(), 2u);
  EXPECT_EQ(edits.device_nodes[0], (CdiDeviceNode{.path = "/dev/gpu0",
                                                  .host_path = "/dev/null",
                                                  .file_mode = 0640,
                                                  .uid = 5,
                                                  .gid = 6,
                                                  .permissions = "rw"}));
  EXPECT_EQ(edits.device_nodes[1].permissions, "");
  EXPECT_EQ(edits.mounts[0].options.size(), 2u);
  EXPECT_THAT(edits.additional_gids, ElementsAre(44u)) << "0 is to be ignored";
  EXPECT_THAT(spec.devices.at("hooked").unsupported, ElementsAre("hooks"));
}

std::string File(const std::string& version,
                 const std::string& edits,
                 const std::string& kind = "v.com/c",
                 const std::string& name = "d") {
  return absl::StrCat(R"({"cdiVersion":")", version, R"(","kind":")", kind,
                      R"(","devices":[{"name":")", name, R"(","containerEdits":{)", edits, "}}]}");
}

TEST(CdiSpecTest, VersionsLimitMembers) {
  const std::string node = R"("deviceNodes":[{"path":"/dev/x"}])";
  for (const char* version :
       {"0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0", "v0.5.0"}) {
    EXPECT_OK(ParseCdiSpec(File(version, node))) << version;
  }
  for (const char* version : {"0.2.0", "0.9.0", "1.2.0", "2.0.0", "1.0", "", "x.y.z", "1.-1.0"}) {
    EXPECT_THAT(ParseCdiSpec(File(version, node)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cdiVersion")))
        << version;
  }
  const struct {
    const char* before;
    const char* since;
    const char* edits;
  } kNewer[] = {
      {"0.3.0", "0.4.0", R"("mounts":[{"hostPath":"/a","containerPath":"/a","type":"tmpfs"}])"},
      {"0.4.0", "0.5.0", R"("deviceNodes":[{"path":"/dev/x","hostPath":"/dev/y"}])"},
      {"0.6.0", "0.7.0", R"("additionalGids":[1])"},
      {"0.6.0", "0.7.0", R"("intelRdt":{"closID":"x"})"},
      {"1.0.0", "1.1.0", R"("netDevices":[{"hostInterfaceName":"a","name":"b"}])"},
  };
  for (const auto& newer : kNewer) {
    EXPECT_THAT(ParseCdiSpec(File(newer.before, newer.edits)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("newer")))
        << newer.edits;
    EXPECT_OK(ParseCdiSpec(File(newer.since, newer.edits))) << newer.edits;
  }
  EXPECT_FALSE(ParseCdiSpec(File("0.5.0", node, "v.com/a.b")).ok());
  EXPECT_OK(ParseCdiSpec(File("0.6.0", node, "v.com/a.b")));
  EXPECT_FALSE(ParseCdiSpec(File("0.4.0", node, "v.com/c", "0")).ok());
}

TEST(CdiSpecTest, RefusesAndNamesTheMember) {
  const struct {
    std::string text, message;
  } kCases[] = {
      {"", "must be a mapping"},
      {"[]", "must be a mapping"},
      {"kind: a/b", "cdiVersion: is missing"},
      {File("1.0.0", ""), "device d has no containerEdits"},
      {File("1.0.0", R"("envs":["A=1"])"), "unknown member envs"},
      {File("1.0.0", R"("env":["A"])"), "devices[0].containerEdits.env"},
      {File("1.0.0", R"("env":["=A"])"), "NAME=VALUE"},
      {File("1.0.0", R"("env":"A=1")"), "must be a list"},
      {File("1.0.0", R"("deviceNodes":[{}])"), "deviceNodes[0]: path must be absolute"},
      {File("1.0.0", R"("deviceNodes":[{"path":"/d","type":"x"}])"), "type \"x\""},
      {File("1.0.0", R"("deviceNodes":[{"path":"/d","permissions":"rx"}])"), "permissions"},
      {File("1.0.0", R"("deviceNodes":[{"path":"/d","major":-1}])"), "major"},
      {File("1.0.0", R"("deviceNodes":[{"path":"/d","uid":4294967296}])"), "uid"},
      {File("1.0.0", R"("mounts":[{"containerPath":"/a"}])"), "hostPath is missing"},
      {File("1.0.0", R"("mounts":[{"hostPath":"/a","containerPath":"a"}])"),
       "containerPath must be absolute"},
      {File("1.0.0", R"("env":["A=1"])", "vendor"), "kind: "},
      {File("1.0.0", R"("env":["A=1"])", "1v/c"), "must begin with a letter"},
      {File("1.0.0", R"("env":["A=1"])", "v/c/d"), "must be of letters"},
      {File("1.0.0", R"("env":["A=1"])", "v/c", "a b"), "must be of letters"},
      {R"({"cdiVersion":"1.0.0","kind":"v/c","devices":[]})", "devices: there is none"},
      {R"({"cdiVersion":"1.0.0","kind":"v/c","devices":[{"name":"a","containerEdits":{"env":["A=1"]}},)"
       R"({"name":"a","containerEdits":{"env":["A=1"]}}]})",
       "given twice"},
  };
  for (const auto& bad : kCases) {
    EXPECT_THAT(ParseCdiSpec(bad.text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.message)))
        << bad.text;
  }
}

TEST(CdiSpecTest, DeviceNames) {
  ASSERT_OK_AND_ASSIGN(const CdiDeviceName name, ParseCdiDeviceName("vendor.com/class-1=a:0_b"));
  EXPECT_EQ(name.kind, "vendor.com/class-1");
  EXPECT_EQ(name.name, "a:0_b");
  for (const char* bad :
       {"", "/dev/null", "vendor/class", "vendor=name", "/class=name", "vendor/=name",
        "vendor/class=", "vendor/class=a/b", "vendor/class=-a", "v/c=a=b", "../x/c=a"}) {
    EXPECT_THAT(ParseCdiDeviceName(bad),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CDI device")))
        << bad;
  }
  EXPECT_THAT(CdiDevicesOfAnnotations(
                  {{"cdi.k8s.io/b", "v/c=2"}, {"cdi.k8s.io/a", "v/c=0,v/c=1"}, {"x", "v/c=9"}}),
              ElementsAre("v/c=0", "v/c=1", "v/c=2"));
}

TEST(CdiEditsTest, AreCompletedFromTheHost) {
  CdiEdits edits;
  edits.device_nodes = {{.path = "/dev/clone", .host_path = "/dev/null"},
                        {.path = "/dev/zero"},
                        {.path = "/dev/made", .type = "c", .major = 7, .minor = 9}};
  ASSERT_OK(CompleteCdiEdits(edits));
  EXPECT_EQ(edits.device_nodes[0].type, "c");
  EXPECT_EQ(edits.device_nodes[0].major, 1);
  EXPECT_EQ(edits.device_nodes[0].minor, 3);
  EXPECT_TRUE(edits.device_nodes[0].file_mode.has_value());
  EXPECT_EQ(edits.device_nodes[1].minor, 5);
  EXPECT_EQ(edits.device_nodes[2].major, 7) << "what is said in full needs no node on the host";

  CdiEdits absent;
  absent.device_nodes = {{.path = "/dev/no-such-device"}};
  EXPECT_THAT(CompleteCdiEdits(absent),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/dev/no-such-device")));
  CdiEdits other;
  other.device_nodes = {{.path = "/dev/null", .type = "b"}};
  EXPECT_THAT(CompleteCdiEdits(other),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("type b")));
  CdiEdits directory;
  directory.device_nodes = {{.path = "/etc"}};
  EXPECT_FALSE(CompleteCdiEdits(directory).ok());
  CdiEdits mount;
  mount.mounts = {{.host_path = "/no/such/path", .container_path = "/x"}};
  EXPECT_THAT(CompleteCdiEdits(mount),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/no/such/path")));
}

TEST(CdiEditsTest, ChangeTheSpec) {
  OciSpec spec;
  spec.process.env = {"PATH=/bin", "GPU=old", "GPUS=kept"};
  spec.process.user = {.uid = 7, .gid = 8, .additional_gids = {44}};
  spec.mounts = {{.destination = "/a/b/c", .type = "bind", .source = "/x"},
                 {.destination = "/lib", .type = "bind", .source = "/old"}};
  spec.linux_.devices = {{.type = "c", .path = "/dev/gpu0", .major = 9, .minor = 9}};
  CdiEdits edits;
  edits.env = {"GPU=new", "MORE=1"};
  edits.device_nodes = {
      {.path = "/dev/gpu0", .host_path = "/dev/null", .type = "c", .major = 1, .minor = 3},
      {.path = "/dev/quiet",
       .host_path = "/dev/quiet",
       .type = "c",
       .major = 1,
       .minor = 5,
       .uid = 0,
       .permissions = ""}};
  edits.mounts = {{.host_path = "/new", .container_path = "/lib/", .type = "", .options = {"ro"}}};
  edits.additional_gids = {44, 45};
  std::map<std::string, std::string> sources;
  ASSERT_OK(ApplyCdiEdits(edits, spec, sources));
  EXPECT_THAT(spec.process.env, ElementsAre("PATH=/bin", "GPU=new", "GPUS=kept", "MORE=1"));
  EXPECT_THAT(spec.process.user.additional_gids, ElementsAre(44u, 45u));
  ASSERT_EQ(spec.linux_.devices.size(), 2u);
  EXPECT_EQ(spec.linux_.devices[0].major, 1);
  EXPECT_EQ(spec.linux_.devices[0].uid, 7u);
  EXPECT_EQ(spec.linux_.devices[1].uid, 0u);
  EXPECT_EQ(sources.at("/dev/gpu0"), "/dev/null");
  ASSERT_EQ(spec.linux_.resources.devices.size(), 1u) << "no rule for a node without permissions";
  EXPECT_EQ(spec.linux_.resources.devices[0].access, "rwm");
  ASSERT_EQ(spec.mounts.size(), 2u);
  EXPECT_EQ(spec.mounts[0].destination, "/lib");
  EXPECT_EQ(spec.mounts[0].source, "/new");
  EXPECT_EQ(spec.mounts[0].type, "bind");
}

class CdiRegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(MakeDirs(etc_));
    ASSERT_OK(MakeDirs(run_));
  }
  void Write(const std::string& path, const std::string& text) {
    ASSERT_OK(AtomicWriteFile(path, text, 0600, Durability::kNone));
  }
  TempDir dir_;
  const std::string etc_ = dir_.path() + "/etc", run_ = dir_.path() + "/run";
  CdiRegistry registry_{{etc_, run_, dir_.path() + "/absent"}};
};

TEST_F(CdiRegistryTest, ResolvesInOrderAndOnce) {
  Write(etc_ + "/a.json",
        R"({"cdiVersion":"1.0.0","kind":"v.com/c","containerEdits":{"env":["ALL=1"]},"devices":[
      {"name":"x","containerEdits":{"env":["X=1"]}},{"name":"y","containerEdits":{"env":["Y=1"]}}]})");
  ASSERT_OK_AND_ASSIGN(const CdiEdits edits,
                       registry_.Resolve({"v.com/c=y", "v.com/c=x", "v.com/c=y"}));
  EXPECT_THAT(edits.env, ElementsAre("ALL=1", "Y=1", "X=1"));
  EXPECT_THAT(registry_.List().devices, ElementsAre("v.com/c=x", "v.com/c=y"));
}

TEST_F(CdiRegistryTest, SeesFilesThatComeChangeAndGo) {
  EXPECT_FALSE(registry_.Resolve({"v.com/c=d"}).ok());
  Write(run_ + "/a.json", File("1.0.0", R"("env":["A=1"])"));
  ASSERT_OK_AND_ASSIGN(CdiEdits edits, registry_.Resolve({"v.com/c=d"}));
  EXPECT_THAT(edits.env, ElementsAre("A=1"));
  Write(run_ + "/a.json", File("1.0.0", R"("env":["A=2"])"));
  ASSERT_OK_AND_ASSIGN(edits, registry_.Resolve({"v.com/c=d"}));
  EXPECT_THAT(edits.env, ElementsAre("A=2"));
  ASSERT_EQ(::unlink((run_ + "/a.json").c_str()), 0);
  EXPECT_THAT(
      registry_.Resolve({"v.com/c=d"}),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr("CDI device injection failed: unresolvable CDI devices v.com/c=d")));
}

TEST_F(CdiRegistryTest, LaterDirectoriesWinAndConflictsCount) {
  Write(etc_ + "/a.yaml", File("1.0.0", R"("env":["FROM=etc"])"));
  Write(run_ + "/a.yaml", File("1.0.0", R"("env":["FROM=run"])"));
  ASSERT_OK_AND_ASSIGN(const CdiEdits edits, registry_.Resolve({"v.com/c=d"}));
  EXPECT_THAT(edits.env, ElementsAre("FROM=run"));
  Write(run_ + "/b.json", File("1.0.0", R"("env":["FROM=other"])"));
  EXPECT_THAT(registry_.Resolve({"v.com/c=d"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("run/a.yaml and by ")));
  EXPECT_THAT(registry_.List().devices, IsEmpty());
  EXPECT_THAT(registry_.List().errors, Not(IsEmpty()));
}

TEST_F(CdiRegistryTest, ABrokenFileSpoilsOnlyItself) {
  Write(etc_ + "/bad.json", "{");
  Write(etc_ + "/good.json", File("1.0.0", R"("env":["A=1"])"));
  Write(etc_ + "/ignored.txt", "{");
  ASSERT_EQ(::mkfifo((etc_ + "/fifo.json").c_str(), 0600), 0);
  EXPECT_OK(registry_.Resolve({"v.com/c=d"}));
  EXPECT_THAT(registry_.Resolve({"v.com/c=other"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("bad.json: line")));
  EXPECT_EQ(registry_.List().errors.size(), 2u);
}

TEST_F(CdiRegistryTest, RefusesWhatItCannotDo) {
  for (const auto& [member, edits] :
       {std::pair{"hooks", R"("hooks":[{"hookName":"poststop","path":"/bin/x"}])"},
        {"intelRdt", R"("intelRdt":{"closID":"x"})"},
        {"netDevices", R"("netDevices":[{"hostInterfaceName":"a","name":"b"}])"}}) {
    Write(etc_ + "/a.json", File("1.1.0", edits));
    EXPECT_THAT(registry_.Resolve({"v.com/c=d"}),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr(absl::StrCat("device v.com/c=d needs ", member))));
  }
  EXPECT_THAT(registry_.Resolve({"not a name"}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_OK(registry_.Resolve({}));
}

}  // namespace
}  // namespace crisp::runtime
