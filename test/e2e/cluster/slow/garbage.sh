#!/bin/bash
# What the kubelet does when space runs out: it evicts pods that take more than they may have, and, when
# the disk is nearly full, those that take most, and removes images that nothing uses.
. "$(dirname "$0")/../lib.sh"

trap 'unconfigure; rm -rf "$scratch"' EXIT

{
  sleeper used crisp.test/test/busybox:zstd '[sleep, "1000"]' ''
  sleeper unused crisp.test/test/files:1 '[sleep, "1000"]' ''
} | apply
ready used && ready unused
kubectl delete pod unused --wait >/dev/null
has_image crisp.test/test/files:1 >/dev/null || fail "the unused image went with its pod"

echo "- a pod that writes more than its limit into its root is evicted"
sleeper greedy "$busybox" '[sh, -c, "dd if=/dev/zero of=/big bs=1M count=64; sleep 1000"]' ', resources: {limits: {ephemeral-storage: 16Mi}}' | apply
becomes 120 pod/greedy '.status | "\(.phase) \(.reason)"' "Failed Evicted"
matches "message" "$(field pod/greedy .status.message)" 'ephemeral'

echo "- so is one that fills the disk, and the node says so until it is free again"
available=$(df --output=avail -B1M "$CRISP_CLUSTER_DIR" | tail -1)
configure <<YAML
evictionHard: {nodefs.available: "$((available - 4096))Mi", memory.available: 100Mi}
evictionPressureTransitionPeriod: 5s
imageMinimumGCAge: 1s
YAML
sleeper filler "$busybox" '[sh, -c, "fallocate -l 7000000000 /big; exec sleep 1000"]' '' | apply
becomes 180 pod/filler '.status | "\(.phase) \(.reason)"' "Failed Evicted"
pressure='.status.conditions[] | select(.type == "DiskPressure") | .status'
inside used true || fail "the pod that uses little was evicted as well"
echo "- images that nothing uses go, those in use stay"
eventually 60 lacks_image crisp.test/test/files:1 || fail "the unused image is there: $(crictl images)"
has_image crisp.test/test/busybox:zstd >/dev/null || fail "the image in use is gone"
kubectl delete pod filler --wait >/dev/null
becomes 120 node/crisp "$pressure" False
free() { [[ $(df --output=avail -B1M "$CRISP_CLUSTER_DIR" | tail -1) -gt $((available - 2048)) ]]; }
eventually 60 free || fail "the space is not free again"
finish
