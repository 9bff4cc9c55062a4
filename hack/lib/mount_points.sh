# Sourced. Folders at fixed places of the machine, over which each run mounts one of its own in its own mount
# namespace: /var/lib/kubelet/device-plugins is one. Several runs may need one folder at a time. To remove it
# would take every run's mount away, so the last run alone does that.

# Names the folders that runs have made. A shared lock of it says that a run needs them.
mount_points_list=${mount_points_list:-/run/lock/crisp-mount-points}

# hold_mount_points FOLDER...: makes those that are not there. They stay as long as the descriptor
# $mount_points_lock is open, here or in a process that has inherited it.
hold_mount_points() {
  local folder
  mkdir -p "$(dirname "$mount_points_list")"
  exec {mount_points_lock}>>"$mount_points_list"
  flock --shared "$mount_points_lock"
  for folder; do _make_mount_point "$folder"; done
}

_make_mount_point() {
  [[ ! -d $1 ]] || return 0
  _make_mount_point "$(dirname "$1")"
  echo "$1" >>"$mount_points_list"
  mkdir -p "$1"
}

# hand_over_mount_points: closes this process' descriptor. One that has inherited it holds the folders on.
hand_over_mount_points() {
  [[ -z ${mount_points_lock:-} ]] || exec {mount_points_lock}>&-
  mount_points_lock=''
}

# drop_mount_points: this process needs them no more. If no other run does, those that runs have made are removed.
drop_mount_points() {
  local lock folder
  hand_over_mount_points
  [[ -f $mount_points_list ]] || return 0
  exec {lock}<"$mount_points_list"
  if flock --exclusive --nonblock "$lock"; then
    # The innermost come last. One that is not empty has become somebody else's.
    while read -r folder; do
      rmdir "$folder" 2>/dev/null || true
    done < <(tac "$mount_points_list")
    : >"$mount_points_list"
  fi
  exec {lock}<&-
}
