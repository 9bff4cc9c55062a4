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

namespace crisp::cri {

struct MetricsConfig {
  std::string address = "127.0.0.1:9110";  // HOST:PORT of /metrics; empty: none
};

struct ImageConfig {
  // certs.d roots (<dir>/<host>/hosts.toml), the first that knows a host wins.
  std::vector<std::string> registry_config_dirs = {"/etc/crisp/certs.d", "/etc/containerd/certs.d"};
  std::vector<std::string> pinned;     // references or globs that are reported as pinned
  int64_t max_parallel_downloads = 4;  // layers per image
  int64_t max_parallel_unpacks = 4;
  bool keep_layer_blobs = false;  // layers as the registry compressed them, for exports without it
  absl::Duration stall_timeout = absl::Minutes(1);  // a pull that gets no byte for so long fails
  std::string layer_format = "directories";         // or "erofs": what new layers become
  // Of one layer, unpacked; what has more is no image.
  int64_t max_layer_bytes = int64_t{256} << 30;
  int64_t max_layer_files = 10'000'000;
  absl::Duration max_unpack_cpu = absl::Hours(1);  // processor time
};

struct NetworkConfig {
  std::string name = "crisp0";       // bridge and nftables table of the built-in network
  std::vector<std::string> subnets;  // none: some of crisp's own that the host does not use
  bool subnets_from_kubelet = true;
  bool masquerade = true;
  int64_t mtu = 0;               // 0: that of the host's default route
  bool anti_spoofing = true;     // pods send from their own MAC and addresses only
  std::string builtin = "auto";  // while there is no CNI configuration; or "always", "never"
  bool attach_spares =
      true;  // the built-in network attaches runtime.spare_pods before they are pods
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"};
};

struct RuntimeConfig {
  std::string shim;  // crisp-shim; empty: beside crispd, or in ../libexec/crisp from there
  std::string cgroup_driver = "cgroupfs";  // or "systemd"; must match how the kubelet names cgroups
  std::vector<std::string> handlers = {"crisp"};  // RuntimeClass handlers served besides ""
  // Handlers, "" among them, whose containers have a writable /sys/fs/cgroup without being
  // privileged, as a container engine in a container needs it. Only on cgroup v2 mounted with
  // nsdelegate.
  std::vector<std::string> cgroup_writable_handlers;
  // Pods' namespaces that are made before there is a pod for them; 0: none. Only pods with a
  // network, an IPC and a UTS namespace of their own and no user namespace take them.
  int64_t spare_pods = 4;
  int64_t max_log_rate = 256;  // MiB per second of one pod; 0: no bound
  // Overlays that are mounted before there is a container for them, for each of the eight images
  // that were used last; 0: none. Not for containers with an SELinux label or a user namespace.
  int64_t spare_roots = 4;
  // SELinux labels where the kernel has SELinux, overlooked where it has none ("auto") or refused
  // there
  // ("required"), or never, whatever pods ask for ("off").
  std::string selinux = "auto";
  int64_t selinux_category_range = 1024;  // pods get pairs of the first so many categories
  // Devices that a container asks for are its run_as_user's and run_as_group's, not the host's
  // owner's.
  bool device_ownership_from_security_context = false;
  // When a path that a pod names (a volume, a log directory) and that does not answer is given up.
  absl::Duration path_timeout = absl::Seconds(30);
  std::string blockio_config_file;  // named classes of block IO limits; empty: there are none
  // CDI files; a later directory's devices hide those of an earlier one. Empty: no CDI.
  std::vector<std::string> cdi_spec_dirs = {"/etc/cdi", "/var/run/cdi"};
};

// Where clients of Exec, Attach and PortForward connect to: the kubelet, in the name of its users.
struct StreamingConfig {
  std::string address = "127.0.0.1:0";  // HOST:PORT; port 0: a free one; empty: no streaming
  std::string
      advertise;  // HOST or HOST:PORT in URLs, for clients that know the node by another name
  // HTTPS: PEM files, read again when they change, or a key pair that crispd makes for itself.
  std::string tls_cert_file, tls_key_file;
  bool tls_self_signed = false;
  std::string tls_client_ca_file;  // whoever signs the certificates that clients must then show
  absl::Duration idle_timeout = absl::Hours(4);  // without a byte in either direction; 0: never
  absl::Duration creation_timeout = absl::Seconds(30);  // for the connection, and for its streams
  absl::Duration url_timeout = absl::Minutes(1);        // how long a URL waits for its client
  int64_t max_connections = 2000;
  int64_t max_connections_per_pod = 200;
};

// What /etc/crisp/config.yaml may say. A value; every key has a default. The keys of the file are
// the members' names; config_schema.h is the one table of them.
struct Config {
  std::string root = "/var/lib/crisp";  // durable: images, writable layers
  std::string state = "/run/crisp";     // tmpfs: sockets, records of pods
  std::string listen;                   // unix://PATH; empty: unix://<state>/crisp.sock
  std::string log_level = "info";
  MetricsConfig metrics;
  ImageConfig image;
  NetworkConfig network;
  RuntimeConfig runtime;
  StreamingConfig streaming;

  // Where a key's value was read, "FILE:LINE" by the key's full name. Not a key itself.
  std::map<std::string, std::string> places;

  // The path of the socket, whatever `listen` says.
  std::string SocketPath() const;
  // InvalidArgument naming the key, and the place where it was read, for values that cannot work
  // anywhere. Looks at the values only; see CheckConfig() (config_check.h) for the files that they
  // name.
  absl::Status Validate() const;
  // InvalidArgument "PLACE: KEY RULE" for a value of `key` that breaks the rule.
  absl::Status Refused(const std::string& key, absl::string_view rule) const;
};

// Reads `path` and then `<dir of path>/config.d/*.yaml` in name order; later files override single
// keys (lists are replaced). An absent `path` is the default configuration when `required` is
// false, else NotFound. InvalidArgument with "file:line:" for malformed text, unknown keys and
// wrong types. Does not validate (flags may still change values).
absl::StatusOr<Config> LoadConfig(const std::string& path, bool required);

// Applies one document to `config`; `name` stands for the file in errors. On error `config` may
// have been changed in part.
absl::Status ApplyConfig(absl::string_view text, absl::string_view name, Config& config);

// The configuration as YAML, with every key; LoadConfig of it gives an equal one.
std::string DumpConfig(const Config& config);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONFIG_CONFIG_H_
