#!/bin/bash
# hack/node-conformance.sh [--slow|--serial] [ginkgo's options...]: runs Kubernetes' own node tests, those it
# calls NodeConformance, with an unmodified kubelet on a crispd of its own, and the images of
# hack/node-images.sh. For example: hack/node-conformance.sh --focus 'Probing container'
#
#   (neither)   those that are neither slow nor serial, eight at a time: some ten minutes
#   --slow      those that wait for minutes
#   --serial    those that reconfigure or restart the kubelet, one after the other
#
# The suite wants a machine for itself: fixed ports, /var/lib/kubelet, the cgroup /. So it runs in
# namespaces of its own for mounts, network, processes and cgroups, and several runs do not meet.
# hack/node-conformance-skips.txt says what is left out and why. The exit status says whether a test
# failed. Logs and the report are in build/node-conformance.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
mode=fast processes=8 filter='!Serial && !Slow'
case ${1:-} in
  --slow) mode=slow processes=12 filter='!Serial && Slow' ;;
  --serial) mode=serial processes=1 filter=Serial ;;
esac
logs=$root/build/node-conformance/$mode
. "$root/hack/lib/cgroups.sh"
. "$root/hack/lib/mount_points.sh"
. "$root/hack/lib/suites.sh"
. "$root/hack/lib/usage.sh"
. "$root/hack/node-conformance/inside.sh"
answer_help "$@"

say() { echo "node-conformance: $*"; }

# What the suite and the kubelet write at fixed places goes elsewhere.
covered=(/var/lib/kubelet /var/log/pods /var/log/containers)

outside() {
  [[ $EUID == 0 ]] || { say "not root" >&2; exit 1; }
  "$root/hack/deps.sh" cluster
  "$root/hack/tools.sh" >/dev/null
  "$root/hack/kubernetes.sh" tests >/dev/null
  "$root/hack/node-images.sh" >/dev/null
  rm -rf "$logs"
  mkdir -p "$logs"
  work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-node.XXXXXXXX")
  cgroup=/${work##*/}
  hold_mount_points "${covered[@]}"
  trap 'trap "" INT TERM; remove_cgroups "$cgroup" || true; rm -rf --one-file-system "$work"; drop_mount_points' EXIT
  trap 'exit 130' INT TERM
  make_cgroups "$cgroup"
  (
    hand_over_mount_points # to the shell outside, which outlives what runs here
    while read -r hierarchy; do echo "$BASHPID" >"$hierarchy$cgroup/cgroup.procs"; done < <(cgroup_hierarchies)
    exec unshare --mount --net --cgroup --pid --fork --kill-child --mount-proc "$0" "--$mode" --inside "$work" "$@"
  ) &
  local status=0
  wait $! || status=$?
  summarize || status=1
  return $status
}

[[ ${1:-} != --fast && ${1:-} != "--$mode" ]] || shift
if [[ ${1:-} == --inside ]]; then
  shift
  inside "$@"
  exit
fi
outside "$@"
