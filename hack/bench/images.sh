# Sourced by hack/bench.sh. The images that are measured, and the registry that serves them.
#
#   busybox  what the pods run: one layer            pause  what containerd's pods need
#   small    the same busybox                        big    1 GB in 10 layers of this machine's programs
#   many     100,000 small files in one layer        deep   60 layers of 50 files each
#
# Made once, into build/bench/registry.

storage=$root/build/bench/registry

push_image() { jq -n "$@" | "$root/build/tools/bin/mkimage" -push "http://$registry/bench/$image:1" - >/dev/null; }

make_images() {
  make_once "$storage" "$(cat "$root/hack/bench/images.sh" "$root/hack/lib/trees.sh" "$bin/log-writer" /bin/busybox |
    sha256sum)" push_images
}

push_images() {
  local scratch=$work/images
  say "making the images"
  rm -rf "$storage/docker"
  mkdir -p "$scratch"/{busybox,pause}
  start_bench_registry
  make_small_images "$scratch"
  make_big_image "$scratch"
  make_many_image "$scratch"
  make_deep_image "$scratch"
  rm -rf "$scratch"
}

make_small_images() {
  local image
  busybox_tree "$1/busybox" /bin/busybox
  install -m 755 "$bin/log-writer" "$1/busybox/bin/log-writer"
  for image in busybox small; do
    push_image --arg tree "$1/busybox" \
      '{config: {Cmd: ["sh"], Env: ["PATH=/bin"]}, layers: [{tree: $tree, owner: "0:0"}]}'
  done
  build_pause "$1/pause/pause"
  image=pause
  push_image --arg tree "$1/pause" \
    '{config: {Entrypoint: ["/pause"]}, layers: [{tree: $tree, owner: "0:0"}]}'
}

# Programs and libraries compress as those in images do.
make_big_image() {
  local image=big layer
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

# text_files LAYER FROM TO FOLDERS MOST_LINES: entries for mkimage, one a line: files of random numbers,
# which compress to about a half, spread over folders.
text_files() {
  awk -v layer="$1" -v from="$2" -v to="$3" -v folders="$4" -v most="$5" 'BEGIN {
    srand(1 + layer)
    printf "{\"path\":\"layer%d\",\"type\":\"dir\"}\n", layer
    for (i = 0; i < folders; ++i) printf "{\"path\":\"layer%d/%d\",\"type\":\"dir\"}\n", layer, i
    for (i = from; i < to; ++i) {
      printf "{\"path\":\"layer%d/%d/%d.txt\",\"content\":\"", layer, i % folders, i
      for (line = 0; line <= i % most; ++line) {
        printf "%.0f %.0f %.0f %.0f\\n", rand() * 1e9, rand() * 1e9, rand() * 1e9, rand() * 1e9
      }
      print "\"}"
    }
  }'
}

make_many_image() {
  local image=many
  text_files 0 0 100000 1000 100 >"$1/many.json"
  push_image --slurpfile entries "$1/many.json" '{config: {Cmd: ["sh"]}, layers: [{entries: $entries}]}'
}

make_deep_image() {
  local image=deep layer
  for ((layer = 0; layer < 60; ++layer)); do
    text_files $layer 0 50 5 400 | jq -sc "{entries: .}"
  done >"$1/deep.json"
  push_image --slurpfile layers "$1/deep.json" '{config: {Cmd: ["sh"]}, layers: $layers}'
}

# The registry of this run; its address is in $registry.
start_bench_registry() {
  [[ -z ${registry:-} ]] || return 0
  registry=$(TMPDIR=$work start_registry --storage "$storage")
  echo "$registry" >"$work/registry"
  mirror_registry "$registry" "$work/certs.d" "$registry"
}
