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
. "$root/hack/lib/cgroups.sh"
. "$root/hack/lib/mount_points.sh"
. "$root/hack/lib/processes.sh"
. "$root/hack/lib/registry.sh"
. "$root/hack/lib/stamps.sh"
. "$root/hack/lib/usage.sh"
. "$root/hack/cluster/build.sh"
. "$root/hack/cluster/components.sh"
. "$root/hack/cluster/config.sh"
. "$root/hack/cluster/processes.sh"
answer_help "$@"

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
  [[ $cgroup == / ]] || make_cgroups "$cgroup"
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

down() {
  local status=0 name
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
  remove_cgroups "$cgroup" || status=1
  ip link delete "$link" 2>/dev/null || true
  drop_mount_points
  if [[ $status == 0 ]]; then rm -rf --one-file-system "$work"; fi
  return $status
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
  prepared-vm) shift; in_machine "$@" ;; # COMMAND starts and ends the cluster itself
  start) shift; for name; do pid_of "$name" >/dev/null || "start_$name"; done ;;
  stop) shift; for name; do end "$name"; done ;;
  kill) shift; for name; do end "$name" KILL; done ;;
  *) bad_usage ;;
esac
