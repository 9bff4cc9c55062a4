#ifndef CRISP_CRI_CONFIG_CONFIG_SCHEMA_H_
#define CRISP_CRI_CONFIG_CONFIG_SCHEMA_H_

#include "cri/config/config.h"
#include "cri/config/config_rule.h"

namespace crisp::cri {

// Config::Validate() knows their rule.
inline std::string Broken(const Rule&, const std::vector<HandlerConfig>&) { return ""; }

// The one table of the configuration's keys: name, place, rule and documentation. A key's default
// is the value of the member in a new Config. Reading, checking, printing and the documents
// (config_docs.h) all walk this table, so none of them can know a key that another does not. A
// visitor has
//   Key(name, value&, rule, text)   for std::string, bool, int64_t, absl::Duration, vector<string>
//     and vector<HandlerConfig>
//   Section(name, function, text)   for a nested mapping
// A text is for operators: whole sentences, with `backquotes` around what is to be typed. It does
// not repeat the rule. A visitor that has no use for the text has Key() inlined, so that only the
// program that writes the documents carries the texts.
template <typename Visitor, typename ImageT>
void VisitImage(Visitor& v, ImageT& image) {
  v.Key("registry_config_dirs", image.registry_config_dirs, Path(),
        "Directories in the layout of containerd's certs.d, `HOST/hosts.toml`. The first one that "
        "knows a "
        "host decides. They are read anew for every pull.");
  v.Key("pinned", image.pinned_images, Any(),
        "References of images, or patterns of references, that the kubelet's image collection must "
        "keep.");
  v.Key("max_parallel_downloads", image.max_parallel_downloads, Between(1, 64),
        "How many layers of one image are downloaded at once.");
  v.Key("max_parallel_unpacks", image.max_parallel_unpacks, Between(1, 64),
        "How many layers of all images are unpacked at once.");
  v.Key("keep_layer_blobs", image.keep_layer_blobs, Any(),
        "Keep layers also as the registry compressed them. That takes a third more of the disk, "
        "and `crisp "
        "images export` needs no registry then. Imported images are always kept so.");
  v.Key("stall_timeout", image.stall_timeout, Any(), "A pull that gets no byte for so long fails.");
  v.Key("layer_format", image.layer_format, OneOf(storage::kLayerFormats),
        "What new layers become: directories, or EROFS images, one file for each layer, which the "
        "kernel "
        "mounts. That takes Linux 6.15; on an older kernel crispd makes directories and says so "
        "when it "
        "starts. Layers of many small files arrive faster as images. Layers that are there already "
        "stay as "
        "they are.");
  v.Key("max_layer_bytes", image.max_layer_bytes, Between(1, kNoMost).In("bytes"),
        "How much one layer may hold, unpacked. A pull that brings more fails. The disk has a "
        "reserve of its "
        "own: 64 MiB and some thousand inodes stay free whatever is pulled.");
  v.Key("max_layer_files", image.max_layer_files, Between(1, kNoMost),
        "How many files one layer may hold. A pull that brings more fails.");
  v.Key("max_unpack_cpu", image.max_unpack_cpu, AtLeastSeconds(1),
        "Processor time that unpacking one layer may take. A pull that needs more fails.");
}

template <typename Visitor, typename NetworkT>
void VisitNetwork(Visitor& v, NetworkT& network) {
  v.Key("builtin", network.builtin, OneOf({"auto", "always", "never"}),
        "When the built-in network serves: with `auto` while `cni_conf_dir` holds no "
        "configuration, with "
        "`always` whatever it holds, with `never` not at all, so that pods wait for a "
        "configuration to be "
        "there. The log says who serves, at each change.");
  v.Key("name", network.bridge_name, InWords("an interface name of at most 15 characters"),
        "The built-in network's bridge and nftables tables. No two instances on a node may share "
        "it.");
  v.Key("subnets", network.subnets, InWords("at most one IPv4 and one IPv6 subnet"),
        "Subnets of the built-in network. The node's pod CIDR replaces them when the kubelet says "
        "one. Empty: "
        "the first of 10.79.0.0/16, 10.63.0.0/16, 10.117.0.0/16 and 172.29.0.0/16 that no route of "
        "the node "
        "overlaps with, and fd63:7269:7370::/64.");
  v.Key("subnets_from_kubelet", network.subnets_from_kubelet, Any(),
        "Whether the pod CIDR that the kubelet says replaces `subnets`.");
  v.Key("masquerade", network.masquerade, Any(),
        "Give what pods send to places outside of the node and its pods the node's address.");
  v.Key("mtu", network.mtu, ZeroOrBetween(576, 65535).In("bytes"),
        "The MTU of pods' interfaces. 0: that of the interface with the default route.");
  v.Key("anti_spoofing", network.anti_spoofing, Any(),
        "Drop what a pod sends with another MAC or address than its own, or says of others' by ARP "
        "and "
        "neighbour discovery. Switch it off for pods that route or bridge for others, or take "
        "addresses "
        "themselves.");
  v.Key("attach_spares", network.attach_spares, Any(),
        "Attach the pods that `runtime.spare_pods` keeps ready to the network before there is a "
        "pod for "
        "them, from the first pod on. Each has an address and a veth on the bridge then.");
  v.Key("cni_conf_dir", network.cni_conf_dir, PathOrNone(),
        "The directory of CNI configurations. The first one by name counts.");
  v.Key("cni_bin_dirs", network.cni_bin_dirs, Path(),
        "Directories of CNI plugins. The first one that has a plugin counts.");
}

template <typename Visitor, typename RuntimeT>
void VisitRuntime(Visitor& v, RuntimeT& runtime) {
  v.Key("shim", runtime.shim, PathOrNone(),
        "The path of crisp-shim. Empty: beside crispd, or in ../libexec/crisp from there.");
  v.Key("cgroup_driver", runtime.cgroup_driver, OneOf({"cgroupfs", "systemd"}),
        "How cgroups are made and named. Kubernetes asks for `systemd` where systemd is the "
        "machine's init. "
        "Kubelets since 1.28 take over what is said here; for older ones it must be what their "
        "configuration "
        "says.");
  v.Key(
      "handlers", runtime.handlers,
      InWords("`{name: NAME, type: TYPE}`, or a name alone; the one type is `crisp`"),
      "Handlers that a RuntimeClass may name, and the type of runtime that runs the pods of each. "
      "A name stands once. The empty name, for pods that name no handler, is always there, of "
      "type `crisp`. What each of them can do is in the CRI's Status.");
  v.Key("cgroup_writable_handlers", runtime.cgroup_writable_handlers,
        InWords("names of `runtime.handlers`, or the empty name"),
        "Handlers whose containers have a writable /sys/fs/cgroup without being privileged. The "
        "empty name "
        "stands for pods that name no handler. Limits stay out of the containers' reach, so it "
        "takes cgroup "
        "v2, mounted with nsdelegate as systemd does. Container engines and systemd run in them; "
        "what systemd "
        "takes besides: docs/kubernetes.md.");
  v.Key("spare_pods", runtime.spare_pods, Between(0, 256),
        "How many pods' namespaces are made before there is a pod for them. 0: none. Only pods "
        "with a "
        "network, an IPC and a UTS namespace of their own and without a user namespace take them.");
  v.Key("max_log_rate", runtime.max_log_rate, Between(0, 1000000).In("MiB per second"),
        "How much the containers of one pod may log together. 0: no bound. A container that writes "
        "faster "
        "waits: nothing is lost. Writing logs is the node's work, and so much of it takes a "
        "processor and "
        "more than most disks; a program that has something to say stays far below.");
  v.Key("spare_roots", runtime.spare_roots, Between(0, 256),
        "How many overlays are mounted before there is a container for them, for each of the eight "
        "images "
        "that were used last. 0: none. Containers with an SELinux label or a user namespace do not "
        "take "
        "them.");
  v.Key("selinux", runtime.selinux, OneOf({"auto", "required", "off"}),
        "Whether containers have SELinux labels. With `auto` they have them where the kernel has "
        "SELinux, "
        "and what pods ask for is overlooked where it has none; with `required` it is refused "
        "there; with "
        "`off` containers never have labels.");
  // The kernel's policies have c0 to c1023.
  v.Key("selinux_category_range", runtime.selinux_category_range, Between(2, 1024),
        "Pods get pairs of the first so many SELinux categories.");
  v.Key("device_ownership_from_security_context", runtime.device_ownership_from_security_context,
        Any(),
        "Devices in a container belong to its user and group (`runAsUser`, `runAsGroup`), instead "
        "of to whom "
        "they belong on the host.");
  v.Key("path_timeout", runtime.path_timeout, AtLeastSeconds(1),
        "When a path that a pod names (a volume, a log directory) is given up because it does not "
        "answer, as "
        "on NFS whose server is gone.");
  v.Key("blockio_config_file", runtime.blockio_config_file, PathOrNone(),
        "The file of the named classes of block IO limits. Empty: there are no classes.");
  v.Key("cdi_spec_dirs", runtime.cdi_spec_dirs, Path(),
        "Directories of the Container Device Interface. A later directory's devices hide an "
        "earlier one's. "
        "Empty: no CDI.");
}

template <typename Visitor, typename StreamingT>
void VisitStreaming(Visitor& v, StreamingT& streaming) {
  v.Key("address", streaming.address, AddressOrNone(),
        "Where the server listens. Port 0: a free one. Empty: no streaming.");
  v.Key("advertise", streaming.advertise, InWords("HOST or HOST:PORT, or empty"),
        "What URLs name instead, for clients that know the node by another name.");
  v.Key(
      "tls_cert_file", streaming.tls.cert_file, PathOrNone(),
      "HTTPS with the certificate of this PEM file, which is read again when it changes. It needs "
      "`tls_key_file`.");
  v.Key("tls_key_file", streaming.tls.key_file, PathOrNone(),
        "The PEM file with the certificate's key.");
  v.Key("tls_self_signed", streaming.tls.self_signed, Any(),
        "HTTPS with a key pair that crispd makes for itself.");
  v.Key("tls_client_ca_file", streaming.tls.client_ca_file, PathOrNone(),
        "A PEM file of certificate authorities. Clients must then show a certificate that one of "
        "them has "
        "signed.");
  v.Key("idle_timeout", streaming.idle_timeout, Any(),
        "A session ends when no byte went in either direction for so long. 0: never.");
  v.Key("creation_timeout", streaming.handshake_timeout, LongerThanZero(),
        "How long a client may take for its connection, and for the streams on it.");
  v.Key("url_timeout", streaming.token_ttl, LongerThanZero(),
        "How long a URL waits for its client.");
  v.Key("max_connections", streaming.connection_cap, Between(1, 100000),
        "How many connections there may be at once. Those beyond are answered with 503.");
  v.Key("max_connections_per_pod", streaming.pod_cap, Between(1, 100000),
        "How many of them may be to one pod, so that it does not use them up for all others.");
}

template <typename Visitor, typename ConfigT>
void VisitConfig(Visitor& visitor, ConfigT& config) {
  visitor.Key("root", config.root, Path(),
              "Durable data: images and the writable layers of containers.");
  visitor.Key("state", config.state, Path(),
              "Run-time state, on a tmpfs: sockets and the records of pods. Neither of `root` and "
              "`state` may "
              "contain the other.");
  visitor.Key("listen", config.listen, InWords("unix:///PATH, or empty"),
              "The CRI's socket. Empty: crisp.sock in the state directory.");
  visitor.Key("operator_listen", config.operator_listen, InWords("unix:///PATH, `auto` or empty"),
              "The operator's socket, with the same services. Pods that are made over it are out "
              "of the kubelet's "
              "reach: the CRI's socket does not list them. `auto`: operator.sock in the state "
              "directory. Empty: "
              "none.");
  visitor.Key("log_level", config.log_level, OneOf({"debug", "info", "warn", "error"}),
              "The least severity of what is logged. SIGHUP (`systemctl reload crispd`) reads it "
              "anew.");
  visitor.Key("log_format", config.log_format, OneOf({"logfmt", "json"}),
              "The form of the log's lines: `event key=value`, or a JSON object for each.");
  visitor.Section(
      "metrics",
      [&](Visitor& v) {
        v.Key("address", config.metrics.address, AddressOrNone(),
              "Where Prometheus' /metrics is served. Empty: nowhere.");
      },
      "Prometheus' metrics of the daemon.");
  visitor.Section(
      "image", [&](Visitor& v) { VisitImage(v, config.image); },
      "Pulling images and storing them.");
  visitor.Section(
      "network", [&](Visitor& v) { VisitNetwork(v, config.network); }, "Pods' network.");
  visitor.Section(
      "runtime", [&](Visitor& v) { VisitRuntime(v, config.runtime); }, "Pods and containers.");
  visitor.Section(
      "streaming", [&](Visitor& v) { VisitStreaming(v, config.streaming); },
      "The server of exec, attach and port-forward. The kubelet connects to it, in the name of its "
      "users.");
}

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONFIG_CONFIG_SCHEMA_H_
