#!/bin/bash
# The kubelet and crispd are restarted and killed, at rest and under load: no container is restarted, and no pod of
# the operator's removed.
. "$(dirname "$0")/lib.sh"

deployment steady 8 <<YAML
containers:
- name: web
  image: $web
  readinessProbe: {httpGet: {port: 80}, periodSeconds: 2}
  livenessProbe: {exec: {command: [cat, /proc/1/cmdline]}, periodSeconds: 2, timeoutSeconds: 5}
- {name: counter, image: $busybox, command: [sh, -c, "i=0; while :; do i=\$((i + 1)); echo \$i; sleep 0.2; done"]}
YAML
rolled steady
snapshot() {
  kubectl get pods -l app=steady -o json | jq -r '.items[] | .metadata.name as $p | .status.podIP as $ip |
    .status.containerStatuses[] | [$p, $ip, .name, .containerID, .restartCount, .state.running.startedAt] | join(" ")' | sort
}
unchanged() {
  same "containers after $1" "$(snapshot)" "$before"
  local pod
  for pod in $(kubectl get pods -l app=steady -o name | head -2); do
    kubectl exec "$pod" -c counter -- true || fail "exec after $1"
  done
  kubectl wait --for=condition=Ready pods -l app=steady --timeout="$((60 * factor))s" >/dev/null || fail "not ready after $1"
  operators_lives "$operators" "$1"
}
before=$(snapshot)
operators=$(operator_pod operators "" sleep 100000) || fail "no pod runs over the operator's socket"
trap 'operator rmp -f $operators >/dev/null 2>&1' EXIT

echo "- the kubelet ends and comes back"
cluster stop kubelet && cluster start kubelet
sleep 3
unchanged "a restart of the kubelet"

echo "- crispd ends and comes back"
cluster stop crispd
sleep 1
cluster start crispd
sleep 3
unchanged "a restart of crispd"

echo "- both are killed while pods come and go"
load() {
  local n=0
  while [[ ! -e $scratch/stop ]]; do
    n=$((n + 1))
    kubectl run "load-$1-$n" --image="$busybox" --restart=Never \
      --overrides='{"spec": {"terminationGracePeriodSeconds": 1}}' -- sleep 1000 >/dev/null 2>&1
    [[ $n -lt 3 ]] || kubectl delete pod "load-$1-$((n - 2))" --wait=false --grace-period=1 >/dev/null 2>&1
    kubectl exec "deployment/steady" -c counter -- cat /proc/uptime >/dev/null 2>&1
  done
}
load a &
load b &
for _ in 1 2 3; do
  sleep 2
  cluster kill crispd
  sleep 0.$((RANDOM % 10))
  cluster start crispd
done
cluster kill kubelet crispd
cluster start crispd kubelet
sleep 2
touch "$scratch/stop"
wait
unchanged "kill -9 of both under load"
echo "- and what came and went is whole, or gone"
whole() {
  kubectl get pods -o json | jq -e '[.items[] | .metadata.deletionTimestamp == null and
    any(.status.conditions[]?; .type == "Ready" and .status == "True")] | all'
}
eventually 90 whole || fail "pods of the load: $(kubectl get pods)"
same "restarted containers" "$(kubectl get pods -o json | jq '[.items[].status.containerStatuses[]?.restartCount] | add')" 0
kubectl get pods -o name | grep load- | xargs -r kubectl delete --grace-period=0 --force >/dev/null 2>&1
# The kubelet removes those that have ended once a minute.
as_many() { [[ $(crictl pods -q --state ready --label "io.kubernetes.pod.namespace=$theme" | wc -l) == 8 ]]; }
eventually 60 as_many || fail "pods that crispd knows: $(crictl pods --label "io.kubernetes.pod.namespace=$theme")"
echo "- the counters lost no line"
for pod in $(kubectl get pods -l app=steady -o name); do
  kubectl logs "$pod" -c counter | awk '$1 != NR {print "line " NR " is " $1; exit 1}' || fail "$pod"
done
finish
