#!/bin/bash
# For hack/vm.sh: what only a machine with cgroup v2 alone and systemd shows of containers and their cgroups:
# systemd, podman and a crispd in containers, execs into them, pods of systemd's slices, a frozen pod, a bus
# that is gone. CRISP_CGROUP_DRIVER names the driver.
set -uo pipefail
cd "$(dirname "$0")/../../.." || exit
[[ $(systemd-detect-virt --vm) == qemu ]] || { echo "for a machine of hack/vm.sh alone" >&2; exit 2; }
. hack/lib/image.sh
. hack/lib/daemon.sh
tests=()
failed=0 driver=${CRISP_CGROUP_DRIVER:-cgroupfs} image=crisp.test/busybox:latest
fail() { echo "FAILED: $*"; failed=1; }
same() { [[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"; }
work=$(mktemp -d) run=/run/crisp-cgroups
mkdir -p "$run"

start() {
  CRISP_RUNTIME='{handlers: [crisp, writable], cgroup_writable_handlers: [writable]}' start_daemon || exit 1
  [[ -f $work/busybox.tar ]] || make_busybox_tar "$work/busybox.tar" "$image" >/dev/null || exit 1
  "$CRISP_BIN/crisp" --address "unix://$CRISP_SOCKET" images import "$work/busybox.tar" >/dev/null || exit 1
}

# What is done to configurations besides, in jq: to both, and to a container's.
amend=. amend_container=.
# pod NAME PRIVILEGED [PARENT [HANDLER]]: sets pod.
pod() {
  jq -n --arg name "$1" --argjson privileged "$2" --arg parent "${3:-}" '{metadata: {name: $name, namespace: "v2",
    uid: $name}, hostname: $name, log_directory: "'"$work"'/logs", linux: {cgroup_parent: $parent,
    security_context: {privileged: $privileged, namespace_options: {network: 2, pid: 1}}}} | '"$amend" >"$work/pod.json"
  pod=$(crictl runp --runtime "${4:-}" "$work/pod.json" 2>"$work/log") || { cat "$work/log"; fail "runp of $1"; return 1; }
}

# container NAME PRIVILEGED COMMAND...: the machine's own programs in a container, on folders of its own; sets
# container. Fails when it does not start.
container() {
  local name=$1 privileged=$2 own=$work/$1 mounts
  shift 2
  mkdir -p "$own"/{var,tmp} "$run/$name"
  cp -a /etc "$own/etc"
  rm -rf "$own/etc/systemd/system"
  mkdir -p "$own/etc/systemd/system" "$own"/var/{lib,log,tmp,cache}
  mounts=$(for place in usr/:usr usr/bin:bin usr/sbin:sbin usr/lib:lib usr/lib64:lib64; do
      jq -n --arg from "/${place%:*}" --arg to "/${place#*:}" '{host_path: $from, container_path: $to, readonly: true}'
    done
    jq -n --arg tree "$PWD" '{host_path: $tree, container_path: $tree, readonly: true}'
    for place in etc var tmp; do
      jq -n --arg from "$own/$place" --arg to "/$place" '{host_path: $from, container_path: $to}'
    done
    jq -n --arg from "$run/$name" '{host_path: $from, container_path: "/run"}')
  jq -n --arg name "$name" --argjson privileged "$privileged" --arg image "$image" --argjson mounts "$(jq -s . <<<"$mounts")" \
    --argjson command "$(printf '%s\n' "$@" | jq -R . | jq -s .)" \
    '{metadata: {name: $name}, image: {image: $image}, log_path: ($name + ".log"), command: $command,
    envs: [{key: "container", value: "crisp"}, {key: "PATH", value: "/usr/sbin:/usr/bin:/sbin:/bin"}], mounts: $mounts,
    linux: {resources: {memory_limit_in_bytes: 1073741824}, security_context: {privileged: $privileged, namespace_options: {network: 2, pid: 1}}}} |
    '"$amend | $amend_container" >"$work/container.json"
  container=$(crictl create "$pod" "$work/container.json" "$work/pod.json") || { fail "create of $name"; return 1; }
  crictl start "$container" >/dev/null || { fail "start of $name"; return 1; }
}
inside() { crictl exec -s "$container" "$@" 2>&1; }
shell() { inside bash -c "$1"; }
# last COMMAND...: the last line of what it says; all of it, on stderr, when it fails.
last() {
  local output
  output=$("$@") || printf '%s\n' "$output" >&2
  tail -1 <<<"$output"
}
# exec_is_in GROUP: beside the container's first process, in the group of this name.
exec_is_in() {
  local group
  group=$(shell 'cat /proc/self/cgroup')
  [[ $group == 0::*/"$1" ]] || fail "an exec is not in $1: $group"
}
gone() { crictl rmp -f "$pod" >/dev/null || fail "removal of pod $1"; }

# systemd_runs NAME: the container's systemd has booted, and its units are limited.
systemd_runs() {
  local state
  for _ in {1..120}; do
    state=$(inside systemctl is-system-running)
    [[ $state == running || $state == degraded || $state == *'is not running'* ]] && break
    sleep 1
  done
  [[ $state == running || $state == degraded ]] ||
    { fail "systemd in $1: '$state'"; crictl ps -a; crictl logs "$container" 2>&1 | tail -20; return 1; }
  # shellcheck disable=SC2016
  same "limit of a unit of systemd in $1" \
    "$(inside systemd-run --wait --pipe -q -p MemoryMax=32M sh -c 'cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max')" \
    33554432
}

test_systemd_in_a_privileged_container() {
  pod systemd true && container systemd true /lib/systemd/systemd --unit=basic.target || return
  systemd_runs "a privileged container"
  # Its own cgroup hands controllers down, so an exec joins its first process.
  exec_is_in init.scope
  same "podman with systemd" "$(nested_podman systemd)" 52428800
  gone systemd
}

# unprivileged_systemd NAME: as a manifest has it: memory at /run, /run/lock and /tmp, a terminal for what systemd says
# before it has a journal, the default seccomp and AppArmor profiles.
unprivileged_systemd() {
  local amend_container=$amend_container state
  mkdir -p "$run/lock"
  amend_container='.tty = true | .mounts += [{host_path: "'"$run"'/lock", container_path: "/run/lock"}] |
    .linux.security_context.seccomp = {profile_type: 0} | '$amend_container
  pod "$1" false '' writable && container "$1" false /lib/systemd/systemd --unit=basic.target || return
  systemd_runs "an unprivileged container ($1)"
  exec_is_in init.scope
  # What is the container's own stays as it was given.
  shell 'echo max >/sys/fs/cgroup/memory.max' >/dev/null && fail "a container writes its own limit"
  same "limit of the container" "$(shell 'cat /sys/fs/cgroup/memory.max')" 1073741824
  shell 'kill -s RTMIN+3 1' || fail "the signal that ends systemd"
  for _ in {1..60}; do
    state=$(crictl inspect -o json "$container" | jq -r .status.state)
    [[ $state == CONTAINER_EXITED ]] && break
    sleep 1
  done
  same "state after SIGRTMIN+3" "$state" CONTAINER_EXITED
  gone "$1"
}
test_systemd_in_an_unprivileged_container() { unprivileged_systemd unprivileged; }

test_systemd_in_a_user_namespace() {
  # hack/vm.sh run --kernel backports
  [[ $(printf '%s\n' 6.3 "$(uname -r)" | sort -V | head -1) == 6.3 ]] || return
  local ids='[{host_id: 200000, container_id: 0, length: 65536}]' amend amend_container
  amend='.linux.security_context.namespace_options |=
    . + {network: 0, userns_options: {mode: 0, uids: '$ids', gids: '$ids'}}'
  amend_container='.mounts |= map(if .readonly then . else . + {uidMappings: '$ids', gidMappings: '$ids'} end)'
  unprivileged_systemd userns
}

# nested_podman MANAGER: podman's container has a limit, which it says.
nested_podman() {
  last shell "mkdir -p /var/root/bin && cp /bin/busybox /var/root/bin/ && ln -sf busybox /var/root/bin/cat &&
    podman --root /var/podman --runroot /run/podman --tmpdir /run/libpod --storage-driver vfs --cgroup-manager $1 \
      --events-backend none run --rm --network none --log-driver none -m 50m --rootfs /var/root cat /sys/fs/cgroup/memory.max"
}

test_engines_in_a_privileged_container() {
  pod engines true && container engines true sleep 10000 || return
  # Path and tree agree.
  # shellcheck disable=SC2016
  same "limit by /proc/self/cgroup" "$(shell 'cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max')" 1073741824
  same "podman with cgroupfs" "$(nested_podman cgroupfs)" 52428800
  inside env CRISP_CGROUP_DRIVER=cgroupfs TMPDIR=/var/tmp "$PWD/test/e2e/machine/nested.sh" >"$work/log" ||
    { cat "$work/log"; fail "crispd in a container"; }
  gone engines
}

test_an_exec_that_hands_controllers_down_stays_killable() {
  pod moved true && container moved true sleep 10000 || return
  # shellcheck disable=SC2016
  shell 'own=/sys/fs/cgroup$(sed -n s/^0:://p /proc/1/cgroup); mkdir $own/init; echo 1 > $own/init/cgroup.procs
    echo $$ > $own/init/cgroup.procs; echo +memory > $own/cgroup.subtree_control || cat $own/cgroup.procs /proc/1/cgroup
    grep -q memory $own/cgroup.subtree_control' || fail "the container's controllers"
  exec_is_in init
  crictl exec -s --timeout 2 "$container" sh -c 'sleep 4001 & (sleep 4002 &); sleep 4003' >/dev/null 2>&1 && fail "the exec's time-out"
  same "what is left of the exec" "$(shell 'pgrep -f "sleep 40[0-9][0-9]" || true')" ''
  gone moved
}

test_pods_of_slices() {
  [[ $driver == systemd ]] || return
  pod root false -.slice || return
  same "TasksMax of a pod's scope" "$(systemctl show -P TasksMax "crisp-$pod.scope")" infinity
  gone root
  for _ in {1..40}; do
    [[ -e $CRISP_DIR/state/pods/$pod ]] || break
    sleep 0.5
  done
  [[ ! -e $CRISP_DIR/state/pods/$pod ]] || fail "a pod in -.slice stays"
}

test_a_frozen_pod_is_stopped() {
  local parent=crisptestfrozen group=/sys/fs/cgroup/crisptestfrozen
  if [[ $driver == systemd ]]; then parent+=.slice group+=.slice; fi
  pod frozen false "$parent" && container frozen false sleep 10000 || return
  echo 1 >"$group/cgroup.freeze"
  CRICTL_TIMEOUT=60s crictl stopp "$pod" >/dev/null || { fail "stop of a frozen pod"; echo 0 >"$group/cgroup.freeze"; }
  gone frozen
}

ready() { crictl info | jq -r '.status.conditions[] | select(.type == "RuntimeReady").status'; }
await_ready() { # true|false
  for _ in {1..60}; do
    [[ $(ready) == "$1" ]] && return
    sleep 1
  done
  fail "RuntimeReady is not $1"
}
test_a_bus_that_is_gone_is_told() {
  [[ $driver == systemd ]] || return
  systemctl stop dbus.socket dbus.service
  await_ready false
  [[ $("$CRISP_BIN/crisp" --address "unix://$CRISP_SOCKET" doctor --json 2>/dev/null) == *'systemctl restart dbus'* ]] ||
    fail "doctor says nothing of the bus"
  systemctl start dbus.socket dbus.service
  await_ready true
}

start
lines() { dmesg | grep -c 'overlayfs: unrecognized'; }
before=$(lines)
[[ $# -gt 0 ]] || mapfile -t tests < <(compgen -A function test_)
for name in "$@" "${tests[@]}"; do
  echo "$name"
  "$name"
done
same "lines of overlayfs in the kernel's log" "$(lines)" "$before"
stop_daemon || fail "the end of crispd"
rm -rf --one-file-system "$work" "$run"
exit $failed
