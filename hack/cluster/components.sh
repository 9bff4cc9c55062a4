# Sourced by hack/cluster.sh. start_NAME starts the component NAME and waits until it serves.

start_etcd() {
  launch etcd etcd --name=crisp --data-dir="$work/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls="https://$node_ip:2379" --advertise-client-urls="https://$node_ip:2379" \
    --listen-peer-urls="http://$node_ip:0" --initial-advertise-peer-urls="http://$node_ip:2380" \
    --initial-cluster="crisp=http://$node_ip:2380" \
    --client-cert-auth --trusted-ca-file="$pki/ca.crt" --cert-file="$pki/etcd.crt" --key-file="$pki/etcd.key"
  await etcd 60 curl -fsS --cacert "$pki/ca.crt" --cert "$pki/etcd.crt" --key "$pki/etcd.key" "https://$node_ip:2379/health"
}

start_kube-apiserver() {
  launch kube-apiserver "$kube_bin/kube-apiserver" \
    --bind-address="$node_ip" --advertise-address="$node_ip" --secure-port=6443 --allow-privileged=true \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --etcd-servers="https://$node_ip:2379" --etcd-cafile="$pki/ca.crt" \
    --etcd-certfile="$pki/etcd.crt" --etcd-keyfile="$pki/etcd.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$pki/apiserver-kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.pub" \
    --service-account-signing-key-file="$pki/sa.key" --service-cluster-ip-range="$service_net.0/24" \
    --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key"
  await kube-apiserver 180 kubectl get --raw /readyz
}

start_kube-controller-manager() {
  launch kube-controller-manager "$kube_bin/kube-controller-manager" \
    --kubeconfig="$work/controller-manager.kubeconfig" --leader-elect=false --secure-port=0 \
    --use-service-account-credentials --service-account-private-key-file="$pki/sa.key" \
    --root-ca-file="$pki/ca.crt" --allocate-node-cidrs --cluster-cidr="$pod_net.0/24" --node-cidr-mask-size=24 \
    --service-cluster-ip-range="$service_net.0/24"
}

start_kube-scheduler() {
  launch kube-scheduler "$kube_bin/kube-scheduler" --kubeconfig="$work/scheduler.kubeconfig" \
    --leader-elect=false --secure-port=0
}

start_crispd() {
  launch crispd "$crisp_bin/crispd" --config "$work/crispd.yaml"
  await crispd 60 "$crisp_bin/crisp" --address "unix://$socket" info
}

start_kubelet() {
  mkdir -p "$work"/kubelet.conf.d
  # shellcheck disable=SC2016
  launch kubelet unshare --mount --propagation unchanged bash -c '
    . "$0" && bind_kernel_settings "$1/sysctl" && exec "${@:2}"' "$root/hack/lib/kernel_settings.sh" "$work" \
    "$kube_bin/kubelet" --config="$work/kubelet.yaml" --config-dir="$work/kubelet.conf.d" \
    --kubeconfig="$work/kubelet.kubeconfig" --root-dir="$work/kubelet" --cert-dir="$work/kubelet/pki" \
    --hostname-override="$node" --node-ip="$node_ip" --v="${CRISP_CLUSTER_VERBOSITY:-2}"
  await kubelet 60 curl -fsS "http://$node_ip:10248/healthz"
}

start_kube-proxy() {
  launch kube-proxy "$kube_bin/kube-proxy" --config="$work/kube-proxy.yaml"
  await kube-proxy 60 curl -fsS "http://$node_ip:10256/healthz"
}

start_coredns() {
  launch coredns "$kube_bin/coredns" -conf "$work/Corefile" -dns.port 53
  await coredns 60 curl -fsS "http://$node_ip:8181/ready"
}
