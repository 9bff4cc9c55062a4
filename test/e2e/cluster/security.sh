#!/bin/bash
# What securityContext can ask for, user namespaces, shared namespaces.
. "$(dirname "$0")/lib.sh"

mkdir -p "$CRISP_CLUSTER_DIR/kubelet/seccomp"
cat >"$CRISP_CLUSTER_DIR/kubelet/seccomp/no-mkdir.json" <<'JSON'
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
JSON

# with NAME "POD FIELDS" "CONTAINER FIELDS": a pod that sleeps. Fields are flow YAML: "a: 1, b: 2".
with() {
  printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {terminationGracePeriodSeconds: 1, %s containers: [{name: c, image: "%s", command: [sleep, "1000"]%s}]}\n' \
    "$1" "${2:+$2, }" "$busybox" "${3:+, $3}"
}
{
  with plain "" ""
  with user "securityContext: {runAsUser: 1234, runAsGroup: 2345, supplementalGroups: [3456], fsGroup: 4567}" ""
  with strict "securityContext: {runAsUser: 1234, runAsGroup: 2345, supplementalGroups: [3456], supplementalGroupsPolicy: Strict}" ""
  with read-only "" "securityContext: {readOnlyRootFilesystem: true}"
  with capable "" "securityContext: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE, CHOWN]}}"
  with bound "" "securityContext: {allowPrivilegeEscalation: false, runAsUser: 1000, capabilities: {drop: [ALL]}}"
  with privileged "" "securityContext: {privileged: true}"
  with seccomp "securityContext: {seccompProfile: {type: RuntimeDefault}}" ""
  with localhost "securityContext: {seccompProfile: {type: Localhost, localhostProfile: no-mkdir.json}}" ""
  with no-root "securityContext: {runAsNonRoot: true}" ""
  with sysctl 'securityContext: {sysctls: [{name: kernel.shm_rmid_forced, value: "1"}, {name: net.ipv4.ip_unprivileged_port_start, value: "80"}]}' ""
  with mapped "hostUsers: false" "securityContext: {capabilities: {add: [SYS_ADMIN]}}"
  with unmasked "hostUsers: false" "securityContext: {procMount: Unmasked}"
  with host-pid "hostPID: true" ""
  with host-ipc "hostIPC: true" ""
} | apply
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: shared-pids}
spec:
  terminationGracePeriodSeconds: 1
  shareProcessNamespace: true
  containers:
  - {name: c, image: $busybox, command: [sleep, "1001"]}
  - {name: other, image: $busybox, command: [sleep, "1002"]}
---
apiVersion: v1
kind: Pod
metadata: {name: mapped-volumes}
spec:
  terminationGracePeriodSeconds: 1
  hostUsers: false
  volumes:
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: token, projected: {sources: [{serviceAccountToken: {path: token}}]}}
  - {name: image, image: {reference: $web}}
  containers:
  - name: c
    image: $busybox
    command: [sh, -c, "touch /disk/of-root && exec sleep 1000"]
    volumeMounts: [{name: disk, mountPath: /disk}, {name: memory, mountPath: /memory}, {name: token, mountPath: /token}, {name: image, mountPath: /image}]
YAML
status() { shell "$1" "sed -n 's/^$2:[[:space:]]*//p' /proc/self/status"; }
capability() { (($((16#$(status "$1" CapBnd))) >> $2 & 1)) && echo yes || echo no; }

echo "- users and groups"
ready user && same "ids" "$(shell user 'id -u; id -g; id -G' | tr '\n' ' ')" "1234 2345 2345 3456 4567 "
ready strict && same "strict ids" "$(shell strict 'id -G')" "2345 3456"
echo "- read-only root, capabilities, no new privileges, privileged"
ready read-only && matches "touch" "$(shell read-only 'touch /x 2>&1')" "Read-only"
ready capable && same "net_bind_service, chown, kill" "$(capability capable 10)$(capability capable 0)$(capability capable 5)" yesyesno
ready bound && same "no_new_privs" "$(status bound NoNewPrivs)" 1
same "bounding set" "$(status bound CapBnd)" 0000000000000000
ready privileged && same "sys_admin" "$(capability privileged 21)" yes
same "devices" "$(shell privileged 'test -e /dev/kmsg && echo there')" there
ready plain && same "sys_admin" "$(capability plain 21)" no
echo "- seccomp: default, a profile of the node, none"
ready seccomp && same "mode" "$(status seccomp Seccomp)" 2
ready localhost && matches "mkdir" "$(shell localhost 'mkdir /x 2>&1')" "Operation not permitted"
same "unconfined" "$(status plain Seccomp)" 0
echo "- runAsNonRoot refuses an image of root's"
becomes 60 pod/no-root '.status.containerStatuses[0].state.waiting.reason' CreateContainerConfigError
echo "- safe sysctls"
ready sysctl && same "sysctls" "$(shell sysctl 'cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start' | tr '\n' ' ')" "1 80 "
echo "- hostUsers: false"
ready mapped && matches "root inside" "$(shell mapped 'id -u; cat /proc/self/uid_map' | tr -s ' \n' ' ')" '^0 0 [1-9][0-9]* 65536'
same "owner of the root's files" "$(shell mapped 'stat -c %u /bin/sh')" 0
shell mapped 'mount -t tmpfs none /home' || fail "SYS_ADMIN in the namespace does not mount"
ready unmasked && same "masks of /proc" "$(shell unmasked 'grep -c " /proc/" /proc/mounts || true')" 0
ready mapped-volumes && same "owner in the volume" "$(shell mapped-volumes 'stat -c %u /disk/of-root /disk /memory /image/usr/sbin/nginx | tr "\n" " "; wc -c </token/token | grep -c ...')" "0 0 0 0 1"
echo "- shared and host namespaces"
ready shared-pids
same "both sleep" "$(kubectl exec shared-pids -c c -- ps -o args | grep -c '^sleep 100[12]')" 2
ready host-pid && same "pid 1" "$(shell host-pid 'cat /proc/1/comm')" "$(cat /proc/1/comm)"
ready host-ipc && same "ipc" "$(shell host-ipc 'readlink /proc/self/ns/ipc')" "$(readlink /proc/self/ns/ipc)"
finish
