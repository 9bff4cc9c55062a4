# Sourced. A throw-away copy of this machine: its root file system below a tmpfs that takes every
# change, with namespaces, /run and a dpkg database of its own. Nothing of it is left, or seen here.
#
#   in_throwaway FUNCTION...   # runs a function of the calling script as root in there; its status

in_throwaway() {
  local work status=0
  work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-root.XXXXXXXX")
  export THROWAWAY_WORK=$work THROWAWAY_SCRIPT=$0 THROWAWAY_PWD=$PWD
  unshare --mount --pid --net --ipc --uts --fork --kill-child --propagation private \
    bash -c "$(declare -f throwaway_root); throwaway_root $(printf '%q ' "$@")" || status=$?
  rmdir "$work"
  return $status
}

throwaway_root() {
  set -e
  local work=$THROWAWAY_WORK folder
  mount -t tmpfs -o size=3G,mode=755 throwaway "$work"
  mkdir "$work"/{upper,work,root}
  mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" throwaway "$work/root"
  mount -t proc proc "$work/root/proc"
  mount --rbind /sys "$work/root/sys"
  mount --rbind /dev "$work/root/dev"
  for folder in run tmp; do mount -t tmpfs -o mode=1777 "$folder" "$work/root/$folder"; done
  # The tree may be below what is now hidden.
  mkdir -p "$work/root$THROWAWAY_PWD"
  mount --bind "$THROWAWAY_PWD" "$work/root$THROWAWAY_PWD"
  chmod 755 "$work/root/run"
  # Containers cannot have their layers on an overlay.
  mkdir -p "$work/root/var/lib/crisp" "$work/root/old"
  # A pivot, not a chroot: programs that enter the mount namespace anew must see the same.
  cd "$work/root"
  pivot_root . old
  umount -l /old
  mount --make-rshared /
  ip link set lo up
  export TMPDIR=/tmp
  cd "$THROWAWAY_PWD"
  exec bash "$THROWAWAY_SCRIPT" "$@"
}
