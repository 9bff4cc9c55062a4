#!/bin/bash
# Graceful node shutdown: the node says that it goes down, ordinary pods end first and in their own time,
# critical ones after them. It takes a logind; elsewhere there is nothing to test.
. "$(dirname "$0")/../lib.sh"
if ! busctl --system status org.freedesktop.login1 >/dev/null 2>&1; then
  echo "skipped: the node has no logind"
  finish
fi
# What logind says before the machine goes down, or when it does not after all.
announce() { busctl --system emit /org/freedesktop/login1 org.freedesktop.login1.Manager PrepareForShutdown b "$1"; }
trap 'announce false; unconfigure; rm -rf "$scratch"' EXIT
host=$CRISP_CLUSTER_DIR/host-path/shutdown
mkdir -p "$host"

configure <<YAML
shutdownGracePeriod: $((60 * factor))s
shutdownGracePeriodCriticalPods: $((30 * factor))s
YAML
held() { busctl --system call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ListInhibitors | grep -q kubelet; }
eventually 60 held || fail "the kubelet does not hold the shutdown back"

# pod NAME "FIELDS": says when it is asked to end, and when it does.
pod() {
  cat <<YAML
---
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  terminationGracePeriodSeconds: 20
  restartPolicy: Always
  $2
  volumes: [{name: host, hostPath: {path: $host}}]
  containers:
  - name: c
    image: $busybox
    command: [sh, -c, "trap 'echo $1 asked >>/host/order; sleep 3; echo $1 ended >>/host/order; exit 0' TERM; while :; do sleep 0.1; done"]
    volumeMounts: [{name: host, mountPath: /host}]
YAML
}
{ pod ordinary ""; pod critical "priorityClassName: system-node-critical"; } | apply
ready ordinary
ready critical

announce true
echo "- the node is not ready, and says why"
why='.status.conditions[] | select(.type == "Ready") | "\(.status) \(.message)"'
said() { [[ $(field node/crisp "$why") == "False "*"shutting down"* ]]; }
eventually 60 said || fail "the node says $(field node/crisp "$why")"
echo "- pods end in their order and in their own time"
order() { tr '\n' ';' <"$host/order"; }
all_ended() { [[ $(order) == "ordinary asked;ordinary ended;critical asked;critical ended;" ]]; }
eventually 120 all_ended || fail "order: $(order)"
for name in ordinary critical; do
  becomes 60 pod/$name '.status | "\(.phase) \(.reason)"' "Failed Terminated"
  matches "message of $name" "$(field pod/$name .status.message)" "node shutdown"
done
echo "- and a shutdown that is called off leaves a node that works"
announce false
kubectl wait --for=condition=Ready node/crisp --timeout="$((60 * factor))s" >/dev/null || fail "the node is not ready again"
kubectl run after --image="$busybox" --restart=Never -- true >/dev/null
succeeded after
finish
