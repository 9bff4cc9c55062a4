#!/bin/bash
# The processes that hold pods are killed, one and all at once as by a reboot: the kubelet starts the
# pods again, in their place, with new addresses and nothing of the old left.
. "$(dirname "$0")/../lib.sh"

deployment steady 4 <<YAML
volumes: [{name: kept, emptyDir: {}}]
initContainers: [{name: first, image: $busybox, command: [sh, -c, "echo started >>/kept/starts"], volumeMounts: [{name: kept, mountPath: /kept}]}]
containers:
- {name: c, image: $web, readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}, volumeMounts: [{name: kept, mountPath: /kept}]}
YAML
rolled steady
uids() { kubectl get pods -l app=steady -o json | jq -r '.items[].metadata.uid' | sort; }
before=$(uids)
restarts() { kubectl get pods -l app=steady -o json | jq '[.items[].status.containerStatuses[0].restartCount] | add'; }
restarted() { [[ $(restarts) == "$1" && $(field deployment/steady .status.readyReplicas) == 4 ]]; }
# Of this cluster's crispd.
shims() { ps -eo pid,comm,args | awk -v d="$CRISP_CLUSTER_DIR/crisp" '$2 == "crisp-shim" && $(NF - 1) == d {print $1}'; }

echo "- the holder of one pod is killed"
pod=$(kubectl get pods -l app=steady -o name | head -1)
id=$(field "$pod" '.status.containerStatuses[0].containerID | sub(".*://"; "")')
kill -KILL "$(ps -o ppid= -p "$(crictl inspect "$id" | jq .info.pid)" | tr -d ' ')"
eventually 60 restarted 1 || fail "restarts: $(restarts)"
matches "why" "$(field "$pod" '.status.containerStatuses[0].lastState.terminated | "\(.exitCode) \(.reason)"')" '^(255|137) '
same "the init container has run again" "$(kubectl exec "$pod" -c c -- grep -c started /kept/starts)" 2

echo "- all of them, with crispd, the kubelet, and what is on the runtime's tmpfs"
cluster kill kubelet crispd
shims | xargs kill -KILL
rm -rf "$CRISP_CLUSTER_DIR/run"
cluster start crispd kubelet
eventually 120 restarted 5 || fail "restarts: $(restarts), $(kubectl get pods)"
same "the pods" "$(uids)" "$before"
for address in $(kubectl get pods -l app=steady -o json | jq -r '.items[].status.podIP'); do
  curl -fsS --max-time 5 "http://$address/" >/dev/null || fail "$address does not answer"
done
one_each() { [[ $(crictl pods -q --label "io.kubernetes.pod.namespace=$theme" | wc -l) == 4 ]]; }
eventually 60 one_each || fail "pods that crispd knows: $(crictl pods)"
finish
