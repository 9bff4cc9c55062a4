# Sourced by hack/bench.sh. The runtimes that are measured: how each is configured, started, stopped.
#
#   crisp              this tree, optimised, its built-in network
#   crisp-erofs        the same, with layers as EROFS images
#   containerd         the newest containerd and runc, the newest CNI plugins
#   containerd-synced  the same, syncing what it pulls (by default it does not; crisp always does)
#   debian             Debian's containerd, runc and CNI plugins
#   debian-crun        the same with Debian's crun (which does not know the newest containerd's specs)
#
# All get the same registry, images and log folder, a bridge of their own with an address for each
# pod, a cgroup for their pods, and the same requests. containerd uses bridge, host-local and portmap.
#
# CRI-O belongs here too, and is left out: what is measured has to be installed or built and pinned by
# hack/bench/peers.sh.
crio_is_left_out="CRI-O is left out: Debian 12 has no package of it, and the Go module proxy has refused \
github.com/cri-o/cri-o (403), so there is nothing to build"

# Whether they can be asked for; says what is wrong otherwise.
check_peers() { # NAME...
  local name
  for name in "$@"; do
    case $name in
      containerd | debian | debian-crun) ;;
      crio) echo "bench.sh: $crio_is_left_out" >&2; return 1 ;;
      *) echo "bench.sh: no peer is called '$name': there are containerd, debian, debian-crun" >&2; return 1 ;;
    esac
  done
}

socket_of() { echo "$work/$1.sock"; }
pid_of() { cat "$work/$1.pid"; }

# start_contender NAME ROOT: ROOT holds its images and containers; what need not outlive a boot is in
# memory, as /run is. Waits until it serves.
start_contender() {
  local name=$1 storage=$2
  mkdir -p "$storage" "$work/$name-cni" "$work/$name-state"
  mount -t tmpfs -o mode=755 bench "$work/$name-state"
  pods_cgroup "$name" >/dev/null
  case $name in
    crisp*) configure_crisp "$name" "$storage" ;;
    *) configure_containerd "$name" "$storage" ;;
  esac
  launch "$name"
  await_contender "$name"
}

# Waits until it serves.
await_contender() { # NAME
  local name=$1 _
  for _ in $(seq 300); do
    if timeout 2 "$bin/cri-bench" --endpoint "unix://$(socket_of "$name")" return --pods 0 --since "$(now)" \
      >/dev/null 2>&1; then
      return
    fi
    kill -0 "$(pid_of "$name")" 2>/dev/null || break
    sleep 0.1
  done
  say "$name does not start:"
  tail -20 "$work/$name.log" >&2
  return 1
}

# Starts the daemon that start_contender has configured, and returns at once.
launch() {
  local name=$1 programs=$peers:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  case $name in
    crisp*)
      (in_daemon_group "$name" "$bin/crispd" --config "$work/$name.yaml" --root "$(cat "$work/$name.storage")" \
        --state "$work/$name-state" --listen "unix://$(socket_of "$name")" \
        --metrics-address "127.0.0.1:$(cat "$work/$name.metrics")" >>"$work/$name.log" 2>&1 </dev/null) &
      ;;
    debian*)
      (PATH=${programs#*:} in_daemon_group "$name" /usr/bin/containerd --config "$work/$name.toml" \
        >>"$work/$name.log" 2>&1 </dev/null) &
      ;;
    *)
      (PATH=$programs in_daemon_group "$name" "$peers/containerd" --config "$work/$name.toml" \
        >>"$work/$name.log" 2>&1 </dev/null) &
      ;;
  esac
  echo $! >"$work/$name.pid"
  disown
}

# The daemon alone; pods stay. With a signal, as it may be killed.
stop_daemon() {
  local pid
  pid=$(pid_of "$1")
  kill "${2:--TERM}" "$pid" 2>/dev/null || true
  await_gone "$pid" 10 || true
}

# A daemon that has forgotten what it did before, and has warm caches.
restart_daemon() { # NAME
  stop_daemon "$1"
  launch "$1"
  await_contender "$1"
  client "$1" --tag warm latency --count 3 --warm-up 0 >/dev/null
}

# With all that it runs. The pods should have been ended.
stop_contender() {
  [[ -f $work/$1.pid ]] || return 0
  stop_daemon "$1"
  kill_group "$run_id" "$1-daemon"
  kill_group "$run_id" "$1"
  if [[ $1 == crisp* ]]; then
    "$bin/crispd" --config "$work/$1.yaml" reset --root "$(cat "$work/$1.storage")" --state "$work/$1-state" \
      >/dev/null 2>&1 || true
  fi
  remove_shim_sockets "$work" "$1"
  local mounts
  mounts=$(grep -o " $work/$1-[^ ]*" /proc/self/mountinfo | sort -ru || true)
  [[ -z $mounts ]] || xargs -n1 umount -l <<<"$mounts" 2>/dev/null || true
  rm -rf "$work/$1-state" "$work/$1-root.disk" "$work/$1.pid"
}

# client NAME ARG...: the CRI client on that contender.
client() {
  "$bin/cri-bench" --endpoint "unix://$(socket_of "$1")" --image "$registry/bench/busybox:1" \
    --log-directory "$work/logs" --cgroup-parent "$cgroup_root/$1" "${@:2}"
}

versions() { # what stands in the report
  jq -n \
    --arg kernel "$(uname -r)" \
    --arg cpu "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" \
    --argjson cores "$(nproc)" \
    --arg cgroups "$([[ -e $cpu_mount/cgroup.controllers ]] && echo v2 || echo v1)" \
    --arg crisp "$("$bin/crispd" --version | head -1)" \
    --arg commit "$(git -C "$root" describe --always --dirty 2>/dev/null || true)" \
    --arg containerd "$("$peers/containerd" --version | awk '{print $3}')" \
    --arg runc "$("$peers/runc" --version | awk 'NR == 1 {print $3}')" \
    --arg cni "$("$peers/cni/bridge" --version 2>&1 | awk '{print $NF; exit}')" \
    --arg crun "$(crun --version | awk 'NR == 1 {print $3}')" \
    --arg debian_containerd "$(/usr/bin/containerd --version | awk '{print $3}')" \
    --arg debian_runc "$(PATH=/usr/sbin:/usr/bin runc --version | awk 'NR == 1 {print $3}')" \
    --arg debian_cni "$(dpkg-query -W -f '${Version}' containernetworking-plugins)" \
    --arg helpers "$(for helper in igzip pigz; do command -v $helper >/dev/null && echo $helper; done | xargs)" \
    '$ARGS.named'
}
