#include "cri/spec/operator_asks.h"

#include <sys/resource.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/testing/status_matchers.h"
#include "cri/api/operator_annotations.h"

namespace crisp::cri {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Code = absl::StatusCode;

v1::PodSandboxConfig PodWith(const std::string& annotation, const std::string& value) {
  v1::PodSandboxConfig config;
  (*config.mutable_annotations())[annotation] = value;
  return config;
}
PodAsks Asked(const v1::PodSandboxConfig& config) {
  const absl::StatusOr<PodAsks> asks = ParsePodAsks(config);
  EXPECT_OK(asks);
  return asks.value_or(PodAsks());
}
v1::ContainerConfig ContainerWith(const std::string& annotation, const std::string& value) {
  v1::ContainerConfig config;
  (*config.mutable_annotations())[annotation] = value;
  return config;
}

TEST(OperatorAsksTest, APodAsksForWhatItsAnnotationsSay) {
  v1::PodSandboxConfig config = PodWith(kRemoveOnExitAnnotation, "true");
  (*config.mutable_annotations())[kNetworkAnnotation] = kNetworkNone;
  (*config.mutable_annotations())[kShmSizeAnnotation] = "1048576";
  EXPECT_EQ(Asked(config),
            (PodAsks{.remove_on_exit = true, .no_network = true, .shm_bytes = 1048576}));
  EXPECT_EQ(Asked(v1::PodSandboxConfig()), (PodAsks()));
  EXPECT_EQ(Asked(PodWith(kRemoveOnExitAnnotation, "false")), (PodAsks()));
  for (const char* annotation : {kRemoveOnExitAnnotation, kNetworkAnnotation, kShmSizeAnnotation})
    EXPECT_EQ(Asked(PodWith(annotation, "")), (PodAsks())) << annotation;
}

TEST(OperatorAsksTest, ABadValueOfAPodIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {kRemoveOnExitAnnotation, "yes"},  {kRemoveOnExitAnnotation, "TRUE"},
      {kNetworkAnnotation, "host"},      {kNetworkAnnotation, "None"},
      {kShmSizeAnnotation, "0"},         {kShmSizeAnnotation, "-1"},
      {kShmSizeAnnotation, "64m"},       {kShmSizeAnnotation, " 1"},
      {kShmSizeAnnotation, "+1"},        {kShmSizeAnnotation, "1125899906842625"},
      {kShmSizeAnnotation, "1,mode=777"}};
  for (const auto& [annotation, value] : cases) {
    EXPECT_THAT(ParsePodAsks(PodWith(annotation, value)),
                StatusIs(Code::kInvalidArgument, HasSubstr(annotation)))
        << value;
  }
  EXPECT_OK(ParsePodAsks(PodWith(kShmSizeAnnotation, absl::StrCat(kMostShmBytes))));
}

TEST(OperatorAsksTest, WhatContradictsThePodsNamespacesIsRefused) {
  v1::PodSandboxConfig network = PodWith(kNetworkAnnotation, kNetworkNone);
  network.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
      v1::NODE);
  EXPECT_THAT(ParsePodAsks(network), StatusIs(Code::kInvalidArgument));
  v1::PodSandboxConfig ports = PodWith(kNetworkAnnotation, kNetworkNone);
  ports.add_port_mappings()->set_container_port(80);
  EXPECT_OK(ParsePodAsks(ports)) << "a port that is published nowhere";
  ports.mutable_port_mappings(0)->set_host_port(8080);
  EXPECT_THAT(ParsePodAsks(ports), StatusIs(Code::kInvalidArgument));
  v1::PodSandboxConfig shm = PodWith(kShmSizeAnnotation, "4096");
  shm.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_ipc(v1::NODE);
  EXPECT_THAT(ParsePodAsks(shm), StatusIs(Code::kInvalidArgument));
}

TEST(OperatorAsksTest, AnnotationsOfTheKubeletsPodsAreOverlooked) {
  state::PodRecord record;
  *record.mutable_config() = PodWith(kRemoveOnExitAnnotation, "true");
  EXPECT_EQ(AsksOf(record), PodAsks());
  record.set_of_operator(true);
  EXPECT_TRUE(AsksOf(record).remove_on_exit);
}

TEST(OperatorAsksTest, UlimitsHaveDockersForm) {
  ASSERT_OK_AND_ASSIGN(
      const ContainerAsks asks,
      ParseContainerAsks(
          ContainerWith(kUlimitsAnnotation, "nofile=1024:2048,core=0,memlock=-1,cpu=5:unlimited")));
  using Limit = runtime::OciRlimit;
  constexpr uint64_t kAll = ~uint64_t{0};
  EXPECT_THAT(asks.ulimits, ElementsAre(Limit{.type = "RLIMIT_NOFILE", .soft = 1024, .hard = 2048},
                                        Limit{.type = "RLIMIT_CORE", .soft = 0, .hard = 0},
                                        Limit{.type = "RLIMIT_MEMLOCK", .soft = kAll, .hard = kAll},
                                        Limit{.type = "RLIMIT_CPU", .soft = 5, .hard = kAll}));
  for (const runtime::OciRlimit& limit : asks.ulimits) EXPECT_GE(RlimitNumber(limit.type), 0);
  EXPECT_THAT(ParseContainerAsks(v1::ContainerConfig())->ulimits, IsEmpty());
  for (const char* bad :
       {"nofile", "nofile=", "nofile=1:2:3", "nofile=2:1", "files=1", "=1", "nofile=1,nofile=2",
        "nofile=1,", "nofile= 1", "NOFILE=1", "nofile=1k", "nofile=18446744073709551616"}) {
    EXPECT_THAT(ParseContainerAsks(ContainerWith(kUlimitsAnnotation, bad)),
                StatusIs(Code::kInvalidArgument, HasSubstr(kUlimitsAnnotation)))
        << bad;
  }
}

TEST(OperatorAsksTest, ALimitAboveTheDaemonsOwnIsRefused) {
  const auto hard_limit = [](int resource) -> uint64_t {
    return resource == RLIMIT_NOFILE ? 1000 : ~uint64_t{0};
  };
  const auto check = [&](const char* limits) {
    return CheckHardLimits(ParseContainerAsks(ContainerWith(kUlimitsAnnotation, limits))->ulimits,
                           hard_limit);
  };
  EXPECT_OK(check("nofile=1000,core=-1"));
  EXPECT_THAT(check("nofile=1:1001"),
              StatusIs(Code::kInvalidArgument, HasSubstr("1001 is above crispd's own, 1000")));
  EXPECT_THAT(check("nofile=unlimited"), StatusIs(Code::kInvalidArgument, HasSubstr("unlimited")));
}

TEST(OperatorAsksTest, DeviceRatesNameADeviceAndANumber) {
  ASSERT_OK_AND_ASSIGN(const ContainerAsks asks,
                       ParseContainerAsks(ContainerWith(kDeviceReadBpsAnnotation,
                                                        "/dev/sda:10485760,/dev/by:id:1")));
  EXPECT_THAT(asks.read_bps, ElementsAre(DeviceRate{.path = "/dev/sda", .rate = 10485760},
                                         DeviceRate{.path = "/dev/by:id", .rate = 1}));
  EXPECT_THAT(asks.write_bps, IsEmpty());
  std::string many = "/dev/sda:1";
  for (size_t i = 0; i < kMostDeviceRates; ++i) absl::StrAppend(&many, ",/dev/sd", i, ":1");
  for (const std::string& bad :
       {std::string("/dev/sda"), std::string("sda:1"), std::string("/dev/sd*:1"),
        std::string("/dev/sda:0"), std::string("/dev/sda:10m"), std::string("/dev/sda:1,"), many}) {
    for (const char* annotation : {kDeviceReadBpsAnnotation, kDeviceWriteBpsAnnotation,
                                   kDeviceReadIopsAnnotation, kDeviceWriteIopsAnnotation}) {
      EXPECT_THAT(ParseContainerAsks(ContainerWith(annotation, bad)),
                  StatusIs(Code::kInvalidArgument, HasSubstr(annotation)))
          << bad;
    }
  }
}

}  // namespace
}  // namespace crisp::cri
