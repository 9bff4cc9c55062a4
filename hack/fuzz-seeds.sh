#!/bin/bash
# hack/fuzz-seeds.sh DIR: first inputs for the fuzz targets whose formats no mutation finds by itself,
# below DIR/<target>/: layers as tar writes them in each of its formats, and compressed streams.
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
[[ $# == 1 ]] || bad_usage
corpus=$(realpath -m "$1")
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
