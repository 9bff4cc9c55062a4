#include "cri/config/config_check.h"

#include <string>

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"

namespace crisp::cri {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ConfigCheckTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    ASSERT_OK(AtomicWriteFile(dir_.path() + "/" + name, text, 0600, Durability::kNone));
  }
  // The result of a start's check of a configuration file with `text`.
  absl::Status Check(const std::string& text) {
    Write("config.yaml", text);
    auto config = LoadConfig(dir_.path() + "/config.yaml", ConfigFile::kRequired);
    return config.ok() ? CheckConfig(*config) : config.status();
  }
  TempDir dir_;
};

TEST_F(ConfigCheckTest, TheDefaultsCanBeUsed) { EXPECT_OK(CheckConfig(Config{})); }

TEST_F(ConfigCheckTest, SaysWhatAStartWouldRefuseAndWhereItStands) {
  Write("empty.pem", "");
  Write("classes.yaml", "Classes: [");
  struct Case {
    const char *text, *key, *why;
  };
  for (const Case& c : {
           Case{"network:\n  subnets: [banana]\n", "network.subnets", "banana"},
           Case{"network:\n  subnets: [10.1.0.0/99]\n", "network.subnets", "10.1.0.0/99"},
           Case{"network:\n  subnets: [10.1.0.0/32]\n", "network.subnets", "10.1.0.0/32"},
           Case{"network:\n  subnets: [10.1.2.3/16]\n", "network.subnets", "10.1.0.0/16"},
           Case{"network:\n  subnets: [10.1.0.0/16, 10.2.0.0/16]\n", "network.subnets",
                "one family"},
           Case{"network:\n  cni_conf_dir: cni\n", "network.cni_conf_dir", "absolute"},
           Case{"image:\n  registry_config_dirs: [certs.d]\n", "image.registry_config_dirs",
                "absolute"},
           Case{"metrics:\n  address: '9110'\n", "metrics.address", "HOST:PORT"},
           Case{"streaming:\n  address: nonsense\n", "streaming.address", "HOST:PORT"},
           Case{"streaming:\n  tls_cert_file: /a.pem\n", "streaming.tls_cert_file", "together"},
           Case{"streaming:\n  tls_key_file: /a.pem\n", "streaming.tls_key_file", "together"},
           Case{"runtime:\n  shim: /nonexistent\n", "runtime.shim", "No such file"},
           Case{"runtime:\n  blockio_config_file: /nonexistent\n", "runtime.blockio_config_file",
                "No such file"},
       }) {
    EXPECT_THAT(Check(c.text), StatusIs(absl::StatusCode::kInvalidArgument,
                                        AllOf(HasSubstr(std::string("config.yaml:2: ") + c.key),
                                              HasSubstr(c.why))))
        << c.text;
  }
  const std::string pem = dir_.path() + "/empty.pem", classes = dir_.path() + "/classes.yaml";
  EXPECT_THAT(Check("streaming: {tls_cert_file: " + pem + ", tls_key_file: " + pem + "}\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("streaming.tls_cert_file")));
  EXPECT_THAT(
      Check("runtime: {blockio_config_file: " + classes + "}\n"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("runtime.blockio_config_file")));
}

TEST_F(ConfigCheckTest, TheLastFileThatSaysAKeyIsNamed) {
  ASSERT_OK(MakeDirs(dir_.path() + "/config.d"));
  Write("config.d/10.yaml", "\n\nlog_level: trace\n");
  EXPECT_THAT(Check("log_level: info\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("config.d/10.yaml:3: log_level \"trace\"")));
}

}  // namespace
}  // namespace crisp::cri
