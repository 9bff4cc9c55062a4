#!/bin/bash
# kubectl exec, attach, cp, port-forward and logs, over WebSocket and over SPDY.
. "$(dirname "$0")/lib.sh"

apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: $busybox, command: [sleep, "1000"]}
  - {name: echo, image: $busybox, stdin: true, command: [sh, -c, "while read -r line; do echo got \$line; done; exec sleep 1000"]}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: $web}]
---
apiVersion: v1
kind: Pod
metadata: {name: counts}
spec:
  restartPolicy: Never
  containers:
  - {name: c, image: $busybox, command: [sh, -c, "i=0; while [ \$i -lt 40 ]; do i=\$((i + 1)); echo line \$i; sleep 0.1; done"]}
---
apiVersion: v1
kind: Pod
metadata: {name: again}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: kept, emptyDir: {}}]
  containers:
  - name: c
    image: $busybox
    command: [sh, -c, "test -e /kept/once && { echo second; exec sleep 1000; }; touch /kept/once; echo first; exit 1"]
    volumeMounts: [{name: kept, mountPath: /kept}]
YAML

echo "- logs: follow, tail, previous"
kubectl wait --for=jsonpath='{.status.containerStatuses[0].started}'=true pod/counts --timeout="$((60 * factor))s" >/dev/null
same "followed to its end" "$(timeout 60 kubectl logs -f counts | sha256sum)" "$(seq -f 'line %g' 40 | sha256sum)"
same "tail" "$(kubectl logs --tail=2 counts | tr '\n' ' ')" "line 39 line 40 "
matches "stamps" "$(kubectl logs --tail=1 --timestamps counts)" '^20[0-9-]*T[0-9:.]*Z line 40$'
becomes 60 pod/again ".status.containerStatuses[0].restartCount" 1
ready again
same "previous" "$(kubectl logs --previous again)" first
same "this" "$(kubectl logs again)" second
ready shell
ready web

head -c 3000000 /dev/urandom >"$scratch/data"
sum=$(sha256sum <"$scratch/data" | cut -d' ' -f1)

# Both protocols do the same.
streams() {
  same "output" "$(kubectl exec shell -c c -- sh -c 'echo out; echo err >&2' 2>"$scratch/err")" out
  grep -qx err "$scratch/err" || fail "stderr: $(cat "$scratch/err")"
  kubectl exec shell -c c -- sh -c 'exit 17' >/dev/null 2>&1
  same "exit code" $? 17
  same "input" "$(kubectl exec -i shell -c c -- sha256sum <"$scratch/data" | cut -d' ' -f1)" "$sum"
  # script(1) types a NUL when its own input ends, which a terminal that is not raw yet shows as ^@.
  matches "terminal" "$(script -qec "stty rows 33 columns 77; kubectl exec -it shell -c c -- sh -c 'tty; sleep 1; stty size'" /dev/null </dev/null | sed 's/\^@//g' | tr '\r\n' ' ')" '/dev/pts/[0-9]+ .*33 77'
  kubectl exec shell -c c -- /no/such/program >/dev/null 2>"$scratch/err" && fail "a program that is not there ran"
  grep -qi 'no such file' "$scratch/err" || fail "not there: $(cat "$scratch/err")"

  kubectl cp "$scratch/data" shell:/data -c c >/dev/null || fail "cp into"
  rm -f "$scratch/back"
  kubectl cp shell:/data "$scratch/back" -c c >/dev/null 2>&1 || fail "cp out of"
  same "copied" "$(sha256sum <"$scratch/back" | cut -d' ' -f1)" "$sum"

  : >"$scratch/forward"
  kubectl port-forward pod/web :80 >"$scratch/forward" 2>&1 &
  local forwarder=$! port=
  for _ in {1..100}; do
    port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\).*/\1/p' "$scratch/forward")
    [[ -z $port ]] || break
    sleep 0.1
  done
  for _ in 1 2 3; do
    matches "forwarded" "$(curl -fsS --max-time 10 "http://127.0.0.1:$port/")" "Hello from a pod"
  done
  kill "$forwarder"
  wait "$forwarder" 2>/dev/null
  echo "line of $1" | timeout 5 kubectl attach -i shell -c echo >"$scratch/attached" 2>/dev/null
  said() { kubectl logs shell -c echo | grep -qx "got line of $1"; }
  eventually 10 said "$1" || fail "attach: $(kubectl logs shell -c echo)"
}

echo "- exec, cp, port-forward and attach over WebSocket"
streams WebSocket
echo "- and over SPDY"
export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false
streams SPDY
finish
