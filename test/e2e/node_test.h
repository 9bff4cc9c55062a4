#ifndef CRISP_TEST_E2E_NODE_TEST_H_
#define CRISP_TEST_E2E_NODE_TEST_H_

#include <gtest/gtest.h>

#include <string>

#include "daemon.h"
#include "node.h"

namespace crisp::e2e {

// One daemon for all tests of a suite. After each test no pod is left. A suite whose daemon has a
// configuration of its own starts it in its SetUpTestSuite() by StartNode().
class NodeTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { StartNode(""); }
  static void TearDownTestSuite() {
    delete node_;
    delete daemon_;
  }
  void TearDown() override { node_->RemoveAll(); }

  // `config` is that of Daemon().
  static void StartNode(const std::string& config) {
    daemon_ = new Daemon(config);
    daemon_->Start();
    node_ = new Node(*daemon_, daemon_->ImportImage());
  }

  static inline Daemon* daemon_ = nullptr;
  static inline Node* node_ = nullptr;
};

}  // namespace crisp::e2e

#endif  // CRISP_TEST_E2E_NODE_TEST_H_
