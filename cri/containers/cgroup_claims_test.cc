#include "cri/containers/cgroup_claims.h"

#include <unistd.h>

#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::cri {
namespace {

const std::string kFirst(64, 'a'), kSecond(64, 'b');

class CgroupClaimsTest : public ::testing::Test {
 protected:
  CgroupClaimsTest() {
    runtime::CgroupLayout layout;
    layout.hierarchies = {{.mount_point = dir_.path(), .controllers = {"pids"}}};
    claims_ = std::make_unique<CgroupClaims>(
        std::make_shared<const runtime::CgroupLayout>(std::move(layout)),
        [this](const std::string& id) -> absl::StatusOr<bool> { return rows_.contains(id); });
  }
  void Make(const std::string& path) { ASSERT_OK(MakeDirs(dir_.path() + path)); }
  bool IsThere(const std::string& path) {
    return ::access((dir_.path() + path).c_str(), F_OK) == 0;
  }
  state::PodRecord PodBelow(const std::string& parent, const std::string& id, bool owns) {
    state::PodRecord record;
    record.set_id(id);
    record.set_cgroup_path(parent.empty() ? absl::StrCat("/crisp/", id) : parent);
    record.mutable_config()->mutable_linux()->set_cgroup_parent(parent);
    record.set_owns_cgroup(owns);
    return record;
  }
  absl::Status Remove(const state::PodRecord& pod) {
    return claims_->RemoveGroupsOf(pod, Operation(absl::Now() + absl::Seconds(5)));
  }

  TempDir dir_;
  std::set<std::string> rows_;
  std::unique_ptr<CgroupClaims> claims_;
};

TEST_F(CgroupClaimsTest, AGroupThatWasThereIsNotOurs) {
  Make("/kubepods");
  EXPECT_FALSE(claims_->Claim("/kubepods", kFirst));
  EXPECT_OK(claims_->Release("/kubepods", kFirst));
  EXPECT_TRUE(IsThere("/kubepods"));
}

TEST_F(CgroupClaimsTest, TheLastPodOfAGroupTakesItAway) {
  EXPECT_TRUE(claims_->Claim("/shared", kFirst));
  Make("/shared");
  EXPECT_TRUE(claims_->Claim("/shared", kSecond));
  EXPECT_OK(Remove(PodBelow("/shared", kFirst, true)));
  EXPECT_TRUE(IsThere("/shared"));
  EXPECT_OK(Remove(PodBelow("/shared", kSecond, true)));
  EXPECT_FALSE(IsThere("/shared"));
}

TEST_F(CgroupClaimsTest, APodThatIsUndoneTwiceGivesUpNobodyElsesClaim) {
  EXPECT_TRUE(claims_->Claim("/shared", kFirst));
  Make("/shared");
  EXPECT_TRUE(claims_->Claim("/shared", kSecond));
  // A step after it may have failed, so that all is tried again.
  EXPECT_OK(Remove(PodBelow("/shared", kFirst, true)));
  EXPECT_OK(Remove(PodBelow("/shared", kFirst, true)));
  EXPECT_TRUE(IsThere("/shared"));
  EXPECT_OK(claims_->Release("/shared", kSecond));
  EXPECT_FALSE(IsThere("/shared"));
}

TEST_F(CgroupClaimsTest, AGroupInUseStaysAndSaysSo) {
  EXPECT_TRUE(claims_->Claim("/shared", kFirst));
  Make("/shared/else");
  EXPECT_THAT(claims_->Release("/shared", kFirst), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_EQ(::rmdir((dir_.path() + "/shared/else").c_str()), 0);
  EXPECT_OK(claims_->Release("/shared", kFirst));
  EXPECT_FALSE(IsThere("/shared"));
}

TEST_F(CgroupClaimsTest, WhatAnEarlierDaemonClaimedIsOurs) {
  Make("/shared");
  claims_->Restore("/shared", kFirst);
  EXPECT_TRUE(claims_->Claim("/shared", kSecond));
  EXPECT_OK(claims_->Release("/shared", kFirst));
  EXPECT_OK(claims_->Release("/shared", kSecond));
  EXPECT_FALSE(IsThere("/shared"));
}

TEST_F(CgroupClaimsTest, GroupsThatNoRowTellsOfEndWithThePod) {
  const std::string recorded(64, 'c'), orphan(64, 'd');
  rows_ = {recorded};
  EXPECT_TRUE(claims_->Claim("/shared", kFirst));
  Make("/shared/" + recorded);
  Make("/shared/" + orphan);
  Make("/shared/others");
  EXPECT_THAT(Remove(PodBelow("/shared", kFirst, true)), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(IsThere("/shared/" + orphan));
  EXPECT_TRUE(IsThere("/shared/" + recorded));
  EXPECT_TRUE(IsThere("/shared/others"));
}

TEST_F(CgroupClaimsTest, AGroupOfAPodsOwnGoesWithAllThatIsInIt) {
  Make(absl::StrCat("/crisp/", kFirst, "/", kSecond));
  EXPECT_OK(Remove(PodBelow("", kFirst, true)));
  EXPECT_FALSE(IsThere("/crisp/" + kFirst));
  EXPECT_OK(Remove(PodBelow("", kFirst, true)));
}

}  // namespace
}  // namespace crisp::cri
