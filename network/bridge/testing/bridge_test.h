#ifndef CRISP_NETWORK_BRIDGE_TESTING_BRIDGE_TEST_H_
#define CRISP_NETWORK_BRIDGE_TESTING_BRIDGE_TEST_H_

// For tests: a built-in network in a namespace that plays the host, and pods for it. Needs root.

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "network/link/links.h"
#include "network/link/netlink.h"
#include "network/link/testing/test_netns.h"
#include "network/pod/pod_network.h"

namespace crisp::network {

struct Pod {
  explicit Pod(std::string pod_id) : id(std::move(pod_id)) {}
  AttachRequest Request() const {
    return {.pod_id = id,
            .pod_name = id,
            .pod_namespace = "default",
            .pod_uid = "uid-" + id,
            .netns_fd = ns->netns_fd(),
            .rtnl_fd = ns->rtnl_fd()};
  }
  void Close() { ns.reset(); }
  std::string id;
  std::optional<TestNamespace> ns{std::in_place};
};

class BridgeNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_ = {.root = dir_.path() + "/root",
                .state = dir_.path() + "/state",
                .cni_conf_dir = dir_.path() + "/none",
                .bridge_name = "crtest0",
                .subnets = {"10.99.0.0/24", "fd00:99::/64"}};
    Restart();
  }
  void TearDown() override { EXPECT_OK(network_->Reset()); }

  void Restart() {
    network_.reset();
    network_ = PodNetwork::Create(options_).value();
  }
  absl::StatusOr<Attachment> Attach(const AttachRequest& request) {
    return network_->Attach(request, Operation());
  }
  size_t Veths() const { return ListLinks(OpenRtnl()->get(), "veth").value().size(); }
  size_t Elements() const {
    const std::string table = Shell("nft list table inet " + options_.bridge_name);
    size_t count = 0;
    for (const char* any : {"tcp . 80", "udp . 80"}) {  // the host ports of these tests: 80xx
      for (size_t at = 0; (at = table.find(any, at)) != std::string::npos; ++at) ++count;
    }
    return count;
  }

  TempDir dir_;
  NetworkOptions options_;
  std::unique_ptr<PodNetwork> network_;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_TESTING_BRIDGE_TEST_H_
