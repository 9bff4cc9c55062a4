#include <sys/un.h>

#include <functional>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "cri/config/config.h"
#include "cri/config/config_schema.h"
#include "network/values/address_pool.h"
#include "network/values/ip_address.h"

namespace crisp::cri {
namespace {

constexpr absl::string_view kUnixScheme = "unix://";
constexpr char kAutomatic[] = "auto";
constexpr char kCrispType[] = "crisp";    // runtime::CrispRuntime's
constexpr size_t kMaxInterfaceName = 15;  // IFNAMSIZ without its NUL

absl::Status Invalid(const Config& config,
                     const std::string& key,
                     absl::string_view value,
                     absl::string_view rule) {
  return config.Refused(key, absl::StrCat("\"", value, "\" ", rule));
}

// Holds every key to its rule; the first that breaks it is refused.
class Checker {
 public:
  explicit Checker(const Config& config) : config_(config) {}

  template <typename T>
  void Key(const char* name, const T& value, const Rule& rule, const char*) {
    Check(name, Broken(rule, value));
  }
  void Section(const char* name, const std::function<void(Checker&)>& visit, const char*) {
    section_ = absl::StrCat(name, ".");
    visit(*this);
    section_.clear();
  }
  const absl::Status& status() const { return status_; }

 private:
  void Check(const char* name, const std::string& broken) {
    if (status_.ok() && !broken.empty())
      status_ = config_.Refused(absl::StrCat(section_, name), broken);
  }

  const Config& config_;
  std::string section_;
  absl::Status status_;
};

absl::Status CheckRules(const Config& config) {
  Checker checker(config);
  VisitConfig(checker, config);
  return checker.status();
}

// Checks them as network/ does at start.
absl::Status CheckSubnets(const Config& config) {
  const std::vector<std::string>& subnets = config.network.subnets;
  if (subnets.empty()) return absl::OkStatus();  // some are chosen
  if (subnets.size() > 2) return config.Refused("network.subnets", "must name at most two subnets");
  const auto parsed = network::ParsePrefixes(subnets);
  if (!parsed.ok()) return config.Refused("network.subnets", parsed.status().message());
  for (size_t i = 0; i < subnets.size(); ++i) {
    const network::IpPrefix& prefix = (*parsed)[i];
    const auto first =
        network::IpAddress::Parse(absl::string_view(subnets[i]).substr(0, subnets[i].find('/')));
    if (first.ok() && *first != prefix.address) {
      return Invalid(
          config, "network.subnets", subnets[i],
          absl::StrCat("has bits behind its length; the network is ", prefix.ToString()));
    }
    if (const auto pool = network::AddressPool::Create(prefix); !pool.ok()) {
      return config.Refused("network.subnets", pool.status().message());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNetwork(const Config& config) {
  const std::string& name = config.network.bridge_name;
  if (name.empty() || name.size() > kMaxInterfaceName || name == "." || name == ".." ||
      name.find_first_of("/: \t\n\"{};") != std::string::npos) {
    return Invalid(config, "network.name", name,
                   "must be an interface name of at most 15 characters");
  }
  return CheckSubnets(config);
}

absl::Status CheckStreaming(const Config& config) {
  const streaming::TlsOptions& tls = config.streaming.tls;
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return config.Refused(
        tls.cert_file.empty() ? "streaming.tls_key_file" : "streaming.tls_cert_file",
        "is given without the other: a certificate and its key belong together");
  }
  return absl::OkStatus();
}

absl::Status CheckHandlers(const Config& config) {
  constexpr char kKey[] = "runtime.handlers";
  absl::flat_hash_set<std::string> names;
  for (const HandlerConfig& handler : config.runtime.handlers) {
    if (handler.name.empty())
      return config.Refused(kKey, "names the handler \"\", which is there already");
    if (!names.insert(handler.name).second)
      return Invalid(config, kKey, handler.name, "must stand once");
    if (handler.type != kCrispType) {
      return Invalid(config, kKey, handler.type,
                     absl::StrCat("(of handler \"", handler.name,
                                  "\") is no type of runtime: ", "there is \"", kCrispType, "\""));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckWritable(const Config& config) {
  const auto is_handler = [&config](const std::string& name) {
    return absl::c_any_of(config.runtime.handlers,
                          [&name](const HandlerConfig& one) { return one.name == name; });
  };
  for (const std::string& handler : config.runtime.cgroup_writable_handlers) {
    if (handler.empty() || is_handler(handler)) continue;
    return Invalid(config, "runtime.cgroup_writable_handlers", handler,
                   "must be empty or one of runtime.handlers");
  }
  return absl::OkStatus();
}

absl::Status CheckOperatorSocket(const Config& config) {
  constexpr char kKey[] = "operator_listen";
  const std::string& value = config.operator_listen;
  if (!value.empty() && value != kAutomatic && !absl::StartsWith(value, "unix:///"))
    return Invalid(config, kKey, value, "must be unix:///PATH, \"auto\" or empty");
  const std::string path = config.OperatorSocketPath();
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return Invalid(config, kKey, path, "is too long for a unix socket");
  if (!path.empty() && CleanAbsolutePath(path) == CleanAbsolutePath(config.SocketPath()))
    return Invalid(config, kKey, path, "is the CRI's socket (listen)");
  return absl::OkStatus();
}

bool Within(const std::string& inner, const std::string& outer) {
  const std::string a = CleanAbsolutePath(inner), b = CleanAbsolutePath(outer);
  return a == b || absl::StartsWith(a, b + "/");
}

}  // namespace

std::string Config::SocketPath() const {
  if (listen.empty()) return absl::StrCat(state, "/crisp.sock");
  return std::string(absl::StripPrefix(listen, kUnixScheme));
}

std::string Config::OperatorSocketPath() const {
  if (operator_listen == kAutomatic) return absl::StrCat(state, "/operator.sock");
  return std::string(absl::StripPrefix(operator_listen, kUnixScheme));
}

absl::Status Config::Refused(const std::string& key, absl::string_view rule) const {
  const auto place = places.find(key);
  return absl::InvalidArgumentError(
      absl::StrCat(place == places.end() ? "" : absl::StrCat(place->second, ": "), key, " ", rule));
}

absl::Status Config::Validate() const {
  CRISP_RETURN_IF_ERROR(CheckRules(*this));
  if (Within(root, state) || Within(state, root)) {
    return Invalid(*this, "state", state,
                   absl::StrCat("and root ", root, " must not contain each other"));
  }
  if (!listen.empty() && !absl::StartsWith(listen, "unix:///")) {
    return Invalid(*this, "listen", listen, "must be unix:///PATH");
  }
  if (SocketPath().size() >= sizeof(sockaddr_un::sun_path)) {
    return Invalid(*this, "listen", SocketPath(), "is too long for a unix socket");
  }
  CRISP_RETURN_IF_ERROR(CheckOperatorSocket(*this));
  CRISP_RETURN_IF_ERROR(CheckHandlers(*this));
  CRISP_RETURN_IF_ERROR(CheckWritable(*this));
  CRISP_RETURN_IF_ERROR(CheckNetwork(*this));
  return CheckStreaming(*this);
}

}  // namespace crisp::cri
