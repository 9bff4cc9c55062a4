#include "runtime/devices/blockio_classes.h"

#include "base/testing/status_matchers.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kFile[] = R"(
Classes:
  slow:
  - Weight: 50
  - Devices: ["/dev/sd*", /dev/vda]
    ThrottleReadBps: 60M
    throttleWriteBps: 1Mi
    ThrottleReadIOPS: 1000
  - Devices: [/dev/vda]
    ThrottleReadBps: 5k
    Weight: 100
  free:
)";

std::vector<DeviceNumber> Find(const std::string& pattern) {
  if (pattern == "/dev/sd*") return {{8, 0}, {8, 16}};
  if (pattern == "/dev/vda") return {{254, 0}};
  return {};
}

TEST(BlockIoClassesTest, AClassBecomesLimits) {
  ASSERT_OK_AND_ASSIGN(const BlockIoClasses classes, ParseBlockIoClasses(kFile));
  ASSERT_OK_AND_ASSIGN(const OciBlockIo io, ResolveBlockIo(classes.at("slow"), Find));
  EXPECT_EQ(io.weight, 50);
  EXPECT_THAT(io.weight_device,
              ElementsAre(OciWeightDevice{.major = 254, .minor = 0, .weight = 100}));
  EXPECT_THAT(io.throttle_read_bps,
              ElementsAre(OciThrottleDevice{8, 0, 60000000}, OciThrottleDevice{8, 16, 60000000},
                          OciThrottleDevice{254, 0, 5000}));
  EXPECT_THAT(io.throttle_write_bps,
              ElementsAre(OciThrottleDevice{8, 0, 1048576}, OciThrottleDevice{8, 16, 1048576},
                          OciThrottleDevice{254, 0, 1048576}));
  EXPECT_EQ(io.throttle_read_iops.size(), 3u);
  EXPECT_THAT(io.throttle_write_iops, IsEmpty());
  ASSERT_OK_AND_ASSIGN(const OciBlockIo none, ResolveBlockIo(classes.at("free"), Find));
  EXPECT_EQ(none, OciBlockIo());
}

TEST(BlockIoClassesTest, DevicesThatAreNotThere) {
  EXPECT_OK(ResolveBlockIo({{.devices = {"/dev/nvme*"}, .read_bps = 1}}, Find));
  EXPECT_THAT(ResolveBlockIo({{.devices = {"/dev/nvme0"}, .read_bps = 1}}, Find),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/dev/nvme0")));
}

TEST(BlockIoClassesTest, RefusesAndNamesTheMember) {
  const struct {
    const char* text;
    const char* message;
  } kCases[] = {
      {"[]", "must be a mapping"},
      {"Class: {}", "Class: unknown member"},
      {"Classes: []", "Classes: must be a mapping"},
      {"Classes: {a: 5}", "Classes.a: must be a list"},
      {"Classes: {a: [5]}", "Classes.a[0]: must be a mapping"},
      {"Classes: {a: [{Speed: 5}]}", "Classes.a[0].Speed: unknown member"},
      {"Classes: {a: [{Weight: 5}]}", "from 10 to 1000"},
      {"Classes: {a: [{Devices: [sda]}]}", "not absolute"},
      {"Classes: {a: [{ThrottleReadBps: 5}]}", "needs Devices"},
      {"Classes: {a: [{Devices: [/d], ThrottleReadBps: 5x}]}", "not an amount"},
      {"Classes: {a: [{Devices: [/d], ThrottleReadBps: -5}]}", "not an amount"},
      {"Classes: {a: [{Devices: [/d], ThrottleReadBps: 99999999999T}]}", "not an amount"},
      {"Classes: {a: [{Devices: [/d], ThrottleReadBps: 99999999999999999999}]}", "not an amount"},
  };
  for (const auto& bad : kCases) {
    EXPECT_THAT(ParseBlockIoClasses(bad.text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.message)))
        << bad.text;
  }
}

TEST(BlockIoClassesTest, TheNearestAnnotationChooses) {
  const std::map<std::string, std::string> pod = {
      {"blockio.resources.beta.kubernetes.io/pod", "p"},
      {"blockio.resources.beta.kubernetes.io/container.c", "c"}};
  EXPECT_EQ(SelectBlockIoClass("c", {{"io.kubernetes.cri.blockio-class", "own"}}, pod), "own");
  EXPECT_EQ(SelectBlockIoClass("c", {}, pod), "c");
  EXPECT_EQ(SelectBlockIoClass("other", {}, pod), "p");
  EXPECT_EQ(SelectBlockIoClass("other", {{"x", "y"}}, {}), "");
}

}  // namespace
}  // namespace crisp::runtime
