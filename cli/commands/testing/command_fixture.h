#ifndef CRISP_CLI_COMMANDS_TESTING_COMMAND_FIXTURE_H_
#define CRISP_CLI_COMMANDS_TESTING_COMMAND_FIXTURE_H_

// Test-only: runs whole command lines against a FakeDaemon.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/json.h"
#include "cli/client/testing/fake_daemon.h"
#include "cli/commands/commands.h"

namespace crisp::cli {

class CommandFixture : public ::testing::Test {
 protected:
  // Runs `crisp ARGUMENTS`. Its output is in out_ and err_ afterwards.
  int Crisp(const std::vector<std::string>& arguments) {
    std::istringstream in(in_);
    std::ostringstream out, err;
    const int status = RunCrisp(arguments, {.in = in,
                                            .out = out,
                                            .err = err,
                                            .out_is_terminal = terminal_,
                                            .in_is_terminal = terminal_,
                                            .now = now_,
                                            .connect = [this](const std::string& address) {
                                              address_ = address;
                                              return daemon_.Connect();
                                            }});
    out_ = out.str();
    err_ = err.str();
    return status;
  }
  // The same, of a command that prints JSON.
  Json CrispJson(const std::vector<std::string>& arguments) {
    EXPECT_EQ(Crisp(arguments), 0) << err_;
    const auto json = ParseJson(out_);
    EXPECT_TRUE(json.ok()) << json.status() << "\n" << out_;
    return json.ok() ? *json : Json();
  }
  int64_t Ago(absl::Duration duration) const { return absl::ToUnixNanos(now_ - duration); }

  // A container of `crisp run`, and one of the kubelet beside one that has exited.
  void AddSome() {
    daemon_.AddPod("aaaa000000000000", "default", "web", true);
    daemon_.AddContainer("c1c1000000000000", "aaaa000000000000", "web").set_image_id("sha256:1111");
    daemon_.AddPod("bbbb000000000000", "kube-system", "dns-1");
    daemon_.AddContainer("c2c2000000000000", "bbbb000000000000", "dns").set_image_id("sha256:2222");
    daemon_.AddContainer("c3c3000000000000", "bbbb000000000000", "init", v1::CONTAINER_EXITED);
  }

  FakeDaemon daemon_;
  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  std::string in_, out_, err_, address_;
  bool terminal_ = false;
};

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_TESTING_COMMAND_FIXTURE_H_
