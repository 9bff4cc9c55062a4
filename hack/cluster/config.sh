# Sourced by hack/cluster.sh. Certificates, kubeconfigs and configuration files of a cluster, all
# below $work. What is there already is kept, so that a second `up` finds the same authorities.

# issue NAME SUBJECT [SUBJECT_ALTERNATIVE_NAMES]: $pki/NAME.crt and .key, signed by the cluster's CA.
issue() {
  local name=$1 subject=$2 names=${3:-}
  [[ ! -f $pki/$name.crt ]] || return 0
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$pki/$name.key" \
    -subj "$subject" -out "$pki/$name.csr" 2>/dev/null
  openssl x509 -req -in "$pki/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 365 \
    -extfile <(
      printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \
        extendedKeyUsage=clientAuth,serverAuth
      [[ -z $names ]] || echo "subjectAltName=$names"
    ) -out "$pki/$name.tmp" 2>/dev/null
  rm -f "$pki/$name.csr"
  mv "$pki/$name.tmp" "$pki/$name.crt"
}

make_certificates() {
  (
    umask 077
    mkdir -p "$pki"
    if [[ ! -f $pki/ca.crt ]]; then
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=crisp-cluster \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$pki/ca.key" -out "$pki/ca.tmp" 2>/dev/null
      mv "$pki/ca.tmp" "$pki/ca.crt"
    fi
    [[ -f $pki/sa.key ]] || openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
    [[ -f $pki/sa.pub ]] || openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null
    local service=kubernetes.default.svc
    issue etcd /CN=etcd "IP:$node_ip"
    issue apiserver /CN=kube-apiserver \
      "IP:$node_ip,IP:$service_net.1,DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local"
    issue apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
    issue kubelet "/O=system:nodes/CN=system:node:$node" "IP:$node_ip,DNS:$node"
    issue admin /O=system:masters/CN=kubernetes-admin
    issue controller-manager /CN=system:kube-controller-manager
    issue scheduler /CN=system:kube-scheduler
    issue proxy /CN=system:kube-proxy
    issue front-proxy-client /CN=front-proxy-client
  )
}

# kubeconfig NAME FILE: for the user of certificate NAME.
kubeconfig() {
  local name=$1 file=$2
  (
    umask 077
    cat >"$file" <<YAML
apiVersion: v1
kind: Config
current-context: crisp
clusters:
- name: crisp
  cluster:
    server: https://$node_ip:6443
    certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")
users:
- name: $name
  user:
    client-certificate-data: $(base64 -w0 <"$pki/$name.crt")
    client-key-data: $(base64 -w0 <"$pki/$name.key")
contexts:
- name: crisp
  context: {cluster: crisp, user: $name}
YAML
  )
}

# The kubelet's own cgroups stay below $cgroup, its firewall rules are not made, and nothing of it
# listens beyond the node's address. Evictions begin at less than on a real node, since this one may
# be a machine with a full disk.
write_kubelet_config() {
  cat >"$work/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$socket
address: $node_ip
port: 10250
healthzBindAddress: $node_ip
healthzPort: 10248
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
clusterDomain: cluster.local
clusterDNS: [${services:+$node_ip}]
cgroupDriver: $cgroup_driver
cgroupRoot: $cgroup
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
podLogsDir: $work/logs/pods
resolvConf: $work/resolv.conf
serializeImagePulls: false
volumePluginDir: $work/kubelet/volume-plugins
evictionHard:
  memory.available: 100Mi
  nodefs.available: 1%
  nodefs.inodesFree: 1%
  imagefs.available: 1%
  imagefs.inodesFree: 1%
YAML
  # A pod whose policy is Default gets these; a name server that cannot be reached helps nobody.
  if [[ ! -f $work/resolv.conf ]]; then
    grep -E '^(nameserver|search|options) ' /etc/resolv.conf >"$work/resolv.conf" 2>/dev/null ||
      echo "nameserver 127.0.0.1" >"$work/resolv.conf"
  fi
}

# Of kube-proxy, and of a name server that knows the cluster's names only.
write_services_config() {
  cat >"$work/Corefile" <<CONF
. {
  bind $node_ip
  ready $node_ip:8181
  errors
  cache 5
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $work/admin.kubeconfig
    pods insecure
  }
}
CONF
  cat >"$work/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $work/proxy.kubeconfig}
clusterCIDR: $pod_net.0/24
hostnameOverride: $node
healthzBindAddress: $node_ip:10256
metricsBindAddress: $node_ip:10249
conntrack: {maxPerCore: 0}
YAML
}

# Images come from the registry beside the cluster first; what is not there is looked for upstream.
write_crispd_config() {
  local registry
  registry=$(cat "$work/registry")
  mirror_registry --upstream https://registry-1.docker.io "$registry" "$work/certs.d" docker.io
  mirror_registry "$registry" "$work/certs.d" crisp.test
  cat >"$work/crispd.yaml" <<YAML
root: $work/crisp
state: $work/run
listen: unix://$socket
metrics: {address: "$node_ip:9110"}
image: {registry_config_dirs: [$work/certs.d]}
network:
  name: crc$id
  subnets: [$pod_net.0/24]
  cni_conf_dir: $work/no-cni
runtime: {cgroup_driver: $cgroup_driver}
YAML
}
