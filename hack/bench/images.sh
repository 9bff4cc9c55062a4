# Sourced by hack/bench.sh. The images that are measured, and the registry that serves them.
#
#   busybox  what the pods run: one layer            pause  what containerd's pods need
#   small    the same busybox                        big    1 GB in 10 layers of this machine's programs
#   many     100,000 small files in one layer        deep   60 layers of 50 files each
#
# Made once, into build/bench/registry.

storage=$root/build/bench/registry

push_image() { jq -n "$@" | "$peers/mkimage" -push "http://$registry/bench/$image:1" - >/dev/null; }

make_images() {
  local scratch stamp
  stamp=$(cat "$root/hack/bench/images.sh" "$root/hack/lib/trees.sh" "$bin/log-writer" /bin/busybox | sha256sum)
  [[ $(cat "$storage/stamp" 2>/dev/null) == "$stamp" ]] && return
  say "making the images"
  rm -rf "$storage"
  mkdir -p "$storage"
  scratch=$work/images
  mkdir -p "$scratch"/{busybox,pause}
  start_bench_registry
  make_small_images "$scratch"
  make_big_image "$scratch"
  make_many_image
  make_deep_image
  rm -rf "$scratch"
  echo "$stamp" >"$storage/stamp"
}

make_small_images() {
  local image
  busybox_tree "$1/busybox" /bin/busybox
  install -m 755 "$bin/log-writer" "$1/busybox/bin/log-writer"
  for image in busybox small; do
    push_image --arg tree "$1/busybox" \
      '{config: {Cmd: ["sh"], Env: ["PATH=/bin"]}, layers: [{tree: $tree, owner: "0:0"}]}'
  done
  printf '#include <unistd.h>\nint main(void) { for (;;) pause(); }\n' |
    gcc -static -O2 -x c - -o "$1/pause/pause"
  image=pause
  push_image --arg tree "$1/pause" \
    '{config: {Entrypoint: ["/pause"]}, layers: [{tree: $tree, owner: "0:0"}]}'
}

# Programs and libraries compress as those in images do.
make_big_image() {
  local image=big layer file
  find /usr/lib /usr/bin /usr/libexec /usr/local -xdev -type f -size +32k 2>/dev/null | sort >"$1/files"
  for ((layer = 0; layer < 10; ++layer)); do
    mkdir -p "$1/big$layer/opt/layer$layer"
    # From another place each time, around the end where there is less than a gigabyte.
    { tail -n +$((layer * $(wc -l <"$1/files") / 10 + 1)) "$1/files"; cat "$1/files"; } |
      tr '\n' '\0' | xargs -0 cat 2>/dev/null | head -c 100000000 |
      split -b 10000000 - "$1/big$layer/opt/layer$layer/part-" || true
  done
  push_image --arg scratch "$1" '{config: {Cmd: ["sh"]},
    layers: [range(10) | {tree: "\($scratch)/big\(.)", owner: "0:0"}]}'
}

make_many_image() {
  local image=many
  push_image '{config: {Cmd: ["sh"]}, layers: [{entries: [
    (range(1000) | {path: "files/\(.)", type: "dir"}),
    (range(100000) | {path: "files/\(. % 1000)/\(.).txt",
                      content: ("file \(.), line \(. * 7919 % 104729)\n" * (1 + . % 150))})]}]}'
}

make_deep_image() {
  local image=deep
  push_image '{config: {Cmd: ["sh"]}, layers: [range(60) | . as $layer | {entries: [
    {path: "layer\($layer)", type: "dir"},
    (range(50) | {path: "layer\($layer)/\(.).txt",
                  content: ("layer \($layer), file \(.)\n" * (100 + . * 40))})]}]}'
}

# The registry of this run; its address is in $registry.
start_bench_registry() {
  [[ -z ${registry:-} ]] || return 0
  registry=$(TMPDIR=$work start_registry --storage "$storage")
  echo "$registry" >"$work/registry"
  mkdir -p "$work/certs.d/$registry"
  printf 'server = "http://%s"\n[host."http://%s"]\n  capabilities = ["pull", "resolve"]\n' \
    "$registry" "$registry" >"$work/certs.d/$registry/hosts.toml"
}
