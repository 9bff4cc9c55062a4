# Sourced by hack/bench.sh. The cgroups of a run and of its contenders.

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
