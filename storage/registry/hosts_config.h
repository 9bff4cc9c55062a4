#ifndef CRISP_STORAGE_REGISTRY_HOSTS_CONFIG_H_
#define CRISP_STORAGE_REGISTRY_HOSTS_CONFIG_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace crisp::storage {

// One place that serves a registry's images.
struct RegistryHost {
  std::string scheme = "https";  // or "http"
  // For a loopback registry without TLS, or http:// beside TLS settings: try https, then plain
  // http.
  bool http_fallback = false;
  std::string host;         // "registry-1.docker.io", "10.0.0.1:5000"
  std::string path;         // API root, "/v2"
  bool can_pull = true;     // blobs, and manifests by digest
  bool can_resolve = true;  // tags
  // True for the registry itself, false for a mirror. The registry is its own host, or the `server`
  // that the operator gave it in its own directory. A `server` in _default stands for many
  // registries and is a mirror.
  bool upstream = false;
  // Requests name the registry that is meant (`?ns=`).
  bool send_namespace = false;
  bool skip_verify = false;
  std::vector<std::string> ca_files;  // trusted beside the system's
  std::vector<std::pair<std::string, std::string>>
      client_pairs;  // certificate, key (empty: same file)
  std::vector<std::pair<std::string, std::string>> headers;
  absl::Duration dial_timeout = absl::Seconds(30);
};

// The hosts to ask for images of `registry` ("docker.io", "localhost:5000"), in order, the registry
// itself last. Reads containerd's layout: the first of config_dirs that holds a directory
// <host>_<port>_, <host>[:<port>] or _default, and in it hosts.toml or else Docker's *.crt, *.cert
// and *.key. It reads them on every call. InvalidArgument, naming file and line, for a hosts.toml
// that is wrong: a mirror configuration that is half understood must not send pulls elsewhere.
absl::StatusOr<std::vector<RegistryHost>> LoadRegistryHosts(
    const std::vector<std::string>& config_dirs, absl::string_view registry);

// Parses the text of one hosts.toml. `path` is for messages. Relative certificate paths start at
// `directory`. `shared` says that the directory is _default.
absl::StatusOr<std::vector<RegistryHost>> ParseHostsToml(absl::string_view text,
                                                         const std::string& path,
                                                         const std::string& directory,
                                                         absl::string_view registry,
                                                         bool shared);

// The registry at the address of its name, without any configuration.
RegistryHost DefaultRegistryHost(absl::string_view registry);

// "host:port" in lower case, without the port that `scheme` implies. Two are equal exactly if they
// are the same host.
std::string CanonicalHost(absl::string_view host, absl::string_view scheme);

// True for localhost, 127.0.0.0/8 and [::1], with or without a port.
bool IsLoopbackHost(absl::string_view host);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_HOSTS_CONFIG_H_
