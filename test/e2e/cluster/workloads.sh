#!/bin/bash
# Deployments, init containers and sidecars, jobs, restart policies, termination messages.
. "$(dirname "$0")/lib.sh"

deployment web 3 <<YAML
containers: [{name: nginx, image: $web, readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]
YAML
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: ordered}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: shared, emptyDir: {}}]
  initContainers:
  - {name: first, image: $busybox, command: [sh, -c, "echo first >>/shared/order"], volumeMounts: [{name: shared, mountPath: /shared}]}
  - name: sidecar
    image: $busybox
    restartPolicy: Always
    command: [sh, -c, "trap 'exit 0' TERM; echo sidecar >>/shared/order; touch /up; while :; do sleep 0.2; done"]
    startupProbe: {exec: {command: [test, -e, /up]}, periodSeconds: 1}
    volumeMounts: [{name: shared, mountPath: /shared}]
  - {name: last, image: $busybox, command: [sh, -c, "echo last >>/shared/order"], volumeMounts: [{name: shared, mountPath: /shared}]}
  containers:
  - name: main
    image: $busybox
    command: [sh, -c, "echo main >>/shared/order; exec sleep 1000"]
    volumeMounts: [{name: shared, mountPath: /shared}]
  - {name: second, image: $busybox, command: [sleep, "1000"]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: sum}
spec:
  completions: 3
  parallelism: 2
  template:
    spec:
      restartPolicy: Never
      initContainers:
      - {name: sidecar, image: $busybox, restartPolicy: Always, command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]}
      containers: [{name: c, image: $busybox, command: [sh, -c, "expr 20 + 22"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: retried}
spec:
  restartPolicy: OnFailure
  volumes: [{name: kept, emptyDir: {}}]
  containers:
  - name: c
    image: $busybox
    command: [sh, -c, "test -e /kept/once || { touch /kept/once; exit 7; }; echo -n done >/dev/termination-log"]
    volumeMounts: [{name: kept, mountPath: /kept}]
---
apiVersion: v1
kind: Pod
metadata: {name: message}
spec:
  restartPolicy: Never
  containers:
  - {name: c, image: $busybox, command: [sh, -c, "echo the last words; exit 5"], terminationMessagePolicy: FallbackToLogsOnError}
YAML

echo "- a deployment comes up, heals, scales, and is rolled over and back"
rolled web
victim=$(kubectl get pods -l app=web -o name | head -1)
kubectl delete "$victim" --wait=false >/dev/null
becomes 60 deployment/web .status.readyReplicas 3
kubectl scale deployment/web --replicas=1 >/dev/null
kubectl set env deployment/web COLOUR=blue >/dev/null
rolled web
same "environment of the new one" "$(kubectl exec deployment/web -- sh -c 'echo $COLOUR')" blue
kubectl rollout undo deployment/web >/dev/null 2>&1
rolled web

echo "- init containers run in their order, sidecars before the others and on beside them"
ready ordered
same "order" "$(kubectl exec ordered -c main -- cat /shared/order | tr '\n' ' ')" "first sidecar last main "
same "the sidecar runs" "$(field pod/ordered '.status.initContainerStatuses[] | select(.name == "sidecar") | .state | keys[0]')" running
kubectl exec ordered -c second -- true || fail "exec in the second container"

echo "- a job completes, and its sidecars end with it"
kubectl wait --for=condition=Complete --timeout="$((120 * factor))s" job/sum >/dev/null || fail "the job"
same "output" "$(kubectl logs job/sum -c c 2>/dev/null)" 42
same "succeeded" "$(field job/sum .status.succeeded)" 3

echo "- OnFailure restarts in the same pod"
succeeded retried
same "restarts" "$(field pod/retried '.status.containerStatuses[0].restartCount')" 1
same "exit code before" "$(field pod/retried '.status.containerStatuses[0].lastState.terminated.exitCode')" 7
same "message" "$(field pod/retried '.status.containerStatuses[0].state.terminated.message')" "done"

echo "- the log's end is the message of one that left none"
becomes 60 pod/message .status.phase Failed
same "message" "$(field pod/message '.status.containerStatuses[0].state.terminated | "\(.exitCode) \(.message)"')" "5 the last words"
finish
