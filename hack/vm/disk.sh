# Sourced by hack/vm.sh. The disk, the kernel and the initrd with which a machine boots.

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

# Options that name another suite's package lists (use_suite), or none.
apt_options=()

# kernel_package: prints the package with the newest kernel of the suite, if the lists know one.
kernel_package() {
  { apt-cache "${apt_options[@]}" depends linux-image-cloud-amd64 2>/dev/null || true; } |
    sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1
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
    cat "$root/hack/vm"/{disk.sh,crisp-vm,crisp-vm.service,init}
    { apt-cache "${apt_options[@]}" show --no-all-versions "$kernel"
      apt-cache show --no-all-versions "${all[@]}"; } 2>/dev/null | grep -E '^(Package|Version):'
    [[ $lsm != selinux ]] || cat "$root/hack/vm/container.cil"
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
    cd "$out/kernel.tmp" || exit
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
  cp "$root/hack/vm/container.cil" "$tree/root/"
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
  install -m 644 "$root/hack/vm/crisp-vm.service" "$tree/etc/systemd/system/"
  ln -sfn ../crisp-vm.service "$tree/etc/systemd/system/multi-user.target.wants/crisp-vm.service"
  install -m 755 "$root/hack/vm/crisp-vm" "$tree/usr/local/sbin/"
  # critest loads its AppArmor profiles through it.
  printf '%s\n' '#!/bin/sh' 'exec "$@"' >"$tree/usr/local/bin/sudo"
  chmod 755 "$tree/usr/local/bin/sudo"
}

# make_initrd FILE: busybox, the drivers of the disk, and hack/vm/init.
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
  for file in "${order[@]}"; do basename "$file" .xz; done >"$initrd/modules"
  install -m 755 "$root/hack/vm/init" "$initrd/init"
  (cd "$initrd" && find . | cpio -o -H newc --quiet) >"$1"
  rm -rf "$initrd"
}
