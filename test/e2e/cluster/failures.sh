#!/bin/bash
# Crash loops, memory that runs out, images and commands that are not there: what the status says.
. "$(dirname "$0")/lib.sh"

# bad NAME IMAGE [more of the container]: a pod that cannot run.
bad() { printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: "%s"%s}]}\n' "$@"; }
{
  bad crash "$busybox" ', command: [sh, -c, "exit 3"]'
  bad oom "$busybox" ', command: [tail, /dev/zero], resources: {limits: {memory: 24Mi}}'
  bad child-oom "$busybox" ', command: [sh, -c, "tail /dev/zero; sleep 1000"], resources: {limits: {memory: 24Mi}}'
  bad no-image crisp.test/test/none:1
  bad no-name 'crisp.test/Test:1'
  bad no-program "$busybox" ', command: [/no/such/program]'
  bad no-config "$busybox" ', envFrom: [{configMapRef: {name: none}}]'
  bad never crisp.test/test/busybox:none ', imagePullPolicy: Never, command: [sleep, "1000"]'
} >"$scratch/pods.yaml"
kubectl apply -f "$scratch/pods.yaml" >/dev/null || fail "apply"
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: deadline}
spec:
  activeDeadlineSeconds: 3
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: $busybox, command: [sleep, "1000"]}]
YAML

waiting='.status.containerStatuses[0].state.waiting.reason'
last='.status.containerStatuses[0].lastState.terminated | "\(.exitCode) \(.reason)"'

echo "- out of memory"
becomes 60 pod/oom "$last" "137 OOMKilled"
child() { [[ $(field pod/child-oom '.status.containerStatuses[0].state | keys[0]') == running ]]; }
eventually 30 child || fail "a container ended with its child"

echo "- what is not there"
pulling() { [[ $(field pod/no-image "$waiting") =~ ^(ErrImagePull|ImagePullBackOff)$ ]]; }
eventually 60 pulling || fail "no-image: $(field pod/no-image "$waiting")"
becomes 60 pod/no-name "$waiting" InvalidImageName
becomes 60 pod/no-config "$waiting" CreateContainerConfigError
becomes 60 pod/never "$waiting" ErrImageNeverPull
becomes 60 pod/no-program "$last" "128 StartError"
matches "message" "$(field pod/no-program '.status.containerStatuses[0].lastState.terminated.message')" '/no/such/program.*[Nn]o such file'

echo "- a deadline"
becomes 60 pod/deadline '.status | "\(.phase) \(.reason)"' "Failed DeadlineExceeded"

echo "- a crash loop backs off and keeps the last exit code"
becomes 60 pod/crash "$last" "3 Error"
becomes 60 pod/crash "$waiting" CrashLoopBackOff
finish
