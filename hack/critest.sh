#!/bin/bash
# hack/critest.sh [critest's arguments...]: runs Kubernetes' own CRI validation against a crispd of
# its own, with the images of hack/critest-images.sh; hack/critest-skips.txt says what is left out
# and why. For example: hack/critest.sh -ginkgo.focus='port mapping'
#
# hack/critest.sh --all [arguments...]: four times, each with a crispd of its own: streams over SPDY and
# over WebSocket, one spec after the other and several at once.
#
# hack/critest.sh --vm [--driver cgroupfs|systemd] [--lsm apparmor|selinux|permissive] [--all]
# [arguments...]: the same in a machine with cgroup v2, systemd and AppArmor or SELinux (hack/vm.sh),
# once with each cgroup driver, or with the one that is named.
#
# CRITEST_ENDPOINT=unix://... tests a runtime that is already up instead; it must find the images
# through the certs.d folder that CRITEST_CERTS names, which is filled before the run.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
source "$root/hack/lib/registry.sh"
source "$root/hack/lib/daemon.sh"
source "$root/hack/lib/usage.sh"
answer_help "$@"
bin=$("$root/hack/tools.sh")
storage=$("$root/hack/critest-images.sh")

websocket=(-websocket-exec -websocket-attach -websocket-portforward)

# summarize STATUS LOG LABEL: that run's "critest: N passed, ..." line, or that there is none.
summarize() {
  local line
  line=$(grep -E '(^|: )critest: [0-9]+ passed' "$2" | sed "s/^/$3: /") || line="$3: critest did not end"
  printf '%s\n' "$line" >>"$work/summary"
  return "$1"
}

run_in_machine() {
  local drivers=(cgroupfs systemd) lsm=apparmor driver log status=0 one
  while [[ ${1:-} == --driver || ${1:-} == --lsm ]]; do
    if [[ $1 == --driver ]]; then drivers=("$2"); else lsm=$2; fi
    shift 2
  done
  for driver in "${drivers[@]}"; do
    echo "=== cgroup driver $driver, $lsm"
    log=$root/build/critest-vm-$driver-$lsm.log one=0
    # What is here is done for the machine: it has neither Go nor a compiler.
    "$root/hack/vm.sh" run --driver "$driver" --lsm "$lsm" --timeout "${CRITEST_TIMEOUT:-3600}" \
      --keep "$root/build/critest-vm-$driver-$lsm" -- hack/critest.sh "$@" 2>&1 | tee "$log" || one=1
    summarize $one "$log" "$driver, $lsm" || status=1
  done
  return $status
}

run_all() {
  local status=0 one label processes protocol
  for label in 'SPDY' 'WebSocket' 'SPDY, 3 processes' 'WebSocket, 3 processes'; do
    protocol=() processes=() one=0
    [[ $label != WebSocket* ]] || protocol=("${websocket[@]}")
    [[ $label != *processes ]] || processes=(-parallel 3)
    echo "=== $label"
    "$0" "${processes[@]}" "${protocol[@]}" "$@" 2>&1 | tee "$work/run" || one=1
    summarize $one "$work/run" "$label" || status=1
  done
  return $status
}

if [[ ${1:-} == --vm || ${1:-} == --all ]]; then
  work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-critest.XXXXXXXX")
  trap 'rm -rf "$work"' EXIT
  mode=$1 status=0
  shift
  if [[ $mode == --vm ]]; then run_in_machine "$@" || status=1; else run_all "$@" || status=1; fi
  echo "=== all runs"
  cat "$work/summary"
  exit "$status"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-critest.XXXXXXXX")
certs=${CRITEST_CERTS:-$work/certs.d}
registry=''

clean_up() {
  local status=$?
  trap '' INT TERM
  [[ -n $registry ]] && stop_registry "$registry"
  if [[ $status != 0 && -f ${CRISP_DIR:-}/crispd.log ]]; then
    cp "$CRISP_DIR/crispd.log" "${CRISP_VM_OUT:-$root/build}/critest-crispd.log"
    echo "critest: crispd's log is in ${CRISP_VM_OUT:-build}/critest-crispd.log"
  fi
  stop_daemon || status=1
  rm -rf "$work"
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

registry=$(start_registry --storage "$storage")
mirror_registry "$registry" "$certs" registry.k8s.io k8s.gcr.io gcr.io

endpoint=${CRITEST_ENDPOINT:-}
if [[ -z $endpoint ]]; then
  start_daemon "image: {registry_config_dirs: [$certs]}"
  endpoint=unix://$CRISP_SOCKET
fi

skips=()
while read -r line; do
  [[ $line == '#'* || -z $line ]] || skips+=("-ginkgo.skip=${line%% # *}")
done <"$root/hack/critest-skips.txt"

# critest mounts directories of its own into containers and asks for no labels: as a node's policy does
# for what it shares with them, where there is SELinux.
mkdir "$work/host"
[[ ! -e /sys/fs/selinux/enforce ]] || chcon -t container_file_t -l s0 "$work/host"

cd "$work" # where critest leaves its files
status=0
# Parallel runs call ginkgo; both make temporary files that nobody would remove.
PATH=$bin:$PATH TMPDIR=$work/host "$bin/critest" -runtime-endpoint "$endpoint" -ginkgo.no-color "${skips[@]}" "$@" \
  2>&1 | tee "$work/log" || status=1

# With -parallel every process says something; the last summary is the sum.
count() { grep -oE "[0-9]+ $1" "$work/log" | tail -1 | cut -d' ' -f1; }
grep -E '^\s*\[(FAIL|PANICKED|TIMEDOUT)\]' "$work/log" | sort -u || true
if passed=$(count Passed); then
  echo "critest: $passed passed, $(count Failed) failed, $(count Skipped) skipped"
fi # With -benchmark there is no such summary.
exit $status
