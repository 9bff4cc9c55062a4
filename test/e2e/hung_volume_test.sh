#!/bin/bash
# A volume, a log directory and a device path whose file system answers nobody: the request fails in time
# and names the path, nothing of crispd hangs there, and crispd can be ended and started beside it.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. hack/lib/daemon.sh
. hack/lib/image.sh
TMPDIR=$(mktemp -d)
export TMPDIR
failed=0 hung=
finish() {
  local status=$?
  [[ -z $hung ]] || { kill "$hung"; wait "$hung"; }
  stop_daemon || failed=1
  rm -rf --one-file-system "$TMPDIR"
  exit $((failed || status))
}
trap finish EXIT
fail() { echo "FAILED: $*"; failed=1; }

start_daemon "" || exit 1
kill "$CRISP_PID"; wait "$CRISP_PID"
mkdir -p "$CRISP_DIR/config.d"
echo 'runtime: {path_timeout: 2s}' >"$CRISP_DIR/config.d/paths.yaml"
launch_daemon || exit 1
make_busybox_tar "$TMPDIR/busybox.tar" crisp.test/busybox:latest
build/bin/crisp --address "unix://$CRISP_SOCKET" images import "$TMPDIR/busybox.tar" >/dev/null || exit 1

mkdir "$TMPDIR/dead"
exec {ready}< <(exec build/e2e/hung_fs "$TMPDIR/dead")
hung=$!
read -r -t 10 -u "$ready" || { echo "no hung file system"; exit 1; }
pod_json() { # NAME LOGS
  jq -n --arg n "$1" --arg l "$2" --arg g "/crisp-hung-$$" \
    '{metadata: {name: $n, namespace: "hung", uid: $n}, log_directory: $l, linux: {cgroup_parent: $g}}'
}
container_json() { # NAME EXTRA
  jq -n --arg n "$1" --argjson x "$2" '{metadata: {name: $n}, image: {image: "crisp.test/busybox:latest"},
    command: ["sleep", "600"], log_path: ($n + ".log")} * $x'
}
pod_json web "$TMPDIR/logs" >"$TMPDIR/pod.json"
pod=$(crictl runp "$TMPDIR/pod.json") || exit 1
refused() { # WHAT PATH COMMAND...: fails with DEADLINE_EXCEEDED and the path, within ten seconds
  local what=$1 path=$2 begin=$SECONDS output
  shift 2
  if output=$("$@" 2>&1); then fail "$what was accepted"; return; fi
  ((SECONDS - begin < 12)) || fail "$what took $((SECONDS - begin)) s"
  grep -q "DeadlineExceeded" <<<"$output" && grep -qF "$path" <<<"$output" || fail "$what: $output"
}
nothing_hangs() {
  local state
  for state in /proc/"$CRISP_PID"/task/*/stat; do
    [[ $(sed 's/.*) //' "$state" | cut -d' ' -f1) != D ]] || fail "a thread of crispd hangs"
  done
}

echo "- as a volume, twice, as a seccomp file, as a log directory, as a device"
for i in 1 2; do
  container_json "v$i" '{"mounts": [{"host_path": "'"$TMPDIR"'/dead/volume", "container_path": "/v"}]}' >"$TMPDIR/c.json"
  refused "volume $i" "$TMPDIR/dead/volume" crictl create "$pod" "$TMPDIR/c.json" "$TMPDIR/pod.json"
done
container_json s '{"linux": {"security_context": {"seccomp": {"profile_type": 2, "localhost_ref": "'"$TMPDIR"'/dead/s.json"}}}}' >"$TMPDIR/c.json"
refused seccomp "$TMPDIR/dead/s.json" crictl create "$pod" "$TMPDIR/c.json" "$TMPDIR/pod.json"
container_json d '{"devices": [{"host_path": "'"$TMPDIR"'/dead/d", "container_path": "/dev/d", "permissions": "rwm"}]}' >"$TMPDIR/c.json"
refused device "$TMPDIR/dead/d" crictl create "$pod" "$TMPDIR/c.json" "$TMPDIR/pod.json"
pod_json logs "$TMPDIR/dead/logs" >"$TMPDIR/logs.json"
refused "log directory" "$TMPDIR/dead/logs" crictl runp "$TMPDIR/logs.json"
nothing_hangs

echo "- others' containers run"
container_json fine '{}' >"$TMPDIR/c.json"
fine=$(crictl create "$pod" "$TMPDIR/c.json" "$TMPDIR/pod.json") || fail "another container cannot be made"
crictl start "$fine" >/dev/null || fail "another container cannot be started"

for signal in TERM KILL; do
  echo "- crispd ends by SIG$signal and starts again"
  begin=$SECONDS
  kill -"$signal" "$CRISP_PID"; wait "$CRISP_PID" 2>/dev/null
  launch_daemon || fail "no start beside what hangs"
  ((SECONDS - begin < 10)) || fail "it took $((SECONDS - begin)) s"
  [[ $(crictl exec "$fine" echo here) == here ]] || fail "the container is not there any more"
done

echo "- what answers again is used again"
kill "$hung"; wait "$hung"; hung=
container_json again '{"mounts": [{"host_path": "'"$TMPDIR"'/dead/volume", "container_path": "/v"}]}' >"$TMPDIR/c.json"
crictl create "$pod" "$TMPDIR/c.json" "$TMPDIR/pod.json" >/dev/null || fail "the volume is there and is not taken"
[[ $failed == 0 ]] && echo passed
