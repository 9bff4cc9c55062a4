#!/bin/bash
# test/e2e/cluster/run.sh [--all] [--evented] [--keep] [--vm DRIVER] [NAME...]: runs the tests beside it, or
# those named, with kubectl against a Kubernetes of their own that hack/cluster.sh starts. At the end
# everything is removed, and that nothing is left of any pod is checked. Each test's output is in
# build/test-logs/cluster/NAME.log, or in build/cluster-vm-DRIVER.
#
#   --all      also those of slow/
#   --evented  the kubelet learns of pods by crisp's events and asks crisp for what they use
#   --keep     leaves the cluster up
#   --vm       all of it in a machine with cgroup v2 and systemd, with that cgroup driver
set -uo pipefail
here=$(readlink -f "$(dirname "$0")")
root=$(readlink -f "$here/../../..")
. "$root/hack/lib/usage.sh"
answer_help "$@"
logs=${CRISP_VM_OUT:-$root/build/test-logs}/cluster
# Beside one another, and then by themselves.
together=(workloads probes failures volumes security network images streaming lifecycle logs operator)
alone=(restarts)
slow=()
keep=
evented=
while [[ ${1:-} == --* ]]; do
  case $1 in
    --all) mapfile -t slow < <(cd "$here" && printf '%s\n' slow/*.sh | sed 's/\.sh$//') ;;
    --keep) keep=1 ;;
    --evented) evented=1 ;;
    --vm)
      driver=$2
      shift 2
      exec "$root/hack/cluster.sh" prepared-vm --driver "$driver" "$here/run.sh" "$@"
      ;;
    *) bad_usage "$1?" ;;
  esac
  shift
done
if [[ $# -gt 0 ]]; then together=() alone=("$@") slow=(); fi

# This tree's, so that a run finds what is left of the last and no other's.
export CRISP_CLUSTER_DIR=${CRISP_CLUSTER_DIR:-/var/tmp/crisp-cluster-test-$(printf %s "$root" | cksum | cut -d' ' -f1)}
failures=()
clean_up() {
  trap '' INT TERM
  [[ -z $keep ]] || exit "$1"
  cp "$CRISP_CLUSTER_DIR"/logs/*.log "$logs/" 2>/dev/null
  "$root/hack/cluster.sh" down || exit 1
  exit "$1"
}

run() {
  local name=$1 started=$SECONDS
  if timeout "$((${2:-400} * ${CRISP_TEST_TIME_FACTOR:-1}))" "$here/$name.sh" >"$logs/${name##*/}.log" 2>&1; then
    echo "$name: passed in $((SECONDS - started)) s"
  else
    echo "--- $name: FAILED in $((SECONDS - started)) s"
    sed 's/^/    /' "$logs/${name##*/}.log"
    touch "$logs/${name##*/}.failed"
  fi
}

[[ -n $keep ]] || "$root/hack/cluster.sh" down || exit 1 # a run that was cut off
rm -rf "$logs"
mkdir -p "$logs" "$CRISP_CLUSTER_DIR/kubelet.conf.d"
trap 'clean_up 130' INT TERM
cat >"$CRISP_CLUSTER_DIR/kubelet.conf.d/test.conf" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
syncFrequency: 5s
clusterDNS: [192.0.2.10]
containerLogMaxSize: 100Ki
containerLogMaxFiles: 4
containerLogMonitorInterval: 3s
YAML
[[ -z $evented ]] || cat >"$CRISP_CLUSTER_DIR/kubelet.conf.d/evented.conf" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
featureGates: {EventedPLEG: true, PodAndContainerStatsFromCRI: true}
YAML
started=$SECONDS
"$root/hack/cluster.sh" up >"$logs/up.log" 2>&1 || { cat "$logs/up.log"; clean_up 1; }
echo "up in $((SECONDS - started)) s"

# Three at a time.
for name in "${together[@]}"; do
  while [[ $(jobs -rp | wc -l) -ge 3 ]]; do wait -n; done
  run "$name" &
done
wait
[[ -z $evented ]] || run evented
for name in "${alone[@]}"; do run "$name"; done
for name in "${slow[@]}"; do run "$name" 1200; done

# What the kubelet asked to be removed is gone: pods, their cgroups, their mounts, their links.
left=$("$here/left.sh") || { echo "--- left behind: $left"; touch "$logs/left.failed"; }
failures=("$logs"/*.failed)
[[ -e ${failures[0]} ]] || failures=()
if [[ ${#failures[@]} == 0 ]]; then echo "all passed"; clean_up 0; fi
clean_up 1
