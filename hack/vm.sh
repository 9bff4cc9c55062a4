#!/bin/bash
# A QEMU machine with Debian 12's kernel, cgroup v2 alone, systemd and AppArmor (or SELinux), for the
# tests that the machine at hand cannot run.
#
#   hack/vm.sh run [--driver cgroupfs|systemd] [--lsm apparmor|selinux|permissive] [--timeout SECONDS]
#              [--kernel backports] [--keep FOLDER] -- COMMAND...
#       boots, runs COMMAND as root in this tree's path and ends with its exit status (124 when the
#       time was up, 125 when the machine gave no status). --driver is what CRISP_CGROUP_DRIVER says
#       to the tests' daemons. What COMMAND leaves in $CRISP_VM_OUT is put in FOLDER afterwards.
#       selinux is enforcing Debian's default policy with hack/selinux/container.cil; permissive only
#       notes what it would forbid (in the journal, which is among what is kept). --kernel backports is a
#       newer Linux than Debian 12's own (6.1), on which pods with a user namespace cannot be.
#   hack/vm.sh build [apparmor|selinux [backports]]    only makes the disk that it boots from
#
# The processor is emulated (tcg): about ten times slower than the real one, and the same everywhere.
# The disk is made from Debian's packages without booting an installer and kept in build/vm until
# the list of packages or a version changes. build/'s programs, tests and package, docs/, hack/ and test/
# are put on a second one for each run; nothing that the machine writes to either is kept.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
out=$root/build/vm

# Beside Debian's minimal system: the machine's own, then what the tests call.
packages=(
  apparmor dbus iproute2 kmod systemd-sysv udev
  busybox-static ca-certificates containerd containernetworking-plugins crun curl docker-registry iptables jq
  nftables openssl podman procps runc
)
# What a machine with SELinux has besides.
selinux_packages=(policycoreutils selinux-policy-default selinux-utils)
# Drivers of the disk, and what crisp and the tests would have the kernel load.
boot_modules=(virtio_pci virtio_blk)
modules=(br_netfilter bridge nft_chain_nat nft_ct nft_fib_inet nft_masq nft_nat nf_tables overlay
  sch_ingress sch_tbf ifb veth)

fail() { echo "vm: $*" >&2; exit 125; }

need_programs() {
  local program missing=()
  for program in cpio depmod mkfs.ext4 mmdebstrap qemu-system-x86_64; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [[ ${#missing[@]} == 0 ]] || fail "these programs are missing (hack/deps.sh vm): ${missing[*]}"
}

# The packages that own the shared libraries of what is built here.
library_packages() {
  local file
  find "$root"/build/{bin,e2e,tests} -maxdepth 1 -type f -executable -print0 2>/dev/null | xargs -0 -r ldd 2>/dev/null |
    grep -o '=> /[^ ]*' | cut -c4- | sort -u | while read -r file; do
      # Debian names what is in /usr/lib by /lib, or not.
      dpkg -S "$file" "$(readlink -f "$file")" "/usr$file" 2>/dev/null || true
    done | cut -d: -f1 | sort -u
}

# Of what apt_options names.
apt_options=()
kernel_package() {
  { apt-cache "${apt_options[@]}" depends linux-image-cloud-amd64 2>/dev/null || true; } | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' |
    head -1
}

# Lists of a suite alone, beside the system's.
use_suite() {
  local lists=$out/apt-$1
  mkdir -p "$lists/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} $1 main" \
    >"$lists.list"
  apt_options=(-o "Dir::Etc::sourcelist=$lists.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$lists"
    -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=")
}

# build_root apparmor|selinux [backports]: prints the KEY of $out/{root-KEY.img,vmlinuz-KEY,initrd-KEY}, which it
# has made where they were missing.
build_root() {
  local lsm=$1 suite=${2:-} name=$1${2:++$2}
  need_programs
  mkdir -p "$out"
  exec 9>"$out/lock"
  flock 9
  local kernel all key
  [[ -z $suite ]] || use_suite "bookworm-$suite"
  kernel=$(kernel_package)
  if [[ -z $kernel ]]; then
    apt-get "${apt_options[@]}" update -qq >&2
    kernel=$(kernel_package)
  fi
  [[ -n $kernel ]] || fail "apt knows no linux-image-cloud-amd64"
  [[ $lsm != selinux ]] || packages+=("${selinux_packages[@]}")
  mapfile -t all < <({ printf '%s\n' "${packages[@]}"; library_packages; } | sort -u)
  key=$name-$({
    sed -n '/^build_root()/,/^make_payload()/p' "$0"
    { apt-cache "${apt_options[@]}" show --no-all-versions "$kernel"
      apt-cache show --no-all-versions "${all[@]}"; } 2>/dev/null | grep -E '^(Package|Version):'
    echo "${modules[*]}"
    [[ $lsm != selinux ]] || cat "$root/hack/selinux/container.cil"
  } | sha256sum | cut -c1-16)
  if [[ ! -f $out/root-$key.img ]]; then
    echo "vm: building the disk from $kernel and Debian's packages ($lsm)" >&2
    rm -rf "$out"/{root,vmlinuz,initrd}-"$name"-* "$out/tree"
    make_tree "$lsm" "$kernel" "${all[@]}" >"$out/build.log" 2>&1 ||
      { tail -20 "$out/build.log" >&2; fail "the disk could not be built (build/vm/build.log)"; }
    mv "$out/tree/boot/vmlinuz" "$out/vmlinuz-$key"
    make_initrd "$out/initrd-$key"
    truncate -s 6G "$out/root.tmp"
    mkfs.ext4 -q -F -L crisp-root -O ^has_journal -d "$out/tree" "$out/root.tmp" >&2
    mv "$out/root.tmp" "$out/root-$key.img"
    rm -rf --one-file-system "$out/tree"
  fi
  exec 9>&-
  echo "$key"
}

make_tree() {
  local lsm=$1 kernel=$2 tree=$out/tree include
  shift 2
  include=$(IFS=,; echo "$*")
  mmdebstrap --mode=root --variant=minbase --include="$include" --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$tree" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
  (
    mkdir -p "$out/kernel.tmp"
    cd "$out/kernel.tmp"
    apt-get "${apt_options[@]}" download -qq -o APT::Sandbox::User=root "$kernel"
    dpkg-deb -x "$kernel"_*.deb .
    rm -rf "$tree/usr/lib/modules"
    mv lib/modules "$tree/usr/lib/modules"
    mv boot/vmlinuz-* "$tree/boot/vmlinuz"
  )
  rm -rf "$out/kernel.tmp"
  depmod -b "$tree" "$(ls "$tree/usr/lib/modules")"
  configure_tree "$tree"
  [[ $lsm != selinux ]] || add_policy "$tree"
}

# The policy with our module, and every file's label by it. Neither needs a kernel with SELinux.
add_policy() {
  local tree=$1
  printf '%s\n' SELINUX=enforcing SELINUXTYPE=default SETLOCALDEFS=0 >"$tree/etc/selinux/config"
  cp "$root/hack/selinux/container.cil" "$tree/root/"
  # A rebuild of all of Debian's modules, without loading the result.
  chroot "$tree" semodule --noreload --store default --install /root/container.cil || return 1
  # It opens files through /proc.
  unshare --mount --propagation private sh -c "mount -t proc proc '$tree/proc' && chroot '$tree' setfiles -F \
    -e /proc -e /sys -e /dev /etc/selinux/default/contexts/files/file_contexts /"
}

configure_tree() {
  local tree=$1 unit
  echo crisp-vm >"$tree/etc/hostname"
  echo '127.0.0.1 localhost crisp-vm' >"$tree/etc/hosts"
  echo 'nameserver 127.0.0.53' >"$tree/etc/resolv.conf"
  printf '%s\n' "${modules[@]}" >"$tree/etc/modules-load.d/crisp.conf"
  : >"$tree/etc/fstab"
  # Nothing that runs by itself, and no login on the consoles.
  for unit in containerd.service docker-registry.service nftables.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
      fstrim.timer systemd-timesyncd.service getty@.service serial-getty@.service e2scrub_reap.service \
      systemd-udev-settle.service dpkg-db-backup.timer systemd-update-utmp.service systemd-journal-flush.service; do
    ln -sfn /dev/null "$tree/etc/systemd/system/$unit"
  done
  cat >"$tree/etc/systemd/system/crisp-vm.service" <<'UNIT'
[Unit]
Description=the command of hack/vm.sh
After=basic.target systemd-modules-load.service apparmor.service dbus.socket
[Service]
Type=oneshot
Delegate=yes
KillMode=mixed
TimeoutStartSec=infinity
LimitNOFILE=1048576
ExecStart=/usr/local/sbin/crisp-vm
ExecStopPost=/usr/bin/systemctl --force --force poweroff
[Install]
WantedBy=multi-user.target
UNIT
  ln -sfn ../crisp-vm.service "$tree/etc/systemd/system/multi-user.target.wants/crisp-vm.service"
  cat >"$tree/usr/local/sbin/crisp-vm" <<'SCRIPT'
#!/bin/bash
# ttyS1 is the command's output; one disk is the tree; another takes a tar with the result.
disk() { readlink -f "/dev/disk/by-id/virtio-crisp-$1"; }
udevadm settle
stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1 2>&1 </dev/null
mkdir -p /tree
if [[ -e /sys/fs/selinux/enforce ]]; then
  echo "vm: SELinux, enforcing $(cat /sys/fs/selinux/enforce), as $(tr -d '\0' </proc/self/attr/current)"
  # Programs, as what /usr/local/bin has.
  cp /bin/mount /run/our-mount && chcon system_u:object_r:bin_t:s0 /run/our-mount  # as who we are, not as mount_t
  /run/our-mount -o context=system_u:object_r:bin_t:s0 "$(disk tree)" /tree
else
  mount "$(disk tree)" /tree
fi
source /tree/.vm/environment
mkdir -p "$CRISP_VM_ROOT" /vm-out
mount --bind /tree "$CRISP_VM_ROOT"
ip link set lo up
cd "$CRISP_VM_ROOT"
export HOME=/root CRISP_VM_OUT=/vm-out
/bin/bash .vm/command
echo $? >/vm-out/.status
journalctl -b --no-pager -o short-monotonic >/vm-out/journal 2>/dev/null
tar -C /vm-out -cf "$(disk result)" . && sync
SCRIPT
  # critest loads its AppArmor profiles through it.
  printf '%s\n' '#!/bin/sh' 'exec "$@"' >"$tree/usr/local/bin/sudo"
  chmod 755 "$tree"/usr/local/sbin/crisp-vm "$tree/usr/local/bin/sudo"
}

# An init in busybox that loads the disk's driver and goes on into systemd.
make_initrd() {
  local tree=$out/tree initrd=$out/initrd.tmp release file order=()
  release=$(ls "$tree/usr/lib/modules")
  rm -rf "$initrd"
  mkdir -p "$initrd"/{bin,dev,proc,root,sys}
  cp "$tree/bin/busybox" "$initrd/bin/busybox"
  mapfile -t order < <(for file in "${boot_modules[@]}"; do
    modprobe -S "$release" -d "$tree" --show-depends "$file"
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++')
  # Newer kernels have them packed.
  for file in "${order[@]}"; do
    if [[ $file == *.xz ]]; then xz -dc "$file" >"$initrd/$(basename "$file" .xz)"; else cp "$file" "$initrd/"; fi
  done
  {
    echo '#!/bin/busybox sh'
    echo 'bb=/bin/busybox'
    echo '$bb mount -t devtmpfs dev /dev'
    for file in "${order[@]}"; do echo "\$bb insmod /$(basename "$file" .xz)"; done
    # Newer kernels find disks in any order.
    cat <<'INIT'
$bb mount -t sysfs sys /sys
disk=''
until [ -n "$disk" ]; do
  $bb sleep 0.05
  for one in /sys/block/vd*; do
    [ ! -e "$one/serial" ] || [ "$($bb cat "$one/serial")" != crisp-root ] || disk=/dev/${one##*/}
  done
done
$bb mount -t ext4 "$disk" /root || exec $bb sh
$bb umount /sys
$bb umount /dev
INIT
    echo 'exec $bb switch_root /root /lib/systemd/systemd'
  } >"$initrd/init"
  chmod 755 "$initrd/init"
  (cd "$initrd" && find . | cpio -o -H newc --quiet) >"$1"
  rm -rf "$initrd"
}

# make_payload IMAGE DRIVER COMMAND...: the tree that the machine sees, without debug information.
make_payload() {
  local image=$1 driver=$2 tree file name
  shift 2
  tree=$work/tree
  mkdir -p "$tree"/{.vm,build}
  cp -a "$root"/{docs,hack,test} "$tree/"
  if compgen -G "$root/build/crisp_*.deb" >/dev/null; then cp "$root"/build/crisp_*.deb "$tree/build/"; fi
  for name in bin e2e tests; do
    mkdir -p "$tree/build/$name"
    for file in "$root/build/$name"/*; do
      [[ -f $file && -x $file ]] || { [[ $file != *.tar ]] || cp "$file" "$tree/build/$name/"; continue; }
      strip -o "$tree/build/$name/${file##*/}" "$file"
    done
  done
  mkdir -p "$tree/build/tools" "$tree/build/critest-images"
  if [[ -d $root/build/tools/bin ]]; then cp -al "$root/build/tools/bin" "$tree/build/tools/"; fi
  if [[ -x $root/build/tools/kubernetes/bin/kubelet ]]; then cp -l "$root/build/tools/kubernetes/bin/kubelet" "$tree/build/tools/bin/"; fi
  for name in storage stamp; do
    [[ ! -e $root/build/critest-images/$name ]] || cp -a "$root/build/critest-images/$name" "$tree/build/critest-images/"
  done
  # What else the command takes: paths in this tree, separated by spaces.
  for name in ${CRISP_VM_WITH:-}; do
    mkdir -p "$tree/$(dirname "$name")"
    cp -a "$root/$name" "$tree/$name"
  done
  printf 'export CRISP_VM_ROOT=%q CRISP_CGROUP_DRIVER=%q CRISP_TEST_TIME_FACTOR=10\n' "$root" "$driver" \
    >"$tree/.vm/environment"
  printf '%q ' "$@" >"$tree/.vm/command"
  truncate -s 3G "$image"
  mkfs.ext4 -q -F -O ^has_journal -d "$tree" "$image"
  rm -rf "$tree"
}

run() {
  local driver=cgroupfs lsm=apparmor suite='' limit=3600 keep='' key status=0 security
  while [[ $# -gt 0 ]]; do
    case $1 in
      --driver) driver=$2; shift 2 ;;
      --lsm) lsm=$2; shift 2 ;;
      --kernel) suite=$2; shift 2 ;;
      --timeout) limit=$2; shift 2 ;;
      --keep) keep=$2; shift 2 ;;
      --) shift; break ;;
      *) fail "run: $1?" ;;
    esac
  done
  [[ $driver == cgroupfs || $driver == systemd ]] || fail "--driver $driver: cgroupfs or systemd"
  [[ -z $suite || $suite == backports ]] || fail "--kernel $suite: backports, or none"
  [[ $# -gt 0 ]] || fail "run: no command"
  case $lsm in
    apparmor) security='apparmor=1 security=apparmor' ;;
    selinux) security='selinux=1 security=selinux enforcing=1' ;;
    permissive) security='selinux=1 security=selinux enforcing=0' lsm=selinux ;;
    *) fail "--lsm $lsm: apparmor, selinux or permissive" ;;
  esac
  # Debian's qemu emulates cmpxchg16b in a way on which newer kernels die.
  local cpu=max${suite:+,-cx16}
  key=$(build_root "$lsm" "$suite")
  work=$(mktemp -d "$out/run.XXXXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
  make_payload "$work/tree.img" "$driver" "$@"
  truncate -s 512M "$work/result.img"
  # The disks' changes go to deleted files in TMPDIR.
  TMPDIR=$work timeout --kill-after=10 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu "$cpu" \
    -smp "${CRISP_VM_CPUS:-2}" -m "${CRISP_VM_MEMORY:-4G}" -nodefaults -display none -no-reboot \
    -kernel "$out/vmlinuz-$key" -initrd "$out/initrd-$key" \
    -append "console=ttyS0 quiet loglevel=4 mitigations=off random.trust_cpu=on rdinit=/init \
$security cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1 systemd.show_status=no panic=-1" \
    -drive "id=root,if=none,file=$out/root-$key.img,format=raw,snapshot=on,cache=unsafe" \
    -drive "id=tree,if=none,file=$work/tree.img,format=raw,snapshot=on,cache=unsafe" \
    -drive "id=result,if=none,file=$work/result.img,format=raw,cache=unsafe" \
    -device virtio-blk-pci,drive=root,serial=crisp-root \
    -device virtio-blk-pci,drive=tree,serial=crisp-tree \
    -device virtio-blk-pci,drive=result,serial=crisp-result \
    -serial "file:$work/console" -serial stdio </dev/null || status=$?
  if [[ $status == 124 || $status == 137 ]]; then
    echo "vm: not done after $limit s" >&2
    status=124
  elif mkdir "$work/result" && tar -C "$work/result" -xf "$work/result.img" 2>/dev/null &&
      [[ -f $work/result/.status ]]; then
    status=$(cat "$work/result/.status")
  else
    tail -20 "$work/console" >&2
    echo "vm: the machine left no result" >&2
    status=125
  fi
  if [[ -n $keep ]]; then
    mkdir -p "$keep"
    cp -a "$work/console" "$keep/"
    [[ ! -d $work/result ]] || cp -a "$work/result/." "$keep/"
  fi
  return "$status"
}

case ${1:-} in
  build) build_root "${2:-apparmor}" "${3:-}" >/dev/null ;;
  run) shift; run "$@" ;;
  *) sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2 ;;
esac
