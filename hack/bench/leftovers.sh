# Sourced by hack/bench.sh. Nothing is left of a run, be it this one or one that was killed.

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
  remove_cgroups "/crisp-bench-$id"
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
