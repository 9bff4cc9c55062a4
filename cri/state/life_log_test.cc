#include "cri/state/life_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

namespace crisp::cri {
namespace {

using ::testing::HasSubstr;

TEST(LifeLogTest, EachLineHasNamesAndIds) {
  state::PodRecord of_pod;
  of_pod.set_id("pod-id");
  of_pod.mutable_config()->mutable_metadata()->set_name("web");
  of_pod.mutable_config()->mutable_metadata()->set_namespace_("shop");
  const auto pod = std::make_shared<Pod>(std::move(of_pod), "");
  state::ContainerRecord record;
  record.set_id("container-id");
  record.mutable_config()->mutable_metadata()->set_name("nginx");
  const Container container(std::move(record), "", pod);

  ::testing::internal::CaptureStderr();
  LogPod(LogLevel::kInfo, "pod.ready", *pod);
  LogContainer(LogLevel::kWarning, "container.kill", container, {{"error", "so"}});
  LogContainer(LogLevel::kDebug, "unseen", container);
  const std::string written = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(written, HasSubstr(" info pod.ready pod=shop/web pod_id=pod-id\n"));
  EXPECT_THAT(written, HasSubstr(" warning container.kill pod=shop/web container=nginx "
                                 "pod_id=pod-id container_id=container-id error=so\n"));
  EXPECT_THAT(written, ::testing::Not(HasSubstr("unseen")));
}

}  // namespace
}  // namespace crisp::cri
