# Sourced by hack/bench.sh. A run's folder, its cgroups, its results, and that nothing is left of it.
#
# Everything that a run makes can be found from its folder /tmp/crisp-bench.<id>: paths of processes
# and mounts start with it, cgroups are /crisp-bench-<id>/…, network interfaces crb<id>…

peers=$root/build/bench/peers
bin=$root/build/release/bin

# New run: sets work, run_id, results, cgroup_root, cgroup_mounts.
begin_run() {
  work=$(mktemp -d /tmp/crisp-bench.XXXXXX)
  run_id=${work##*.}
  echo "$$ $(started_at $$)" >"$work/pid"
  results=$work/results.jsonl
  : >"$results"
  has_nat_chains || touch "$work/no-nat-chains"
  [[ -e /run/containerd ]] || touch "$work/no-run-containerd"
  mkdir -p "$work/logs" "$work/mnt"
  cgroup_root=/crisp-bench-$run_id
  find_cgroups
  local mount
  for mount in "${cgroup_mounts[@]}"; do make_cgroup "$mount$cgroup_root"; done
  trap 'exit 130' INT TERM HUP
  trap 'status=$?; trap "" INT TERM HUP; end_run; exit $status' EXIT
}

# The hierarchies with controllers; on v2 the one. cpu_mount is the one that counts CPU time.
find_cgroups() {
  mapfile -t cgroup_mounts < <(awk '$3 == "cgroup" && $4 !~ /name=/ {print $2}' /proc/mounts)
  if [[ ${#cgroup_mounts[@]} == 0 ]]; then
    mapfile -t cgroup_mounts < <(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
    cpu_mount=${cgroup_mounts[0]}
  else
    cpu_mount=$(awk '$3 == "cgroup" && $4 ~ /(^|,)cpuacct(,|$)/ {print $2; exit}' /proc/mounts)
  fi
}

make_cgroup() {
  local parent
  mkdir -p "$1"
  parent=$(dirname "$1")
  if [[ -e $1/cpuset.cpus && ! -e $1/cgroup.controllers ]]; then
    cat "$parent/cpuset.cpus" >"$1/cpuset.cpus"
    cat "$parent/cpuset.mems" >"$1/cpuset.mems"
  fi
}

# The pods of a contender go below this cgroup, as a kubelet would make it before its pods.
pods_cgroup() {
  local mount
  for mount in "${cgroup_mounts[@]}"; do
    make_cgroup "$mount$cgroup_root/$1"
    make_cgroup "$mount$cgroup_root/$1/kept"
  done
  echo "$cgroup_root/$1"
}

# in_daemon_group NAME COMMAND...: becomes COMMAND in a cgroup that counts its CPU time and that of
# all its descendants but the containers.
in_daemon_group() {
  local dir=$cpu_mount$cgroup_root/$1-daemon
  mkdir -p "$dir"
  echo $BASHPID >"$dir/cgroup.procs"
  exec "${@:2}"
}

# CPU seconds that a contender's own processes have used.
daemon_cpu() {
  local dir=$cpu_mount$cgroup_root/$1-daemon
  if [[ -e $dir/cpuacct.usage ]]; then
    awk '{printf "%.6f", $1 / 1e9}' "$dir/cpuacct.usage"
  else
    awk '$1 == "usage_usec" {printf "%.6f", $2 / 1e6}' "$dir/cpu.stat"
  fi
}

daemon_processes() { cat "$cpu_mount$cgroup_root/$1-daemon/cgroup.procs"; }

# Attaches a new file system at DIR, a journaled ext4 in the file DIR.disk. An ext4 that has seen many
# deletions gets slower by itself, for whoever comes next, and one without a journal the more so: for
# minutes it looks again, whenever it wants an inode, at each one that was deleted.
fresh_disk() { # DIR SIZE
  mkdir -p "$1"
  rm -f "$1.disk"
  fallocate -l "$2" "$1.disk"
  mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$1.disk"
  mount -o loop "$1.disk" "$1"
}

drop_disk() { # DIR
  umount "$1" 2>/dev/null || umount -l "$1"
  rm -f "$1.disk"
}

say() { printf '%s bench: %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
now() { date +%s.%N; }

# record MEASURE CONTENDER JSON: one line of the results.
record() {
  jq -cn --arg measure "$1" --arg contender "$2" --argjson data "$3" \
    '{measure: $measure, contender: $contender, data: $data}' >>"$results"
}

free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

wait_gone() { # PID: until it is a process no more, at most 10 s
  local _
  for _ in $(seq 1000); do
    [[ -d /proc/$1 ]] || return 0
    sleep 0.01
  done
}

end_run() {
  set +e
  remove_run "$work"
}

# Removes what any run has made, by its folder; also for a run that was killed.
remove_run() {
  local folder=$1 id=${1##*.} pid dir link state
  [[ -n $folder && $folder == /tmp/crisp-bench.* ]] || return 0
  kill_clients "$folder"
  # crispd knows best what it has made.
  for state in "$folder"/crisp*-state; do
    [[ -d $state ]] || continue
    local name
    name=$(basename "${state%-state}")
    kill_group "$id" "$name-daemon"
    "$bin/crispd" --config "$folder/$name.yaml" reset --root "$folder/$name-root" --state "$state" >/dev/null 2>&1
  done
  kill_group "$id" ''
  remove_shim_sockets "$folder"
  [[ -f $folder/registry ]] && TMPDIR=$folder stop_registry "$(cat "$folder/registry")" 2>/dev/null
  if ip netns pids "crb$id" >/dev/null 2>&1; then
    ip netns pids "crb$id" | xargs -r kill -9 2>/dev/null
    ip netns del "crb$id"
  fi
  for pid in $(jobs -p); do kill -9 "$pid" 2>/dev/null; done
  grep -o " ${folder}[^ ]*" /proc/self/mountinfo | sort -ru | xargs -r -n1 umount -l 2>/dev/null
  for dir in $(losetup -n -O NAME,BACK-FILE | awk -v f="$folder/" 'index($2, f) == 1 {print $1}'); do
    losetup -d "$dir"
  done
  for link in $(ip -o link show type bridge | grep -o " crb${id}[^:@ ]*"); do ip link del "$link"; done
  remove_cgroups "$id"
  remove_nat_chains "$folder"
  [[ ! -f $folder/no-run-containerd ]] || rmdir /run/containerd/s /run/containerd 2>/dev/null
  rm -rf "$folder"
}

# Those that speak to a contender are in none of the run's cgroups.
kill_clients() { # FOLDER
  { pgrep -f -- "-endpoint unix://$1/" || true; } | xargs -r kill -9 2>/dev/null || true
}

# Sockets of containerd's shims are not in containerd's folders, and a shim that is killed leaves its.
# Each is named after its containerd and pod, so that those of shims that were only starting are found.
# Once no shim runs any more, and while containerd's state is still there.
remove_shim_sockets() { # FOLDER [NAME]: of one contender, or of all
  local bundle name hash
  for bundle in "$1"/${2:-*}-state/io.containerd.runtime.v2.task/k8s.io/*; do
    [[ -d $bundle ]] || continue
    name=${bundle#"$1/"}
    read -r hash _ < <(printf %s "$1/${name%%-state/*}.sock/k8s.io/${bundle##*/}" | sha256sum)
    rm -f "/run/containerd/s/$hash"
  done
}

# Kills all processes of a run's cgroup: a contender's, or with '' everyone's.
kill_group() {
  local id=$1 group=$2 left mount _
  for _ in $(seq 50); do
    left=$(for mount in "${cgroup_mounts[@]}"; do
      find "$mount/crisp-bench-$id/$group" -name cgroup.procs -exec cat {} + 2>/dev/null
    done | sort -un || true)
    [[ -n $left ]] || return 0
    # shellcheck disable=SC2086
    kill -9 $left 2>/dev/null
    sleep 0.05
  done
}

# When a process started, in ticks since boot: tells it from another of the same number.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '{print $20}'; }

# Runs whose shell is gone.
remove_stale_runs() {
  local folder link pid started
  find_cgroups
  for folder in /tmp/crisp-bench.*; do
    [[ -f $folder/pid ]] || continue
    read -r pid started <"$folder/pid" || true
    [[ $(started_at "$pid") != "$started" ]] || continue
    (set +e; remove_run "$folder") || true
  done
  # bench/floor that was killed.
  for link in $(ip -o link show type bridge | grep -o ' crispfloor[0-9]*' || true); do
    pid=${link#crispfloor}
    [[ -d /proc/$pid ]] || ip link del "$link" || true
  done
}

# Also in hierarchies that only a peer uses: named ones, and the unified one beside them.
remove_cgroups() { # RUN_ID
  local mounts left _
  mapfile -t mounts < <(awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts)
  for _ in 1 2 3 4 5; do
    find "${mounts[@]/%//crisp-bench-$1}" -depth -type d -exec rmdir {} + 2>/dev/null
    left=$(find "${mounts[@]/%//crisp-bench-$1}" -maxdepth 0 2>/dev/null)
    [[ -n $left ]] || break
    sleep 0.3
  done
}

# portmap's chains for all pods, where there were none before and no pod of anybody uses them.
has_nat_chains() { iptables-save -t nat 2>/dev/null | grep -q '^:CNI-HOSTPORT'; }

remove_nat_chains() { # FOLDER
  [[ -f $1/no-nat-chains ]] || return 0
  local tables chain hook
  for tables in iptables ip6tables; do
    ! "$tables-save" -t nat 2>/dev/null | grep -q '^-A CNI-HOSTPORT-DNAT' || continue
    for hook in PREROUTING OUTPUT; do
      $tables -t nat -D $hook -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT 2>/dev/null
    done
    $tables -t nat -D POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" \
      -j CNI-HOSTPORT-MASQ 2>/dev/null
    for chain in CNI-HOSTPORT-DNAT CNI-HOSTPORT-MASQ CNI-HOSTPORT-SETMARK; do
      $tables -t nat -F $chain 2>/dev/null
    done
    for chain in CNI-HOSTPORT-DNAT CNI-HOSTPORT-MASQ CNI-HOSTPORT-SETMARK; do
      $tables -t nat -X $chain 2>/dev/null
    done
  done
}
