#!/bin/bash
# What the scripts of hack/ have in common, where a fault would hurt other runs beside one's own.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. hack/lib/cgroups.sh
. hack/lib/mount_points.sh
. hack/lib/stamps.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-scripts.XXXXXXXX")
mount_points_list=$work/list
cgroup=/crisp-scripts-${work##*.}
other=
trap '[[ -z $other ]] || kill "$other"; remove_cgroups "$cgroup"; rm -rf "$work"' EXIT
failed=0
fail() { echo "FAILED: $*"; failed=1; }

echo "- a folder that another run has mounted over outlives the run that made it"
hold_mount_points "$work/lib/kubelet"
# The other run, as hack/cluster.sh has its mount namespace: a process that inherits the descriptor.
(
  hold_mount_points "$work/lib/kubelet"
  exec unshare --mount --propagation private bash -c '
    mount -t tmpfs other "$1" && : >"$1/of the other" && : >"$2" && exec sleep infinity' \
    _ "$work/lib/kubelet" "$work/mounted"
) &
other=$!
for _ in {1..600}; do [[ ! -e $work/mounted ]] || break; sleep 0.05; done
drop_mount_points
[[ -d $work/lib/kubelet ]] || fail "it was removed"
[[ -e /proc/$other/root$work/lib/kubelet/of\ the\ other ]] || fail "the other's mount was taken away"

echo "- and goes with the last of them, as do the folders above that were made for it"
kill "$other"
wait "$other"
other=
drop_mount_points
[[ ! -e $work/lib ]] || fail "it is still there"
[[ ! -s $mount_points_list ]] || fail "it is still listed"

echo "- a folder that was there before, or is in use, stays"
mkdir "$work/before"
hold_mount_points "$work/before" "$work/used"
touch "$work/used/file"
drop_mount_points
[[ -d $work/before ]] || fail "one that was there is gone"
[[ -e $work/used/file ]] || fail "one that is in use is gone"

echo "- cgroups are removed with what runs in them, and nothing else is killed"
make_cgroups "$cgroup"
sleep infinity & inside=$!
sleep infinity & outside=$!
while read -r hierarchy; do
  make_cgroup "$hierarchy$cgroup/below"
  echo "$inside" >"$hierarchy$cgroup/below/cgroup.procs"
done < <(cgroup_hierarchies)
remove_cgroups "$cgroup" || fail "they are not removed"
wait "$inside" 2>/dev/null
[[ $? == 137 ]] || fail "what ran in them was not killed"
kill "$outside" || fail "what ran beside them was killed"
wait "$outside"

echo "- a thing is made once for each stamp, and again after a failure"
made() { echo made >>"$work/count"; }
make_once "$work/thing" one made
make_once "$work/thing" one made
if bash -ec '. hack/lib/stamps.sh; make_once "$1" two false' _ "$work/thing"; then fail "a failure was taken for success"; fi
make_once "$work/thing" two made
[[ $(wc -l <"$work/count") == 2 ]] || fail "it was made $(wc -l <"$work/count") times, not 2"
exit $failed
