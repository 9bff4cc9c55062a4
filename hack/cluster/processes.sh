# Sourced by hack/cluster.sh. The cluster's processes, and the mount namespace in which they are.

# pid_of NAME: prints its process, when that lives and is this cluster's.
pid_of() {
  local pid
  pid=$(cat "$work/pids/$1" 2>/dev/null) && [[ -n $pid ]] || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$work" || return 1
  echo "$pid"
}

# launch NAME COMMAND...: in the cluster's mount namespace, in a session of its own. Every command
# line names $work: that is how the process is known again.
launch() {
  local name=$1
  shift
  mkdir -p "$work/logs" "$work/pids"
  setsid nsenter --mount="/proc/$(pid_of namespace)/ns/mnt" --wd="$work" "$@" >>"$work/logs/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$work/pids/$name"
}

# end NAME [SIGNAL]: returns when it is gone; after half a minute it is killed.
end() {
  local pid
  pid=$(pid_of "$1") || return 0
  kill "-${2:-TERM}" "$pid" 2>/dev/null || true
  await_gone "$pid" 30 || kill -KILL "$pid" 2>/dev/null || true
  rm -f "$work/pids/$1"
}

# await NAME SECONDS COMMAND...: until the command succeeds; fails when the component ends before.
await() {
  local name=$1 deadline=$((SECONDS + $2 * factor))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$(cat "$work/pids/$name")" 2>/dev/null; then
      tail -20 "$work/logs/$name.log" >&2
      fail "$name ended; its log is $work/logs/$name.log"
    fi
    ((SECONDS < deadline)) || { tail -20 "$work/logs/$name.log" >&2; fail "$name is not ready: see $work/logs/$name.log"; }
    sleep 0.1
  done
}

# The mount namespace that crispd and the kubelet share, held by a process that does nothing. `/` is
# shared in it, as on a node that systemd booted. What the kubelet would put into folders of the
# machine whose names cannot be configured goes below $work.
start_namespace() {
  pid_of namespace >/dev/null && return
  mkdir -p "$work"/{pids,logs,device-plugins,container-logs}
  # The process holds them as long as it lives: other clusters mount theirs over the same folders.
  hold_mount_points /var/lib/kubelet/device-plugins /var/log/containers
  rm -f "$work/pids/namespace-ready"
  # By its argv[0], which names $work, it is known again; and it has no child to outlive it.
  # shellcheck disable=SC2016
  setsid unshare --mount --propagation private bash -c '
    mount --make-rshared / &&
    mount --bind "$1/device-plugins" /var/lib/kubelet/device-plugins &&
    mount --bind "$1/container-logs" /var/log/containers &&
    : >"$1/pids/namespace-ready" && exec -a "namespace $1" sleep infinity' namespace "$work" </dev/null >"$work/logs/namespace.log" 2>&1 9>&- &
  echo $! >"$work/pids/namespace"
  await namespace 10 test -e "$work/pids/namespace-ready"
  hand_over_mount_points
}
