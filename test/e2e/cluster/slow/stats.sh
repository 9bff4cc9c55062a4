#!/bin/bash
# With EventedPLEG and PodAndContainerStatsFromCRI the kubelet learns of pods by crisp's events and of
# what they use by its statistics: they say what cAdvisor says.
. "$(dirname "$0")/../lib.sh"

trap 'unconfigure; rm -rf "$scratch"' EXIT
# gates BOOL: both of them on or off.
gates() { configure <<<"featureGates: {EventedPLEG: $1, PodAndContainerStatsFromCRI: $1}"; }
scrape() { kubectl get --raw "/api/v1/nodes/crisp/proxy/$1"; }

apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: measured}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: memory, emptyDir: {medium: Memory}}]
  containers:
  - name: busy
    image: $busybox
    command: [sh, -c, "dd if=/dev/zero of=/memory/x bs=1M count=30; dd if=/dev/zero of=/file bs=1M count=8; while :; do :; done"]
    resources: {limits: {cpu: 100m, memory: 64Mi}}
    volumeMounts: [{name: memory, mountPath: /memory}]
  - {name: web, image: $web, resources: {requests: {cpu: 50m}, limits: {memory: 32Mi}}}
YAML
ready measured
gates false
# cAdvisor looks every ten seconds at cgroups of which nobody asks.
sleep 15
scrape metrics/cadvisor >"$scratch/cadvisor"
scrape stats/summary >"$scratch/summary"
gates true
sleep 5
scrape metrics/cadvisor >"$scratch/cri"
scrape stats/summary >"$scratch/summary-cri"

# value FILE NAME CONTAINER: of the container's series; cAdvisor knows it by its cgroup alone.
value() {
  local id
  id=$(field pod/measured ".status.containerStatuses[] | select(.name == \"$3\") | .containerID | sub(\".*://\"; \"\")")
  grep -E "^$2\{[^}]*id=\"([^\"]*/)?$id\"" "$scratch/$1" | sed 's/.*} //; s/ .*//'
}
# near WHAT A B PERCENT SLACK: A and B differ by at most so many per cent, or by so much.
near() {
  awk -v a="$2" -v b="$3" -v p="$4" -v s="$5" 'BEGIN {
    if (a == "" || b == "") exit 1
    d = a > b ? a - b : b - a
    m = (a > b ? a : b) * p / 100
    exit d <= (m > s ? m : s) ? 0 : 1}' || fail "$1: cAdvisor says '$2', crisp '$3'"
}

# The kernel charges memory ahead, by 64 pages on each CPU, and gives it back when it likes.
ahead=$((64 * 4096 * $(nproc)))

echo "- /metrics/cadvisor, container by container"
for container in busy web; do
  for name in container_memory_working_set_bytes container_memory_usage_bytes container_memory_rss \
      container_memory_cache container_memory_mapped_file container_memory_max_usage_bytes; do
    near "$name of $container" "$(value cadvisor $name $container)" "$(value cri $name $container)" 5 "$ahead"
  done
  for name in container_spec_memory_limit_bytes container_spec_cpu_period container_spec_cpu_shares container_memory_failcnt \
      container_oom_events_total container_start_time_seconds container_creation_time_seconds; do
    near "$name of $container" "$(value cadvisor $name $container)" "$(value cri $name $container)" 0 1
  done
done
near "container_spec_cpu_quota" "$(value cadvisor container_spec_cpu_quota busy)" "$(value cri container_spec_cpu_quota busy)" 0 0
# Some 20 seconds lie between the two, of which the container may have a tenth.
near "container_cpu_usage_seconds_total" "$(value cadvisor container_cpu_usage_seconds_total busy)" \
  "$(value cri container_cpu_usage_seconds_total busy)" 0 6
[[ $(value cri container_cpu_usage_seconds_total busy) -gt 0 ]] || fail "no CPU time"
same "labels" "$(grep '^container_memory_rss{container="busy"' "$scratch/cri" | grep -o 'namespace="[^"]*",pod="[^"]*"')" \
  "namespace=\"$theme\",pod=\"measured\""
echo "- every name that cAdvisor has of a container"
id=$(field pod/measured '.status.containerStatuses[] | select(.name == "busy") | .containerID | sub(".*://"; "")')
names() { grep "$id" "$scratch/$1" | sed 's/{.*//' | sort -u; }
echo "  only cAdvisor has: $(comm -23 <(names cadvisor) <(names cri) | tr '\n' ' ')"
# Docker's health checks, of which -1 says that there is none and the CRI has no negative values, and file
# systems that it does not know of a cgroup.
same "what crisp does not have" \
  "$(comm -23 <(names cadvisor) <(names cri) | grep -vE "^container_(health_state|fs_.*|blkio_device_usage_total)$")" ""

echo "- /stats/summary"
# of FILE CONTAINER JQ
of() { jq -r --arg c "$2" '.pods[] | select(.podRef.name == "measured") | .containers[] | select(.name == $c) | '"$3" "$scratch/$1"; }
for container in busy web; do
  for key in .memory.workingSetBytes .memory.usageBytes .memory.rssBytes .rootfs.usedBytes .rootfs.inodesUsed .logs.inodesUsed; do
    near "$key of $container" "$(of summary $container $key)" "$(of summary-cri $container $key)" 5 "$ahead"
  done
done
near "usageNanoCores" "$(of summary busy .cpu.usageNanoCores)" "$(of summary-cri busy .cpu.usageNanoCores)" 25 0
pod_of() { jq -r '.pods[] | select(.podRef.name == "measured") | '"$1" "$scratch/summary-cri"; }
near "the pod's CPU is its containers'" "$(pod_of '[.containers[].cpu.usageCoreNanoSeconds] | add')" "$(pod_of .cpu.usageCoreNanoSeconds)" 10 50000000
near "and so is its memory" "$(pod_of '[.containers[].memory.workingSetBytes] | add')" "$(pod_of .memory.workingSetBytes)" 10 1048576
same "network" "$(pod_of '.network | .name + " " + (.rxBytes > 0 | tostring)')" "eth0 true"
same "processes: the loop, and nginx with its worker" "$(pod_of .process_stats.process_count)" 3

echo "- events instead of lists"
kubectl run crash --image="$busybox" --restart=OnFailure -- sh -c 'sleep 1; exit 4' >/dev/null
becomes 30 pod/crash '.status.containerStatuses[0].lastState.terminated.exitCode' 4
kubectl run "done" --image="$busybox" --restart=Never -- true >/dev/null
succeeded "done" 30
kubectl delete pod crash "done" --wait=true --grace-period=1 >/dev/null
metric() { scrape metrics | sed -n "s/^$1 //p"; }
[[ $(metric kubelet_evented_pleg_connection_success_count) -ge 1 ]] || fail "the kubelet reads no events"
# The kubelet uses up its retries within a fraction of a second and lists again from then on.
cluster kill crispd
cluster start crispd
kubectl run later --image="$busybox" --restart=Never -- true >/dev/null
succeeded later 30
finish
