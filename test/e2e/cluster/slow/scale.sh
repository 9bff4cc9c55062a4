#!/bin/bash
# As many pods as a node may have, and a rolling update of fifty; what each takes is printed.
. "$(dirname "$0")/../lib.sh"

# fifty COLOUR
fifty() {
  deployment fifty 50 <<YAML
containers: [{name: c, image: $busybox, command: [sleep, "100000"], env: [{name: COLOUR, value: $1}]}]
YAML
  rolled fifty 900
}

echo "- a rolling update of 50 pods"
started=$SECONDS
fifty red
echo "  up in $((SECONDS - started)) s"
started=$SECONDS
fifty blue
echo "  updated in $((SECONDS - started)) s"
same "blue ones" "$(kubectl get pods -l app=fifty -o json | jq '[.items[] | select(.metadata.deletionTimestamp == null and .spec.containers[0].env[0].value == "blue")] | length')" 50

echo "- 110 pods on the node"
others=$(kubectl get pods -A -o json | jq '[.items[] | select(.metadata.deletionTimestamp == null and
  (.status.phase == "Running" or .status.phase == "Pending"))] | length')
started=$SECONDS
kubectl scale deployment/fifty --replicas=$((110 - others + 50)) >/dev/null
rolled fifty 900
echo "  up in $((SECONDS - started)) s"
same "addresses" "$(kubectl get pods -A -o json | jq '[.items[] | select(.spec.hostNetwork != true) | .status.podIP | select(. != null)] | length - (unique | length)')" 0
echo "- one more has to wait"
kubectl run extra --image="$busybox" --restart=Never -- sleep 1000 >/dev/null
unschedulable() { [[ $(field pod/extra '.status.conditions[]? | select(.type == "PodScheduled") | .reason') == Unschedulable ]]; }
eventually 30 unschedulable || fail "the 111th pod is not refused"
echo "- and all go"
started=$SECONDS
kubectl delete deployment/fifty pod/extra --wait=false >/dev/null
none() { [[ -z $(kubectl get pods -o name) ]]; }
eventually 300 none || fail "$(kubectl get pods | wc -l) pods are left"
echo "  gone in $((SECONDS - started)) s"
finish
