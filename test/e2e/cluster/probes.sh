#!/bin/bash
# Liveness, readiness and startup probes by exec, HTTP and TCP.
. "$(dirname "$0")/lib.sh"

apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: live-exec}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: $busybox
    command: [sh, -c, "touch /alive; exec sleep 1000"]
    livenessProbe: {exec: {command: [cat, /alive]}, periodSeconds: 1, failureThreshold: 2}
---
apiVersion: v1
kind: Pod
metadata: {name: slow-exec}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: $busybox
    command: [sleep, "1000"]
    readinessProbe: {exec: {command: [sleep, "30"]}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: http}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: $web
    readinessProbe: {httpGet: {path: /ready, port: 80}, periodSeconds: 1, failureThreshold: 1}
    livenessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1, failureThreshold: 3}
---
apiVersion: v1
kind: Pod
metadata: {name: tcp}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: $busybox
    command: [sh, -c, "sleep 3; exec httpd -f -p 9000"]
    startupProbe: {tcpSocket: {port: 9000}, periodSeconds: 1, failureThreshold: 60}
    livenessProbe: {tcpSocket: {port: 9000}, periodSeconds: 1}
YAML

echo "- readiness by HTTP follows what the server answers"
becomes 60 pod/http '.status.containerStatuses[0].started' true
same "ready before" "$(field pod/http '.status.containerStatuses[0].ready')" false
shell http 'echo ok >/usr/share/nginx/html/ready'
becomes 30 pod/http '.status.containerStatuses[0].ready' true
shell http 'rm /usr/share/nginx/html/ready'
becomes 30 pod/http '.status.containerStatuses[0].ready' false
shell http 'rm /usr/share/nginx/html/index.html'

echo "- a failed liveness probe by exec restarts the container"
ready live-exec
before=$(field pod/live-exec '.status.containerStatuses[0].containerID')
shell live-exec 'rm /alive'
becomes 30 pod/live-exec '.status.containerStatuses[0].restartCount' 1
ready live-exec
[[ $(field pod/live-exec '.status.containerStatuses[0].containerID') != "$before" ]] || fail "it is the same container"
same "killed" "$(field pod/live-exec '.status.containerStatuses[0].lastState.terminated.exitCode')" 137

echo "- and one by HTTP"
becomes 30 pod/http '.status.containerStatuses[0].restartCount' 1
same "nginx ended well" "$(field pod/http '.status.containerStatuses[0].lastState.terminated | "\(.exitCode) \(.reason)"')" "0 Completed"

echo "- an exec probe that does not end in time has failed"
timed_out() { kubectl get events --field-selector involvedObject.name=slow-exec,reason=Unhealthy -o json | jq -e '.items[] | select(.message | test("timed out|timeout"))'; }
eventually 30 timed_out || { fail "no event tells of it"; explain slow-exec; }
same "ready" "$(field pod/slow-exec '.status.containerStatuses[0].ready')" false
# The next probe's may run already.
[[ $(inside slow-exec ps -o args | grep -c '^sleep 30$') -le 1 ]] || fail "processes are left: $(inside slow-exec ps)"

echo "- a startup probe by TCP holds the others back"
ready tcp
same "restarts" "$(field pod/tcp '.status.containerStatuses[0].restartCount')" 0
finish
