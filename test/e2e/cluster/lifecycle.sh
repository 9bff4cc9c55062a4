#!/bin/bash
# Hooks, grace periods, ephemeral debug containers, resizing in place.
. "$(dirname "$0")/lib.sh"

host=$CRISP_CLUSTER_DIR/host-path/lifecycle
mkdir -p "$host"
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: hooks}
spec:
  terminationGracePeriodSeconds: 20
  volumes: [{name: host, hostPath: {path: $host}}]
  containers:
  - name: c
    image: $busybox
    command: [sh, -c, "trap 'echo term >>/host/order; exit 0' TERM; while :; do sleep 0.1; done"]
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo started >>/host/order"]}}
      preStop: {exec: {command: [sh, -c, "echo stopping >>/host/order; sleep 1; echo stopped >>/host/order"]}}
    volumeMounts: [{name: host, mountPath: /host}]
---
apiVersion: v1
kind: Pod
metadata: {name: deaf}
spec:
  terminationGracePeriodSeconds: 2
  containers: [{name: c, image: $busybox, command: [sh, -c, "trap '' TERM; while :; do sleep 0.1; done"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: c, image: $web, lifecycle: {preStop: {sleep: {seconds: 1}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: sized}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: $busybox
    command: [sleep, "1000"]
    resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {cpu: 100m, memory: 64Mi}}
  - name: restarted
    image: $busybox
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
    resources: {requests: {memory: 32Mi}, limits: {memory: 32Mi}}
    resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]
YAML
seconds_of() { local started=$SECONDS; "$@" >/dev/null; echo $((SECONDS - started)); }

echo "- postStart, preStop, then the signal"
ready hooks
kubectl delete pod hooks --wait >/dev/null
same "order" "$(tr '\n' ' ' <"$host/order")" "started stopping stopped term "

echo "- a container that does not listen is killed after its grace period, not before"
ready deaf
took=$(seconds_of kubectl delete pod deaf --wait)
[[ $took -ge 2 && $took -le $((20 * factor)) ]] || fail "it took $took s"

echo "- an ephemeral container debugs another"
ready web
kubectl debug web --image="$busybox" --target=c --container=debugger --profile=general -- sleep 1000 >/dev/null 2>&1 || fail "debug"
becomes 60 pod/web '.status.ephemeralContainerStatuses[0].state | keys[0]' running
matches "processes it sees" "$(kubectl exec web -c debugger -- ps -o args)" 'nginx: master'
matches "the web server's files" "$(kubectl exec web -c debugger -- cat /proc/1/root/usr/share/nginx/html/index.html)" "Hello from a pod"
same "restarts" "$(field pod/web '.status.containerStatuses[0].restartCount')" 0
kubectl delete pod web --wait=false >/dev/null

echo "- resizing in place"
limit() { kubectl exec sized -c "$1" -- sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'; }
quota() { kubectl exec sized -c c -- sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d" " -f1 /sys/fs/cgroup/cpu.max'; }
ready sized
same "memory before" "$(limit c)" $((64 << 20))
same "quota before" "$(quota)" 10000
kubectl patch pod sized --subresource=resize --patch \
  '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"60m","memory":"64Mi"},"limits":{"cpu":"200m","memory":"128Mi"}}}]}}' >/dev/null || fail "patch"
becomes 60 pod/sized '.status.containerStatuses[] | select(.name == "c") | .resources.limits | "\(.cpu) \(.memory)"' "200m 128Mi"
same "memory" "$(limit c)" $((128 << 20))
same "quota" "$(quota)" 20000
same "restarts" "$(field pod/sized '.status.containerStatuses[] | select(.name == "c") | .restartCount')" 0
kubectl patch pod sized --subresource=resize --patch \
  '{"spec":{"containers":[{"name":"restarted","resources":{"requests":{"memory":"48Mi"},"limits":{"memory":"48Mi"}}}]}}' >/dev/null || fail "patch"
becomes 60 pod/sized '.status.containerStatuses[] | select(.name == "restarted") | "\(.restartCount) \(.resources.limits.memory)"' "1 48Mi"
ready sized
same "memory of the restarted" "$(limit restarted)" $((48 << 20))
finish
