#!/bin/bash
# hack/fuzz-seeds.sh DIR: first inputs for the fuzz targets whose formats no mutation finds by itself,
# below DIR/<target>/: layers as tar writes them in each of its formats, compressed streams, and requests to a shim.
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
[[ $# == 1 ]] || bad_usage
corpus=$(realpath -m "$1")
root=$(realpath "$(dirname "$0")/..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$corpus"/{layer_tar_fuzzer,erofs_fuzzer,decompressor_fuzzer} "$work/tree"
cd "$work/tree"

mkdir -p usr/bin etc/deep "$(printf 'long%.0s' {1..40})"
echo root:x:0:0 >etc/passwd
ln etc/passwd etc/passwd.hard
ln -s ../../etc/passwd usr/bin/link
ln -s / etc/root
: >etc/.wh.gone
: >etc/deep/.wh..wh..opq
: >"$(printf 'name%.0s' {1..40})"
install -m 4755 /dev/null usr/bin/setuid
mkfifo etc/fifo
mknod etc/null c 1 3 2>/dev/null || true
truncate -s 64K etc/sparse
printf end >>etc/sparse
setfattr -n user.crisp -v seed etc/passwd 2>/dev/null || true

common=(--sort=name --mtime=@1 --blocking-factor=1)
for format in ustar gnu pax v7; do
  for member in etc usr .; do
    tar -c "${common[@]}" --format="$format" -f "$corpus/layer_tar_fuzzer/$format-${member/./all}" "$member" \
      2>/dev/null || true  # ustar and v7 cannot say all of it
  done
done
tar -c "${common[@]}" --format=pax --xattrs -f "$corpus/layer_tar_fuzzer/pax-xattrs" etc/passwd
tar -c "${common[@]}" --format=pax --sparse -f "$corpus/layer_tar_fuzzer/pax-sparse" etc/sparse
tar -c "${common[@]}" -P --transform 's,^,../../,' -f "$corpus/layer_tar_fuzzer/traversal" etc/passwd
tar -c "${common[@]}" -P --transform 's,^,/,' -f "$corpus/layer_tar_fuzzer/absolute" etc/passwd usr/bin/link
cp "$corpus"/layer_tar_fuzzer/* "$corpus/erofs_fuzzer/"

layer=$corpus/layer_tar_fuzzer/ustar-etc
cp etc/passwd "$corpus/decompressor_fuzzer/plain"
gzip -nc <"$layer" >"$corpus/decompressor_fuzzer/gzip"
{ gzip -nc <etc/passwd; gzip -nc <etc/passwd; } >"$corpus/decompressor_fuzzer/gzip-members"
zstd -qc <"$layer" >"$corpus/decompressor_fuzzer/zstd"
{ zstd -qc <etc/passwd; zstd -qc <etc/passwd; } >"$corpus/decompressor_fuzzer/zstd-frames"

# What a daemon says to a shim, as dispatch_fuzzer.cc reads it: pods, containers and execs with little in them.
u8() { local value; for value; do printf '%b' "\\x$(printf %02x "$value")"; done; }
u16() { local value; for value; do u8 $((value & 255)) $((value >> 8 & 255)); done; }
u32() { local value; for value; do u16 $((value & 65535)) $((value >> 16 & 65535)); done; }
u64() { local value; for value; do u32 "$value" 0; done; }
str() { local text; for text; do u32 ${#text}; printf '%s\0' "$text"; done; }
# A list of so many elements, whose bytes are read.
list() { cat >"$work/list"; u32 "$1" "$(stat -c %s "$work/list")"; cat "$work/list"; }
none() { u32 0 0; }
# plan KIND: the fields that are read, with their header.
plan() { cat >"$work/fields"; printf CPLN; u16 4 "$1"; u32 $(($(stat -c %s "$work/fields") + 12)); cat "$work/fields"; }
# request TYPE COMES FLAGS: its payload is read.
request() {
  cat >"$work/payload"
  u8 "$1" "$2"; u16 "$3" "$(stat -c %s "$work/payload")"; cat "$work/payload"
}
process() {
  str true | list 1; none; str ""; u32 0 0; none; u64 0 0 0 0 0; u8 0 "$1"; u16 24 80; u32 0 18; none
  str ""; u32 0; str "" ""; u16 0
}
container() { # ID PID-NAMESPACE
  { str "$1"; process 0; none; str "" ""; u8 0; str ""; u8 0; none; none; none; none
    u8 "$2"; u32 0; u8 0 0 0 1; none; u8 0; str ""; u32 0; u8 1 1; str ""; } | plan 2
}
exec_in() { { str e1 "$1"; process "$2"; none; u8 0; } | plan 3; }
pod() { { str p1 host; u8 1 1 1 "$1"; none; none; none; str /tmp; u64 65536; str "" ""; none; u8 0; } | plan 1; }
of() { str c1 | request "$1" "${2:-0}" "${3:-0}"; }
shim=$corpus/dispatch_fuzzer
mkdir -p "$shim"
# By their places in kTypes: create 2, start 3, signal 4, remove 5, and so on; 2 and 2048 are a root.
create() { container c1 1 | request 2 2 2048; }
{ create; of 14; of 3; { str c1; u32 15; } | request 4 0 0; : | request 11 0 0; of 5; } >"$shim/life"
{ create; of 3; exec_in c1 0 | request 7 4 1792; str e1 | request 8 0 0; of 9 4 1792; of 6; } >"$shim/exec"
{ create; of 3; exec_in c1 1 | request 7 4 768; { str c1 e1; u16 50 100; } | request 10 0 0; } >"$shim/terminal"
{ container c2 2 | request 2 3 2048; of 14; : | request 15 0 0; : | request 1 0 0; create; create; } >"$shim/aside"
{ create; of 3; : | request 12 0 0; : | request 11 16 0; : | request 12 0 0; } >"$shim/shutdown"
{ pod 0 | request 13 0 0; pod 1 | request 0 1 0; pod 0 | request 0 0 0; } >"$shim/pods"
for golden in "$root"/runtime/plan/golden/plan-*.txt; do
  for kind in container:2 exec:7 pod:0 pod:13; do
    { create; of 3
      printf '%b' "$(awk -v kind="${kind%:*}," '
        $1 == kind { on = 1; next }
        !NF { on = 0 }
        on { count = split(substr($0, 7, 47), bytes); for (i = 1; i <= count; ++i) printf "\\x%s", bytes[i] }' "$golden")" |
        request "${kind#*:}" 2 2048; } >"$shim/$(basename "$golden" .txt)-${kind/:/-}"
  done
done
