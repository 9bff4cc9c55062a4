#!/bin/bash
# What the kubelet does by thresholds: it removes unused images when the disk is fuller than it should be,
# and evicts the pod that takes most memory when the node runs short of it.
. "$(dirname "$0")/../lib.sh"
trap 'unconfigure; rm -rf "$scratch"' EXIT
summary() { kubectl get --raw /api/v1/nodes/crisp/proxy/stats/summary | jq "$1"; }

{
  sleeper used crisp.test/test/busybox:zstd '[sleep, "10000"]' ', resources: {requests: {memory: 64Mi}}'
  sleeper unused crisp.test/test/files:1 '[sleep, "1000"]' ''
} | apply
ready used && ready unused
kubectl delete pod unused --wait >/dev/null

echo "- memory: the node is under pressure, and who takes most has to go"
# What the node has now less 2 GiB is the threshold, and twice that is taken.
available=$(($(summary .node.memory.availableBytes) >> 20))
echo "  available: $available MiB"
[[ $available -gt 8192 ]] || fail "there is too little memory for this test"
configure <<YAML
evictionHard: {memory.available: "$((available - 2048))Mi", nodefs.available: 1%}
evictionPressureTransitionPeriod: 10s
YAML
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: eater}
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  volumes: [{name: memory, emptyDir: {medium: Memory}}]
  containers:
  - {name: c, image: $busybox, command: [sh, -c, "dd if=/dev/zero of=/memory/x bs=1M count=4096; exec sleep 1000"], volumeMounts: [{name: memory, mountPath: /memory}]}
YAML
becomes 180 pod/eater '.status | "\(.phase) \(.reason)"' "Failed Evicted"
matches "message" "$(field pod/eater .status.message)" 'low on resource: memory'
pressure='.status.conditions[] | select(.type == "MemoryPressure") | .status'
inside used true || fail "the pod that uses little was evicted as well"
becomes 120 node/crisp "$pressure" False

echo "- images: a disk that is fuller than the threshold loses those that nothing uses"
# capacity and what is left as the kubelet reckons them, of the file system of crisp's images.
full=$(summary '.node.runtime.imageFs | 100 - (.availableBytes * 100 / .capacityBytes | floor)')
echo "  full: $full %"
[[ $full -gt 3 ]] || fail "the disk is too empty for this test"
has_image crisp.test/test/files:1 >/dev/null || fail "the unused image is gone already"
configure <<YAML
imageGCHighThresholdPercent: $((full - 1))
imageGCLowThresholdPercent: $((full - 2))
imageMinimumGCAge: 1s
YAML
# It looks every five minutes.
eventually 400 lacks_image crisp.test/test/files:1 || fail "the unused image is there: $(crictl images)"
has_image crisp.test/test/busybox:zstd >/dev/null || fail "the image in use is gone"
inside used true || fail "the pod whose image was in use"
events=$(kubectl get events -A -o json | jq -r '.items[] | select(.reason | test("ImageGC")) | .message')
[[ -z $events ]] || echo "  $events"
finish
