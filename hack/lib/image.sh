# Sourced: builds `docker save` tars from files, with nothing but coreutils, jq and a C compiler.

# make_image_tar OUT REFERENCE TREE CONFIG_JSON: one layer from the directory TREE; CONFIG_JSON is the
# image config's "config" object.
make_image_tar() {
  local out=$1 reference=$2 tree=$3 config=$4 work
  work=$(mktemp -d)
  tar -C "$tree" --numeric-owner --owner=0 --group=0 --sort=name --mtime=@0 -cf "$work/layer.tar" .
  local diff_id
  diff_id=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  jq -n --argjson config "$config" --arg diff "sha256:$diff_id" '{
    architecture: "amd64", os: "linux", created: "2024-01-01T00:00:00Z", config: $config,
    rootfs: {type: "layers", diff_ids: [$diff]},
    history: [{created: "2024-01-01T00:00:00Z", created_by: "make_image_tar"}]}' \
    > "$work/config.json"
  local id
  id=$(sha256sum "$work/config.json" | cut -d' ' -f1)
  mv "$work/config.json" "$work/$id.json"
  jq -n --arg id "$id.json" --arg ref "$reference" \
    '[{Config: $id, RepoTags: [$ref], Layers: ["layer.tar"]}]' > "$work/manifest.json"
  tar -C "$work" -cf "$out" "$id.json" layer.tar manifest.json
  rm -rf "$work"
}

# make_busybox_tar OUT REFERENCE: Debian's static busybox with a link per applet, and the usual files.
make_busybox_tar() {
  local out=$1 reference=$2 tree applet
  tree=$(mktemp -d)
  chmod 755 "$tree"
  mkdir -p "$tree"/{bin,etc,tmp,root,var,home,mnt}
  chmod 1777 "$tree/tmp"
  cp /bin/busybox "$tree/bin/busybox"
  for applet in $(/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$tree/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' > "$tree/etc/group"
  make_image_tar "$out" "$reference" "$tree" '{"Env": ["PATH=/bin"], "Cmd": ["sh"]}'
  rm -rf "$tree"
}

# make_e2e_image: prints the tar, new made, of the image that the tests in test/e2e import. In the tree's root.
make_e2e_image() {
  make_busybox_tar build/e2e/busybox.tar crisp.test/busybox:latest >&2 && echo build/e2e/busybox.tar
}

# build_pause OUT: a program that does nothing until it is told to end.
build_pause() {
  gcc -static -O2 -x c -o "$1" - <<'C'
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void leave(int signal) { (void)signal; _exit(0); }
int main(void) {
  signal(SIGINT, leave);
  signal(SIGTERM, leave);
  for (;;) pause();
}
C
}

# make_pause_tar OUT REFERENCE: the holder image that other runtimes want.
make_pause_tar() {
  local out=$1 reference=$2 tree
  tree=$(mktemp -d)
  build_pause "$tree/pause"
  make_image_tar "$out" "$reference" "$tree" '{"Entrypoint": ["/pause"]}'
  rm -rf "$tree"
}
