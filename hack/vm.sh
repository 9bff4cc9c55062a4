#!/bin/bash
# hack/vm.sh: a QEMU machine with Debian 12's kernel, cgroup v2 alone, systemd and AppArmor (or SELinux), for the
# tests that the machine at hand cannot run.
#
#   hack/vm.sh run [--driver cgroupfs|systemd] [--lsm apparmor|selinux|permissive] [--timeout SECONDS]
#              [--kernel backports] [--keep FOLDER] -- COMMAND...
#       boots, runs COMMAND as root in this tree's path and ends with its exit status (124 when the
#       time was up, 125 when the machine gave no status). --driver is what CRISP_CGROUP_DRIVER says
#       to the tests' daemons. What COMMAND leaves in $CRISP_VM_OUT is put in FOLDER afterwards.
#       selinux is enforcing Debian's default policy with hack/vm/container.cil; permissive only
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
. "$root/hack/lib/usage.sh"
. "$root/hack/vm/disk.sh"
. "$root/hack/vm/payload.sh"
answer_help "$@"

fail() { echo "vm: $*" >&2; exit 125; }

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
  *) bad_usage ;;
esac
