#include "cri/pods/message_json.h"

#include "base/testing/status_matchers.h"
#include "cri/api/api.pb.h"

namespace crisp::cri {
namespace {

namespace v1 = ::runtime::v1;

TEST(MessageJsonTest, PrintsAsGoProgramsDo) {
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_name("web");
  config.set_log_directory("/var/log/pods/web");
  (*config.mutable_labels())["app"] = "web";
  config.mutable_dns_config()->add_servers("192.0.2.53");
  config.add_port_mappings()->set_host_port(8080);
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(int64_t{1} << 40);
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
      v1::NODE);
  EXPECT_EQ(MessageToJson(config),
            Json({{"metadata", {{"name", "web"}}},
                  {"log_directory", "/var/log/pods/web"},
                  {"labels", {{"app", "web"}}},
                  {"dns_config", {{"servers", Json::array({"192.0.2.53"})}}},
                  {"port_mappings", Json::array({{{"host_port", 8080}}})},
                  {"linux",
                   {{"resources", {{"memory_limit_in_bytes", int64_t{1} << 40}}},
                    {"security_context", {{"namespace_options", {{"network", 2}}}}}}}}));
  EXPECT_EQ(MessageToJson(v1::PodSandboxConfig()), Json::object());
}

}  // namespace
}  // namespace crisp::cri
