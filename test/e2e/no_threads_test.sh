#!/bin/bash
# Where crispd can have no more threads, requests fail with an error, and crispd is there afterwards.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. hack/lib/daemon.sh
. hack/lib/registry.sh
. hack/lib/image.sh
TMPDIR=$(mktemp -d)
export TMPDIR
failed=0 group='' registry=''
finish() {
  local status=$?
  [[ -z $group ]] || echo max >"$group/pids.max"
  stop_daemon || failed=1
  [[ -z $registry ]] || stop_registry "$registry"
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

# What gRPC gets then; without it, what is below hangs in one run of a few only.
grep -qx reserve "/proc/$CRISP_PID"/task/*/comm || fail "crispd keeps no threads for gRPC"

# Below what it has already: there is no thread to be had at all.
none() { echo 1 >"$group/pids.max"; }
plenty() { echo max >"$group/pids.max"; }
lives() { kill -0 "$CRISP_PID" 2>/dev/null || { fail "crispd has ended: $1"; tail -3 "$CRISP_DIR/crispd.log"; exit 1; }; }
import() { timeout 20 build/bin/crisp --address "unix://$CRISP_SOCKET" images import "$TMPDIR/busybox.tar"; }
pull() { CRICTL_TIMEOUT=25s timeout 30 build/tools/bin/crictl --config /dev/null --timeout 25s \
  --runtime-endpoint "unix://$CRISP_SOCKET" --image-endpoint "unix://$CRISP_SOCKET" pull "$image"; }

echo "- many requests, and no thread"
none
for i in {1..100}; do
  jq --arg n "p$i" '.metadata.name = $n | .metadata.uid = $n' "$TMPDIR/pod.json" >"$TMPDIR/pod$i.json"
  CRICTL_TIMEOUT=20s crictl runp "$TMPDIR/pod$i.json" >"$TMPDIR/out$i" 2>&1 &
  import >"$TMPDIR/import$i" 2>&1 &
done
for job in $(jobs -p); do [[ $job == "$CRISP_PID" ]] || wait "$job"; done
lives "of many requests"
for i in {1..100}; do
  grep -qi "RESOURCE_EXHAUSTED" "$TMPDIR/import$i" || fail "import $i: $(cat "$TMPDIR/import$i")"
done

echo "- and when there are threads again"
plenty
jq '.metadata.name = "after" | .metadata.uid = "after"' "$TMPDIR/pod.json" >"$TMPDIR/after.json"
crictl runp "$TMPDIR/after.json" >/dev/null || fail "no pod afterwards"
# Each on a connection of its own, and none may wait for what was lost meanwhile.
for _ in {1..20}; do import >/dev/null || fail "no import afterwards"; done

# Wherever a pull needs one more than there is, it ends and says so, and the next one is as good as ever.
registry=$(start_registry) || exit 1
hack/images.sh "http://$registry" || exit 1
image=$registry/test/web:1
for more in none 0 1 2 3 4 6 8 12; do
  echo "- a pull, and $more threads more"
  if [[ $more == none ]]; then none; else echo $(($(cat "$group/pids.current") + more)) >"$group/pids.max"; fi
  pull >"$TMPDIR/pull" 2>&1
  status=$?
  lives "of a pull"
  [[ $status != 124 ]] || fail "the pull hangs"
  [[ $more != none || $status != 0 ]] || fail "a pull without a thread"
  # What cannot be had may be a process as well, the unpacker's.
  if [[ $status != 0 ]]; then
    grep -qE "code = (ResourceExhausted|Unavailable)" "$TMPDIR/pull" || fail "the pull: $(cat "$TMPDIR/pull")"
  fi
  plenty
  pull >"$TMPDIR/pull" 2>&1 || fail "the next pull: $(cat "$TMPDIR/pull")"
  lives "of the next pull"
  crictl rmi "$image" >/dev/null || fail "the image cannot be removed"
done

echo "- crispd ends"
kill "$CRISP_PID"
for _ in {1..300}; do kill -0 "$CRISP_PID" 2>/dev/null || break; sleep 0.1; done
kill -9 "$CRISP_PID" 2>/dev/null && fail "crispd does not end within 30 s"
[[ $failed == 0 ]] && echo passed
