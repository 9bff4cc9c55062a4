# Sourced by hack/bench.sh. A run's folder, its disks and its results.
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

# When a process started, in ticks since boot: tells it from another of the same number.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '{print $20}'; }
