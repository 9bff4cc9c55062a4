#!/bin/bash
# A pod that an operator runs over the operator's socket lives beside the kubelet, which removes every pod that it
# knows to be none of its own: through its rounds of housekeeping, its syncs and its collections of containers.
. "$(dirname "$0")/lib.sh"
pod='' gone=''
trap 'operator rmp -f $pod $gone >/dev/null 2>&1' EXIT

echo "- a pod of the kubelet's and one of the operator's"
sleeper theirs "$busybox" '[sleep, "1000"]' '' | apply
ready theirs
pod=$(operator_pod mine "" sh -c 'while :; do echo tick; sleep 1; done') || fail "no pod runs over the operator's socket"
operators_lives "$pod" "its start"
theirs=$(crictl pods -q --no-trunc --label "io.kubernetes.pod.namespace=$theme" --label io.kubernetes.pod.name=theirs)
listed operator "$theirs" || fail "the operator's socket lacks the kubelet's pod"

echo "- its image is told to the kubelet as pinned, and not to the operator"
pinned() { "$1" images -o json | jq --arg n "$busybox" '.images[] | select(.repoTags[]? == $n) | .pinned == true'; }
same "pinned, for the kubelet" "$(pinned crictl)" true
same "pinned, for the operator" "$(pinned operator)" false

echo "- it lives through more than two minutes of the kubelet's rounds"
# Housekeeping is every 2 s, a sync every 5 s, a collection of containers every minute.
for _ in {1..13}; do
  sleep 10
  operators_lives "$pod" "some rounds"
  [[ $failed == 0 ]] || break
done
ready theirs

echo "- one that goes with its container goes beside the kubelet, too"
gone=$(operator_pod gone io.crisp.remove-on-exit sh -c 'exit 3') || fail "no pod runs over the operator's socket"
is_gone() { ! listed operator "$gone"; }
eventually 30 is_gone || fail "the pod has not gone with its container"

echo "- the operator removes it"
operator rmp -f "$pod" >/dev/null || fail "rmp"
! listed operator "$pod" || fail "it is still listed"
trap - EXIT
finish
