#!/bin/bash
# hack/cluster.sh: a single-node Kubernetes on crisp, on a bare Debian 12 as root.
#
#   hack/cluster.sh up          builds what is missing and starts it: etcd, kube-apiserver, kube-scheduler,
#                               kube-controller-manager, an unmodified kubelet, crispd and a registry
#   hack/cluster.sh kubectl …   kubectl, as the cluster's administrator
#   hack/cluster.sh status      what runs, and the node
#   hack/cluster.sh start|stop|kill NAME…   one of them: crispd, kubelet, …; kill is kill -9
#   hack/cluster.sh down        removes every trace: pods, processes, mounts, cgroups, links, files
#   hack/cluster.sh --vm [--driver systemd|cgroupfs] COMMAND…   up, COMMAND and down in an emulated machine
#                               with cgroup v2 and systemd (hack/vm.sh), some ten times slower
#
# Everything is below CRISP_CLUSTER_DIR (/var/lib/crisp-cluster): several clusters can run beside each
# other, each in a folder of its own. All of it listens on an address that only this machine has, and
# the mounts are made in a mount namespace of their own, which ends with the cluster. The images
# `nginx` and `busybox` and those of hack/images.sh are served by the registry; every other comes from
# where its name says. `up` may be called again after anything; it starts what does not run. Files
# NAME.conf in kubelet.conf.d below that folder override single keys of the kubelet's configuration.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
. "$root/hack/lib/cluster_config.sh"
. "$root/hack/lib/registry.sh"

work=$(readlink -m "${CRISP_CLUSTER_DIR:-/var/lib/crisp-cluster}")
# By a cluster of this network namespace or, as its cgroups tell, of another.
taken() {
  ip link show "crk$1" >/dev/null 2>&1 || compgen -G "/sys/fs/cgroup/*/crisp-cluster-$1" >/dev/null ||
    [[ -d /sys/fs/cgroup/crisp-cluster-$1 ]]
}
# Names and addresses follow from a number that no other cluster has, which `up` keeps in the folder.
id=$(cat "$work/id" 2>/dev/null) || {
  id=$(($(printf %s "$work" | cksum | cut -d' ' -f1) % 250 + 1))
  while taken "$id"; do id=$((id % 250 + 1)); done
}
node=crisp
node_ip=10.213.$id.1 pod_net=10.214.$id service_net=10.215.$id
link=crk$id
cgroup_driver=${CRISP_CGROUP_DRIVER:-cgroupfs}
# A kubelet that asks systemd for cgroups has them where every other would.
cgroup=/crisp-cluster-$id
[[ $cgroup_driver == cgroupfs ]] || cgroup=/
factor=${CRISP_TEST_TIME_FACTOR:-1}  # how slow the machine is
pki=$work/pki
socket=$work/run/crisp.sock
crisp_bin=${CRISP_BIN:-$root/build/bin}
kube_bin=$root/build/tools/kubernetes/bin
export PATH=$PATH:$kube_bin
components=(etcd kube-apiserver kube-controller-manager kube-scheduler crispd kubelet)
# With CRISP_CLUSTER_SERVICES, services have addresses that lead to pods, and names. kube-proxy rules a network
# namespace alone, so only a cluster in one of its own may have that: hack/conformance.sh.
services=${CRISP_CLUSTER_SERVICES:-}
[[ -z $services ]] || components+=(kube-proxy coredns)

say() { echo "cluster: $*"; }
fail() { echo "cluster: $*" >&2; exit 1; }
kubectl() { "$kube_bin/kubectl" --kubeconfig "$work/admin.kubeconfig" "$@"; }

# ---- processes ---------------------------------------------------------------------------------

# pid_of NAME: prints its process, when that lives and is this cluster's.
pid_of() {
  local pid
  pid=$(cat "$work/pids/$1" 2>/dev/null) && [[ -n $pid ]] || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$work" || return 1
  echo "$pid"
}

# launch NAME COMMAND...: in the cluster's mount namespace, in a session of its own. Every command
# line names $work: that is how the process is known again.
launch() {
  local name=$1
  shift
  mkdir -p "$work/logs" "$work/pids"
  setsid nsenter --mount="/proc/$(pid_of namespace)/ns/mnt" --wd="$work" "$@" >>"$work/logs/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$work/pids/$name"
}

# end NAME [SIGNAL]: returns when it is gone; after half a minute it is killed.
end() {
  local pid
  pid=$(pid_of "$1") || return 0
  kill "-${2:-TERM}" "$pid" 2>/dev/null || true
  for _ in {1..600}; do
    [[ -d /proc/$pid && $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) != Z* ]] || break
    sleep 0.05
  done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$work/pids/$1"
}

# await NAME SECONDS COMMAND...: until the command succeeds; fails when the component ends before.
await() {
  local name=$1 deadline=$((SECONDS + $2 * factor))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$(cat "$work/pids/$name")" 2>/dev/null; then
      tail -20 "$work/logs/$name.log" >&2
      fail "$name ended; its log is $work/logs/$name.log"
    fi
    ((SECONDS < deadline)) || { tail -20 "$work/logs/$name.log" >&2; fail "$name is not ready: see $work/logs/$name.log"; }
    sleep 0.1
  done
}

# The mount namespace that crispd and the kubelet share, held by a process that does nothing. `/` is
# shared in it, as on a node that systemd booted. What the kubelet would put into folders of the
# machine whose names cannot be configured goes below $work.
start_namespace() {
  pid_of namespace >/dev/null && return
  local folder
  mkdir -p "$work"/{pids,logs,device-plugins,container-logs}
  for folder in /var/lib/kubelet/device-plugins /var/log/containers; do
    if [[ ! -d $folder ]]; then mkdir -p "$folder"; echo "$folder" >>"$work/made-folders"; fi
  done
  rm -f "$work/pids/namespace-ready"
  # By its argv[0], which names $work, it is known again; and it has no child to outlive it.
  # shellcheck disable=SC2016
  setsid unshare --mount --propagation private bash -c '
    mount --make-rshared / &&
    mount --bind "$1/device-plugins" /var/lib/kubelet/device-plugins &&
    mount --bind "$1/container-logs" /var/log/containers &&
    : >"$1/pids/namespace-ready" && exec -a "namespace $1" sleep infinity' namespace "$work" </dev/null >"$work/logs/namespace.log" 2>&1 9>&- &
  echo $! >"$work/pids/namespace"
  await namespace 10 test -e "$work/pids/namespace-ready"
}

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

# ---- up and down -------------------------------------------------------------------------------

# A machine of hack/vm.sh has what was built before it was started.
build() {
  [[ -z ${CRISP_VM_OUT:-} ]] || return 0
  "$root/hack/deps.sh" cluster
  if [[ -z ${CRISP_BIN:-} ]]; then
    (cd "$root" && { [[ -f build/build.ninja ]] || cmake --preset dev >/dev/null; } &&
      cmake --build --preset dev --target crispd crisp crisp-shim >/dev/null)
  fi
  "$root/hack/tools.sh" >/dev/null
  "$root/hack/kubernetes.sh" >/dev/null
  build_images
}

# The registry's contents are the same for every cluster.
build_images() {
  local folder=$root/build/cluster-images stamp address
  mkdir -p "$folder"
  (
    flock 8
    stamp=$(cat "$root"/hack/{images.sh,lib/trees.sh} "$root/build/tools/bin/mkimage" /bin/busybox /usr/sbin/nginx | sha256sum)
    [[ $(cat "$folder/stamp" 2>/dev/null) != "$stamp" ]] || exit 0
    rm -rf "$folder/storage" "$folder/stamp"
    address=$(start_registry --storage "$folder/storage" 8>&-)
    "$root/hack/images.sh" "http://$address" && echo "$stamp" >"$folder/stamp"
    stop_registry "$address"
  ) 8>"$folder/lock"
}

make_registry() {
  local pid
  export TMPDIR=$work/registry.d
  mkdir -p "$TMPDIR"
  if [[ -f $work/registry ]]; then
    pid=$(cat "$(registry_folder "$(cat "$work/registry")")/pid" 2>/dev/null || true)
    [[ -z $pid ]] || ! grep -qsF docker-registry "/proc/$pid/comm" || return 0
    rm -f "$work/registry"
  fi
  start_registry --storage "$root/build/cluster-images/storage" >"$work/registry" 9>&-
  unset TMPDIR
}

make_cgroups() {
  local hierarchy name
  [[ $cgroup != / ]] || return 0
  while read -r hierarchy; do
    # Where all is cgroup v2, a controller has to be handed down to be there.
    if [[ $hierarchy == /sys/fs/cgroup ]]; then
      for name in $(<"$hierarchy/cgroup.controllers"); do
        echo "+$name" >"$hierarchy/cgroup.subtree_control" || true
      done
    fi
    mkdir -p "$hierarchy$cgroup"
    if [[ -f $hierarchy/cpuset.cpus ]]; then
      for name in cpuset.cpus cpuset.mems; do cat "$hierarchy/$name" >"$hierarchy$cgroup/$name"; done
    fi
  done < <(cgroup_hierarchies)
}
cgroup_hierarchies() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/self/mounts; }

make_link() {
  ip link show "$link" >/dev/null 2>&1 || ip link add "$link" type bridge
  ip address replace "$node_ip/32" dev "$link"
  ip link set "$link" up
}

up() {
  [[ $EUID == 0 ]] || fail "not root"
  build
  mkdir -p "$work"
  chmod 755 "$work"
  exec 9>"$work/lock"
  flock 9
  echo "$id" >"$work/id"
  make_link
  make_cgroups
  make_certificates
  kubeconfig admin "$work/admin.kubeconfig"
  kubeconfig controller-manager "$work/controller-manager.kubeconfig"
  kubeconfig scheduler "$work/scheduler.kubeconfig"
  kubeconfig kubelet "$work/kubelet.kubeconfig"
  kubeconfig proxy "$work/proxy.kubeconfig"
  start_namespace
  make_registry
  write_crispd_config
  write_kubelet_config
  write_services_config
  local name
  for name in "${components[@]}"; do
    if ! pid_of "$name" >/dev/null; then
      say "starting $name"
      "start_$name"
    fi
  done
  kubectl wait --for=create "node/$node" --timeout=$((120 * factor))s >/dev/null
  kubectl wait --for=condition=Ready "node/$node" --timeout=$((120 * factor))s >/dev/null
  kubectl wait --for=create serviceaccount/default --timeout=$((120 * factor))s >/dev/null
}

# Kills what is in the cluster's cgroups and removes them, the innermost first.
remove_cgroups() {
  local hierarchy folder
  [[ $cgroup != / ]] || return 0
  for _ in {1..100}; do
    local left=0
    while read -r hierarchy; do
      [[ -d $hierarchy$cgroup ]] || continue
      while read -r folder; do
        xargs -r kill -KILL <"$folder/cgroup.procs" 2>/dev/null || true
        rmdir "$folder" 2>/dev/null || left=1
      done < <(find "$hierarchy$cgroup" -depth -type d)
    done < <(cgroup_hierarchies)
    [[ $left != 0 ]] || return 0
    sleep 0.05
  done
  say "some of the cgroups $cgroup cannot be removed" >&2
  return 1
}

down() {
  local status=0 name folder
  [[ -d $work ]] || return 0
  exec 9>"$work/lock"
  flock 9
  for name in coredns kube-proxy kubelet crispd; do end $name; done
  if [[ -f $work/crispd.yaml ]] && pid_of namespace >/dev/null; then
    nsenter --mount="/proc/$(pid_of namespace)/ns/mnt" "$crisp_bin/crispd" --config "$work/crispd.yaml" reset \
      >>"$work/logs/crispd.log" 2>&1 || { say "crispd reset failed: $(tail -1 "$work/logs/crispd.log")" >&2; status=1; }
  fi
  for name in kube-scheduler kube-controller-manager kube-apiserver etcd; do end $name; done
  if [[ -f $work/registry ]]; then TMPDIR=$work/registry.d stop_registry "$(cat "$work/registry")"; fi
  end namespace KILL
  remove_cgroups || status=1
  ip link delete "$link" 2>/dev/null || true
  if [[ -f $work/made-folders ]]; then
    while read -r folder; do rmdir -p --ignore-fail-on-non-empty "$folder" 2>/dev/null || true; done <"$work/made-folders"
  fi
  if [[ $status == 0 ]]; then rm -rf --one-file-system "$work"; fi
  return $status
}

# in_machine [--driver DRIVER] COMMAND...: a machine has neither compilers nor a network.
in_machine() {
  local driver=systemd
  if [[ ${1:-} == --driver ]]; then driver=$2; shift 2; fi
  [[ $# -gt 0 ]] || fail "--vm: no command"
  "$root/hack/deps.sh" vm
  build
  install "$(command -v etcd)" "$kube_bin/etcd"
  CRISP_VM_WITH='build/tools/kubernetes/bin build/cluster-images' \
    "$root/hack/vm.sh" run --driver "$driver" --timeout "${CRISP_CLUSTER_VM_TIMEOUT:-3600}" \
    --keep "$root/build/cluster-vm-$driver" -- "$@"
}

status() {
  local name pid
  for name in "${components[@]}"; do
    pid=$(pid_of "$name") && printf '%-24s running, pid %s\n' "$name" "$pid" || printf '%-24s not running\n' "$name"
  done
  if pid_of kube-apiserver >/dev/null; then kubectl get nodes -o wide && kubectl get pods -A -o wide; fi
}

case ${1:-} in
  up)
    up
    cat <<TEXT
cluster: up. Next:
  export KUBECONFIG=$work/admin.kubeconfig PATH=$kube_bin:\$PATH
  kubectl get nodes -o wide
  kubectl run web --image=nginx && kubectl wait --for=condition=Ready pod/web
  kubectl port-forward pod/web 8080:80
  hack/cluster.sh down
TEXT
    ;;
  build) build ;; # what a later `up` needs, and no network any more
  down) down ;;
  status) status ;;
  kubectl) shift; kubectl "$@" ;;
  --vm)
    shift
    driver=()
    if [[ ${1:-} == --driver ]]; then driver=("$1" "$2"); shift 2; fi
    # shellcheck disable=SC2016
    in_machine "${driver[@]}" bash -c '
      export KUBECONFIG=$1/admin.kubeconfig PATH=$2:$PATH
      "$0" up && "${@:3}"
      status=$?
      "$0" down && exit $status' "$0" "$work" "$kube_bin" "$@"
    ;;
  prepared-vm) shift; in_machine "$@" ;; # of test/e2e/cluster/run.sh
  start) shift; for name; do pid_of "$name" >/dev/null || "start_$name"; done ;;
  stop) shift; for name; do end "$name"; done ;;
  kill) shift; for name; do end "$name" KILL; done ;;
  *) sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2 ;;
esac
