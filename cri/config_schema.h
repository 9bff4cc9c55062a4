#ifndef CRISP_CRI_CONFIG_SCHEMA_H_
#define CRISP_CRI_CONFIG_SCHEMA_H_

#include "cri/config.h"

namespace crisp::cri {

// The one table of the configuration's keys: reading and printing both walk it, so neither can know
// a key that the other does not. A visitor has
//   Key(name, value&)            for std::string, bool, int64_t, absl::Duration, vector<string>
//   Section(name, function)      for a nested mapping
template <typename Visitor, typename ConfigT>
void VisitConfig(Visitor& visitor, ConfigT& config) {
  visitor.Key("root", config.root);
  visitor.Key("state", config.state);
  visitor.Key("listen", config.listen);
  visitor.Key("log_level", config.log_level);
  visitor.Section("metrics", [&](Visitor& v) { v.Key("address", config.metrics.address); });
  visitor.Section("image", [&](Visitor& v) {
    v.Key("registry_config_dirs", config.image.registry_config_dirs);
    v.Key("pinned", config.image.pinned);
    v.Key("max_parallel_downloads", config.image.max_parallel_downloads);
    v.Key("max_parallel_unpacks", config.image.max_parallel_unpacks);
    v.Key("keep_layer_blobs", config.image.keep_layer_blobs);
    v.Key("stall_timeout", config.image.stall_timeout);
    v.Key("layer_format", config.image.layer_format);
    v.Key("max_layer_bytes", config.image.max_layer_bytes);
    v.Key("max_layer_files", config.image.max_layer_files);
    v.Key("max_unpack_cpu", config.image.max_unpack_cpu);
  });
  visitor.Section("network", [&](Visitor& v) {
    v.Key("builtin", config.network.builtin);
    v.Key("name", config.network.name);
    v.Key("subnets", config.network.subnets);
    v.Key("subnets_from_kubelet", config.network.subnets_from_kubelet);
    v.Key("masquerade", config.network.masquerade);
    v.Key("mtu", config.network.mtu);
    v.Key("anti_spoofing", config.network.anti_spoofing);
    v.Key("attach_spares", config.network.attach_spares);
    v.Key("cni_conf_dir", config.network.cni_conf_dir);
    v.Key("cni_bin_dirs", config.network.cni_bin_dirs);
  });
  visitor.Section("runtime", [&](Visitor& v) {
    v.Key("shim", config.runtime.shim);
    v.Key("cgroup_driver", config.runtime.cgroup_driver);
    v.Key("handlers", config.runtime.handlers);
    v.Key("cgroup_writable_handlers", config.runtime.cgroup_writable_handlers);
    v.Key("spare_pods", config.runtime.spare_pods);
    v.Key("max_log_rate", config.runtime.max_log_rate);
    v.Key("spare_roots", config.runtime.spare_roots);
    v.Key("selinux", config.runtime.selinux);
    v.Key("selinux_category_range", config.runtime.selinux_category_range);
    v.Key("device_ownership_from_security_context", config.runtime.device_ownership_from_security_context);
    v.Key("path_timeout", config.runtime.path_timeout);
    v.Key("blockio_config_file", config.runtime.blockio_config_file);
    v.Key("cdi_spec_dirs", config.runtime.cdi_spec_dirs);
  });
  visitor.Section("streaming", [&](Visitor& v) {
    v.Key("address", config.streaming.address);
    v.Key("advertise", config.streaming.advertise);
    v.Key("tls_cert_file", config.streaming.tls_cert_file);
    v.Key("tls_key_file", config.streaming.tls_key_file);
    v.Key("tls_self_signed", config.streaming.tls_self_signed);
    v.Key("tls_client_ca_file", config.streaming.tls_client_ca_file);
    v.Key("idle_timeout", config.streaming.idle_timeout);
    v.Key("creation_timeout", config.streaming.creation_timeout);
    v.Key("url_timeout", config.streaming.url_timeout);
    v.Key("max_connections", config.streaming.max_connections);
    v.Key("max_connections_per_pod", config.streaming.max_connections_per_pod);
  });
}

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONFIG_SCHEMA_H_
