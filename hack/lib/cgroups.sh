# Sourced. Cgroups of a script's own in every hierarchy of the machine: v1, v2, or both beside each other.

# cgroup_hierarchies: prints where each one is mounted, one on a line.
cgroup_hierarchies() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/self/mounts; }

# make_cgroup FOLDER: makes one of one hierarchy. A new cpuset of v1 has no CPU and takes no process, so it
# gets those of its parent.
make_cgroup() {
  local name
  mkdir -p "$1"
  [[ ! -f $1/cgroup.controllers ]] || return 0
  for name in cpuset.cpus cpuset.mems; do
    [[ ! -f $1/$name ]] || cat "${1%/*}/$name" >"$1/$name"
  done
}

# make_cgroups CGROUP: makes it in every hierarchy. Where all is cgroup v2, it has each controller that the
# root hands down, so the root hands down all of them.
make_cgroups() {
  local hierarchy name
  while read -r hierarchy; do
    if [[ $hierarchy == /sys/fs/cgroup ]]; then
      for name in $(<"$hierarchy/cgroup.controllers"); do
        echo "+$name" >"$hierarchy/cgroup.subtree_control" || true
      done
    fi
    make_cgroup "$hierarchy$1"
  done < <(cgroup_hierarchies)
}

# remove_cgroups CGROUP: kills what is in it and below, and removes them, the innermost first. Fails, and says
# so, if some are left after five seconds.
remove_cgroups() {
  local hierarchy folder left
  [[ -n ${1#/} ]] || return 0
  for _ in {1..100}; do
    left=0
    while read -r hierarchy; do
      [[ -d $hierarchy$1 ]] || continue
      while read -r folder; do
        # A process of another PID namespace is listed as 0, and kill(1) takes that for its own group.
        sed '/^0$/d' "$folder/cgroup.procs" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
        rmdir "$folder" 2>/dev/null || left=1
      done < <(find "$hierarchy$1" -depth -type d)
    done < <(cgroup_hierarchies)
    [[ $left != 0 ]] || return 0
    sleep 0.05
  done
  echo "${0##*/}: some of the cgroups $1 cannot be removed" >&2
  return 1
}
