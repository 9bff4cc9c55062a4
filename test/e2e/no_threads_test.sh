#!/bin/bash
# Where crispd can have no more threads, requests fail with an error, and crispd is there afterwards.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. test/e2e/lib/daemon.sh
. hack/bench/image.sh
TMPDIR=$(mktemp -d)
export TMPDIR
failed=0 group=
finish() {
  local status=$?
  [[ -z $group ]] || echo max >"$group/pids.max"
  stop_daemon || failed=1
  if [[ -n $group ]]; then
    # The daemon's helpers may need a moment to end.
    for _ in {1..50}; do rmdir "$group" 2>/dev/null && break; sleep 0.1; done
  fi
  rm -rf --one-file-system "$TMPDIR"
  exit $((failed || status))
}
trap finish EXIT
fail() { echo "FAILED: $*"; failed=1; }
root=/sys/fs/cgroup
[[ -d $root/pids ]] && root=$root/pids
[[ -e $root/pids.max || -d $root ]] || { echo "skipped: no pids controller"; exit 0; }

start_daemon || exit 1
make_busybox_tar "$TMPDIR/busybox.tar" crisp.test/busybox:latest
build/bin/crisp --address "unix://$CRISP_SOCKET" images import "$TMPDIR/busybox.tar" >/dev/null || exit 1
mkdir "$root/crisp-threads-$$" && group=$root/crisp-threads-$$
echo "$CRISP_PID" >"$group/cgroup.procs" || { echo "skipped: crispd cannot be moved"; exit 0; }
jq -n --arg g "/crisp-threads-pods-$$" '{metadata: {name: "p", namespace: "n", uid: "u"}, linux: {cgroup_parent: $g}}' >"$TMPDIR/pod.json"

echo "- at the limit"
cat "$group/pids.current" >"$group/pids.max"
for i in {1..40}; do
  jq --arg n "p$i" '.metadata.name = $n | .metadata.uid = $n' "$TMPDIR/pod.json" >"$TMPDIR/pod$i.json"
  CRICTL_TIMEOUT=20s crictl runp "$TMPDIR/pod$i.json" >"$TMPDIR/out$i" 2>&1 &
  timeout 20 build/bin/crisp --address "unix://$CRISP_SOCKET" images import "$TMPDIR/busybox.tar" >"$TMPDIR/import$i" 2>&1 &
done
sleep 1
for job in $(jobs -p); do [[ $job == "$CRISP_PID" ]] || wait "$job"; done
kill -0 "$CRISP_PID" 2>/dev/null || { fail "crispd has ended"; tail -3 "$CRISP_DIR/crispd.log"; exit 1; }
grep -qi "RESOURCE_EXHAUSTED" "$TMPDIR"/import* || fail "no import was refused: $(cat "$TMPDIR"/import1)"

echo "- and when there are threads again"
echo max >"$group/pids.max"
jq '.metadata.name = "after" | .metadata.uid = "after"' "$TMPDIR/pod.json" >"$TMPDIR/after.json"
crictl runp "$TMPDIR/after.json" >/dev/null || fail "no pod afterwards"
build/bin/crisp --address "unix://$CRISP_SOCKET" images import "$TMPDIR/busybox.tar" >/dev/null || fail "no import afterwards"
[[ $failed == 0 ]] && echo passed
