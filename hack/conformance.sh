#!/bin/bash
# hack/conformance.sh [--all|--serial] [--focus REGEX] [ginkgo's options...]: runs Kubernetes' own conformance
# tests, unchanged, against a cluster of hack/cluster.sh with services, and the images of hack/node-images.sh.
#
#   (none)          the volumes of the default node: EmptyDir and Subpath; some two minutes
#   --focus REGEX   those whose names match
#   --all           all that one node can run side by side; half an hour or more
#   --serial        those that want the cluster for themselves, one after the other
#
# The cluster runs in namespaces of its own for network, processes and mounts, below CRISP_CLUSTER_DIR
# (/var/lib/crisp-conformance), and is gone with the run. CONFORMANCE_PROCESSES says how many tests run at
# a time (8). hack/conformance-skips.txt says what is left out and why. The exit status says whether a test
# failed. Logs and the report are in build/conformance.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
logs=$root/build/conformance
. "$root/hack/lib/suites.sh"
. "$root/hack/lib/registry.sh"
. "$root/hack/lib/usage.sh"
answer_help "$@"

export CRISP_CLUSTER_SERVICES=yes CRISP_CLUSTER_DIR=${CRISP_CLUSTER_DIR:-/var/lib/crisp-conformance}

say() { echo "conformance: $*"; }

filter='Conformance && !Serial && !Disruptive' processes=${CONFORMANCE_PROCESSES:-8}
focus='(EmptyDir volumes should support|Subpath).*\[Conformance\]' options=()
parse() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      --all) focus='' ;;
      --serial) focus='' filter='Conformance && Serial && !Disruptive' processes=1 ;;
      --focus) focus=${2:?--focus: no expression}; shift ;;
      --focus=*) focus=${1#*=} ;;
      *) options+=("$1") ;;
    esac
    shift
  done
}

outside() {
  [[ $EUID == 0 ]] || { say "not root" >&2; exit 1; }
  local lock status=0
  exec {lock}>"/run/lock/crisp-conformance${CRISP_CLUSTER_DIR//\//-}"
  flock -n "$lock" || { say "another run uses $CRISP_CLUSTER_DIR" >&2; exit 1; }
  "$root/hack/cluster.sh" build
  "$root/hack/kubernetes.sh" conformance >/dev/null
  "$root/hack/node-images.sh" >/dev/null
  rm -rf "$logs"
  mkdir -p "$logs"
  unshare --mount --net --pid --fork --kill-child --mount-proc "$0" --inside "$@" || status=$?
  summarize || status=1
  return $status
}

inside() {
  local kubernetes=$root/build/tools/kubernetes/bin registry status=0
  work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-conformance.XXXXXXXX")
  # What a run that was killed has left: no process.
  rm -rf "$CRISP_CLUSTER_DIR/pids"
  "$root/hack/cluster.sh" down
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  make_network
  export TMPDIR=$work
  registry=$(start_registry --storage "$root/build/node-images/storage")
  mirror_registry "$registry" "$CRISP_CLUSTER_DIR/certs.d" registry.k8s.io
  "$root/hack/cluster.sh" up >/dev/null
  read_skips "$root/hack/conformance-skips.txt"
  [[ -z $focus ]] || skips+=("--focus=$focus")
  cd "$work"
  "$root/build/tools/bin/ginkgo" --procs="$processes" --no-color --timeout=4h --label-filter="$filter" \
    --output-dir="$logs" --json-report=report.json "${skips[@]}" "${options[@]}" "$kubernetes/e2e.test" -- \
    --provider=skeleton --kubeconfig="$CRISP_CLUSTER_DIR/admin.kubeconfig" --kubectl-path="$kubernetes/kubectl" \
    --kubelet-root-dir="$CRISP_CLUSTER_DIR/kubelet" >"$logs/ginkgo.log" 2>&1 || status=$?
  return $status
}

# What is mounted and what runs ends with the namespaces, but for cgroups and files.
clean_up() {
  local status=$?
  trap '' INT TERM
  cd /
  mkdir -p "$logs/cluster"
  cp "$CRISP_CLUSTER_DIR"/logs/*.log "$logs/cluster/" 2>/dev/null || true
  "$root/hack/cluster.sh" down || status=1
  rm -rf --one-file-system "$work"
  exit $status
}

if [[ ${1:-} == --inside ]]; then
  shift
  parse "$@"
  inside
  exit
fi
parse "$@" # so that a wrong option is known before anything is built
outside "$@"
