#!/bin/bash
# Graceful node shutdown: the node says that it goes down, ordinary pods end first and in their own time,
# critical ones after them. logind announces it; where there is none, one of ours does.
. "$(dirname "$0")/../lib.sh"

# own_logind: a system bus with hack/tools/logind on it, for the kubelet that is started next.
own_logind() {
  export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$scratch/bus
  cat >"$scratch/bus.conf" <<XML
<busconfig>
  <type>system</type>
  <listen>$DBUS_SYSTEM_BUS_ADDRESS</listen>
  <policy context="default"><allow user="*"/><allow own="*"/><allow send_type="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>
XML
  dbus-daemon --config-file="$scratch/bus.conf" --nofork >"$scratch/bus.log" 2>&1 &
  bus=$!
  eventually 10 test -S "$scratch/bus" || { fail "no bus: $(cat "$scratch/bus.log")"; finish; }
  "$root/build/tools/bin/logind" >"$scratch/logind.log" 2>&1 &
  logind=$!
  eventually 10 grep -q ready "$scratch/logind.log" || { fail "no logind: $(cat "$scratch/logind.log")"; finish; }
}
announce() {
  if [[ -n $logind ]]; then
    kill -s "$([[ $1 == true ]] && echo USR1 || echo USR2)" "$logind"
  else
    busctl --system emit /org/freedesktop/login1 org.freedesktop.login1.Manager PrepareForShutdown b "$1"
  fi
}
held() {
  if [[ -n $logind ]]; then
    grep -q "kubelet holds shutdown" "$scratch/logind.log"
  else
    busctl --system call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ListInhibitors | grep -q kubelet
  fi
}
clean_up() {
  announce false
  unset DBUS_SYSTEM_BUS_ADDRESS
  unconfigure
  [[ -z $logind ]] || kill "$logind" "$bus"
  rm -rf "$scratch"
}
logind='' bus=''
busctl --system status org.freedesktop.login1 >/dev/null 2>&1 || own_logind
trap clean_up EXIT
host=$CRISP_CLUSTER_DIR/host-path/shutdown
mkdir -p "$host"

configure <<YAML
shutdownGracePeriod: $((60 * factor))s
shutdownGracePeriodCriticalPods: $((30 * factor))s
YAML
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
    command: [sh, -c, "trap 'echo $1 asked >>/host/order; sleep 3; echo $1 ended >>/host/order; exit 7' TERM; while :; do sleep 0.1; done"]
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
  becomes 60 pod/$name .status.phase Failed
  becomes 60 pod/$name '.status.conditions[] | select(.type == "DisruptionTarget") | .reason' TerminationByKubelet
  same "exit code of $name" "$(field pod/$name '.status.containerStatuses[0].state.terminated.exitCode')" 7
done
echo "- and a shutdown that is called off leaves a node that works"
announce false
kubectl wait --for=condition=Ready node/crisp --timeout="$((60 * factor))s" >/dev/null || fail "the node is not ready again"
kubectl run after --image="$busybox" --restart=Never -- true >/dev/null
succeeded after
finish
