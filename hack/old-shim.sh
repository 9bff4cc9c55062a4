#!/bin/bash
# hack/old-shim.sh RELEASE OUT: builds crisp-shim as a release had it, from the history of this repository, and
# puts it at OUT; for the tests that run pods under the shims of every release. It takes some seconds, and only
# what the shim itself is made of: g++ and, where it is installed, musl.
#
# A clone that lacks the release's commit cannot: this says so, makes nothing, and the tests are skipped (test/skips).
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
[[ $# == 2 ]] || bad_usage
cd "$(dirname "$0")/.."
# Never changed, only added to: what runs in somebody's cluster. RELEASE is the wire's version in it.
declare -A commits=(
  [1]=ba48a491711111f91e66050145afe4008e44347b
)
release=$1
out=$(realpath -m "$2")
commit=${commits[$release]:?old-shim: there is no such release}

if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  echo "old-shim: this clone lacks $commit, so the tests that need its shim are skipped; 'git fetch --unshallow' brings it" >&2
  rm -f "$out"
  exit 0
fi
mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
git archive "$commit" runtime/plan_enums.h runtime/shim | tar -x -C "$work"

cxx=${CXX:-g++}
flags=(-std=c++20 -I"$work" -Os -fno-exceptions -fno-rtti -fno-threadsafe-statics)
link=()
libraries=()
musl=$(ls -d /usr/lib/*-linux-musl /usr/lib/musl/lib 2>/dev/null | head -1 || true)
if [[ -n $musl ]]; then
  flags+=(-DCRISP_SHIM_FREESTANDING -fPIE -ffunction-sections -fno-asynchronous-unwind-tables -nostdinc -nostdinc++
    -isystem "/usr/include/$(basename "$musl")" -idirafter "$($cxx -print-file-name=include)"
    -idirafter /usr/include -idirafter "/usr/include/$($cxx -print-multiarch)")
  link=(-nostdlib -static-pie "-Wl,--gc-sections" "-Wl,-z,relro,-z,now" "$musl"/{rcrt1,crti}.o -L"$musl")
  # mold gives it by itself.
  if command -v mold >/dev/null; then link+=(-fuse-ld=mold); else link+=("-Wl,--defsym=__dso_handle=0"); fi
  libraries=("-Wl,--start-group" -lc -lgcc "-Wl,--end-group" "$musl/crtn.o")
fi
sources=()
for source in "$work"/runtime/shim/*.cc; do
  [[ $source == *_test.cc ]] || sources+=("$source")
done
compile() { "$cxx" "${flags[@]}" -c "$1" -o "${1%.cc}.o"; }
for source in "${sources[@]}"; do
  compile "$source" &
  while (($(jobs -rp | wc -l) >= 2)); do wait -n; done
done
wait
"$cxx" "${link[@]}" "${sources[@]/%.cc/.o}" "${libraries[@]}" -o "$work/crisp-shim"
mv "$work/crisp-shim" "$out"
