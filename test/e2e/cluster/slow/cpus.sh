#!/bin/bash
# The static CPU manager: a guaranteed pod has a CPU of its own, the others keep off it meanwhile.
. "$(dirname "$0")/../lib.sh"
if [[ $(nproc) -lt 2 ]]; then echo "skipped: there is one CPU"; finish; fi
conf=$CRISP_CLUSTER_DIR/kubelet.conf.d/cpus.conf
# The policy of a kubelet is kept in a file, and another is an error.
restart() { cluster stop kubelet; rm -f "$CRISP_CLUSTER_DIR/kubelet/cpu_manager_state"; cluster start kubelet; }
trap 'rm -f "$conf"; restart; rm -rf "$scratch"' EXIT
cat >"$conf" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cpuManagerPolicy: static
reservedSystemCPUs: "0"
cpuManagerReconcilePeriod: 2s
YAML
restart
# What other tests have left asks for CPUs as well.
alone() { [[ $(kubectl get pods -A -o json | jq '[.items[] | select(.metadata.namespace != "cpus")] | length') == 0 ]]; }
eventually 90 alone || fail "other pods are on the node: $(kubectl get pods -A)"
kubectl run other --image="$busybox" --restart=Never -- sleep 1000 >/dev/null
ready other
all=$(inside other sed -n 's/^Cpus_allowed_list:\t//p' /proc/1/status)
echo "- a CPU of its own"
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: pinned}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: $busybox, command: [sleep, "1000"], resources: {limits: {cpu: 1, memory: 64Mi}}}]
YAML
ready pinned
own=$(inside pinned sed -n 's/^Cpus_allowed_list:\t//p' /proc/1/status)
matches "one CPU" "$own" '^[1-9][0-9]*$'
echo "- which others leave, and come back to"
allowed() { inside other sed -n 's/^Cpus_allowed_list:\t//p' /proc/1/status; }
left() { [[ $(allowed) != "$all" && ! ",$(allowed)," == *",$own,"* ]]; }
eventually 30 left || fail "the other may run on $(allowed), as the one that has $own for itself"
kubectl delete pod pinned --wait >/dev/null
back() { [[ $(allowed) == "$all" ]]; }
eventually 30 back || fail "the other may run on $(allowed), not on $all"
kubectl delete pod other --wait=false --grace-period=1 >/dev/null
finish
