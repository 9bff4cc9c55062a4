#!/bin/bash
# Of run.sh --evented, after the others: the kubelet has taken crisp's events all the while, and says of
# every running container what it uses.
. "$(dirname "$0")/lib.sh"
scrape() { kubectl get --raw "/api/v1/nodes/crisp/proxy/$1"; }
metric() { scrape metrics | sed -n "s/^$1 //p"; }

kubectl run one --image="$web" --restart=Never --overrides='{"spec": {"terminationGracePeriodSeconds": 1}}' >/dev/null
ready one
echo "- one stream of events, which did not break"
same "connections" "$(metric kubelet_evented_pleg_connection_success_count)" 1
same "of them broken" "$(metric kubelet_evented_pleg_connection_error_count)" 0
# latency is counted once for every event.
[[ $(metric kubelet_evented_pleg_connection_latency_seconds_count) -gt 50 ]] || fail "events: $(scrape metrics | grep evented_pleg)"
echo "- every running container under its name"
named() {
  scrape metrics/cadvisor | sed -n 's/^container_memory_working_set_bytes{container="\([^"]*\)".*namespace="\([^"]*\)",pod="\([^"]*\)".*/\2 \3 \1/p' | sort
}
running() {
  kubectl get pods -A -o json | jq -r '.items[] | . as $p | .status.containerStatuses[]? | select(.state.running) |
    "\($p.metadata.namespace) \($p.metadata.name) \(.name)"' | sort
}
all_named() { [[ -z $(comm -13 <(named) <(running)) ]]; }
eventually 30 all_named || fail "not in /metrics/cadvisor: $(comm -13 <(named) <(running))"
finish
