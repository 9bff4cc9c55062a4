#ifndef CRISP_CRI_CONFIG_CONFIG_H_
#define CRISP_CRI_CONFIG_CONFIG_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "network/values/network_options.h"
#include "storage/values/image_store_options.h"
#include "streaming/server/server_options.h"

namespace crisp::cri {

// The sections of the file. A section of a layer is the layer's options. These hold more than keys:
// the daemon adds directories and programs, which are empty here. config_schema.h says what each
// key means and may be.

struct MetricsConfig {
  std::string address = "127.0.0.1:9110";
};

struct NetworkConfig : network::NetworkOptions {
  std::string builtin = "auto";  // or "always", "never"; `serves` follows it
  bool attach_spares = true;
};

// A handler, which runs the pods that name it. A name alone is of crisp's own type.
struct HandlerConfig {
  std::string name;
  std::string type = "crisp";
  bool operator==(const HandlerConfig&) const = default;
};

struct RuntimeConfig {
  std::string shim;
  std::string cgroup_driver = "cgroupfs";  // or "systemd"
  std::vector<HandlerConfig> handlers = {{.name = "crisp"}};
  std::vector<std::string> cgroup_writable_handlers;
  int64_t spare_pods = 4;
  int64_t max_log_rate = 256;  // MiB per second
  int64_t spare_roots = 4;
  std::string selinux = "auto";  // or "required", "off"
  int64_t selinux_category_range = 1024;
  bool device_ownership_from_security_context = false;
  absl::Duration path_timeout = absl::Seconds(30);
  std::string blockio_config_file;
  std::vector<std::string> cdi_spec_dirs = {"/etc/cdi", "/var/run/cdi"};
};

// The contents of /etc/crisp/config.yaml. A value; every key has a default. config_schema.h is the
// one table of the keys.
struct Config {
  std::string root = "/var/lib/crisp";  // durable: images, writable layers
  std::string state = "/run/crisp";     // tmpfs: sockets, records of pods
  std::string listen;                   // unix://PATH; empty for unix://<state>/crisp.sock
  // unix://PATH; "auto" for unix://<state>/operator.sock; empty: there is none
  std::string operator_listen = "auto";
  std::string log_level = "info";
  std::string log_format = "logfmt";  // or "json"
  MetricsConfig metrics;
  storage::ImageStoreOptions image;
  NetworkConfig network;
  RuntimeConfig runtime;
  streaming::ServerOptions streaming;

  // The place where a key's value was read, "FILE:LINE", by the key's full name. Not a key itself.
  std::map<std::string, std::string> places;

  // The path of the socket, in whatever form `listen` gives it.
  std::string SocketPath() const;
  // The path of the operator's socket; empty if there is none.
  std::string OperatorSocketPath() const;
  // InvalidArgument, naming the key and the place where it was read, for values that cannot work
  // anywhere. Looks at the values only. CheckConfig() (config_check.h) looks at the files that they
  // name.
  absl::Status Validate() const;
  // InvalidArgument "PLACE: KEY RULE" for a value of `key` that breaks the rule.
  absl::Status Refused(const std::string& key, absl::string_view rule) const;
};

enum class ConfigFile { kOptional, kRequired };

// Reads `path` and then `<dir of path>/config.d/*.yaml` in name order; later files override single
// keys (lists are replaced). If `path` is absent, kOptional gives the default
// configuration, kRequired NotFound. InvalidArgument with "file:line:" for malformed text, unknown
// keys and wrong types. Does not validate (flags may still change values).
absl::StatusOr<Config> LoadConfig(const std::string& path, ConfigFile file);

// Applies one document to `config`; `name` stands for the file in errors. On error `config` may
// have been changed in part.
absl::Status ApplyConfig(absl::string_view text, absl::string_view name, Config& config);

// The configuration as YAML, with every key; LoadConfig of it gives an equal one.
std::string DumpConfig(const Config& config);

// The full names of the keys that have another value in `other`, in the table's order.
std::vector<std::string> ChangedKeys(const Config& config, const Config& other);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONFIG_CONFIG_H_
