#!/bin/bash
# crispd as it is looked at: what it may do itself, and what `crictl inspectp`, `inspect`, `info` show.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. hack/lib/daemon.sh
. hack/lib/image.sh
TMPDIR=$(mktemp -d)
export TMPDIR
failed=0
finish() {
  local status=$?
  stop_daemon || failed=1
  rm -rf --one-file-system "$TMPDIR"
  exit $((failed || status))
}
trap finish EXIT
fail() { echo "FAILED: $*"; failed=1; }

start_daemon || exit 1
echo "- no core dump, no needless capability; what it starts has its own"
mask=$((16#$(grep CapPrm "/proc/$CRISP_PID/status" | cut -f2)))
(((mask >> 16 & 1) == 0 && (mask >> 22 & 1) == 0)) || fail "crispd may load modules or reboot"
shim=$(pgrep -P "$CRISP_PID" -f -- --broker | head -1)
[[ $(grep CapEff "/proc/$shim/status") == $(grep CapEff /proc/self/status) ]] || fail "the broker lacks capabilities"
[[ $(grep core "/proc/$shim/limits") == $(grep core /proc/self/limits) ]] || fail "the limit of cores has changed"

echo "- what inspectp, inspect and info show"
make_busybox_tar "$TMPDIR/busybox.tar" crisp.test/busybox:latest
build/bin/crisp --address "unix://$CRISP_SOCKET" images import "$TMPDIR/busybox.tar" >/dev/null || exit 1
jq -n --arg g "/crisp-daemon-$$" --arg l "$TMPDIR/logs" '{metadata: {name: "p", namespace: "n", uid: "u"}, log_directory: $l, labels: {a: "b"}, linux: {cgroup_parent: $g}}' >"$TMPDIR/pod.json"
jq -n '{metadata: {name: "c"}, image: {image: "crisp.test/busybox:latest"}, command: ["sleep", "600"], envs: [{key: "K", value: "V"}], log_path: "c.log"}' >"$TMPDIR/c.json"
pod=$(crictl runp "$TMPDIR/pod.json") || fail runp
container=$(crictl create "$pod" "$TMPDIR/c.json" "$TMPDIR/pod.json") || fail create
path=$(crictl inspectp -o json "$pod" | jq -r '.info.runtimeSpec.linux.namespaces[] | select(.type == "network").path')
[[ $(readlink "$path") == net:* ]] || fail "the network namespace's path is '$path'"
[[ $(crictl inspectp -o json "$pod" | jq -r .info.config.labels.a) == b ]] || fail "inspectp has no config"
[[ $(crictl inspect -o json "$container" | jq -r '.info.config.envs[0].key') == K ]] || fail "inspect has no config"
[[ -n $(crictl info | jq -r '.config.sandboxImage // empty') ]] || fail "info names no sandbox image"

echo "- the log tells a pod's life by its names and ids"
crictl start "$container" >/dev/null || fail start
crictl stop -t 0 "$container" >/dev/null || fail stop
crictl rmp -f "$pod" >/dev/null
names="pod=n/p container=c pod_id=$pod container_id=$container"
for line in "pod.ready pod=n/p pod_id=$pod" "container.created $names image=crisp.test/busybox:latest" \
    "container.started $names pid=" "container.exited $names code=137 reason=Error signal=SIGKILL ran=" \
    "container.removed $names" "pod.stopped pod=n/p pod_id=$pod" "pod.removed pod=n/p pod_id=$pod"; do
  grep -qF " info $line" "$CRISP_DIR/crispd.log" || fail "no line '$line'"
done

echo "- a reload takes what it can, names the rest, and refuses what crispd would not start with"
# logged PATTERN: waits for a line.
logged() { for _ in {1..100}; do grep -q -- "$1" "$CRISP_DIR/crispd.log" && return; sleep 0.05; done; return 1; }
printf 'log_level: warn\nimage: {max_parallel_downloads: 2}\n' >"$CRISP_DIR/config.d/later.yaml"
kill -HUP "$CRISP_PID"
logged ' info reloaded log_level=warn needs_restart=image.max_parallel_downloads$' || fail "no reload to warn"
lines=$(wc -l <"$CRISP_DIR/crispd.log")
pod=$(crictl runp "$TMPDIR/pod.json") && crictl rmp -f "$pod" >/dev/null || fail "a pod after a reload"
[[ $(wc -l <"$CRISP_DIR/crispd.log") == "$lines" ]] || fail "at warn: $(tail -n 1 "$CRISP_DIR/crispd.log")"
echo 'log_level: loud' >"$CRISP_DIR/config.d/later.yaml"
kill -HUP "$CRISP_PID"
logged 'reload.refused .*later.yaml:1: log_level' || fail "a configuration that is none was not refused"
echo 'log_level: info' >"$CRISP_DIR/config.d/later.yaml"
kill -HUP "$CRISP_PID"
logged ' info reloaded log_level=info needs_restart=""$' || fail "no reload to info"

[[ $failed == 0 ]] && echo passed
