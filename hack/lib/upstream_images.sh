# Sourced. What the images that Kubernetes' own tests pull are made of, when they are built here: programs
# into $out, descriptions of images for mkimage, pushes to the registry at $registry.
#
# A script that builds such images defines `build_trees` and `publish_all`, and calls make_images.

upstream_images=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")")
. "$upstream_images/image.sh"
. "$upstream_images/registry.sh"
. "$upstream_images/stamps.sh"
. "$upstream_images/trees.sh"

# make_images FILE...: fills the storage of a registry at $out/storage, and prints it. It is filled again when
# the script, what is here or a FILE has changed.
make_images() {
  make_once "$out" "$(cat "$0" "$upstream_images"/{image,trees,upstream_images}.sh "$@" | sha256sum)" _make_images
  echo "$out/storage"
}

_make_images() {
  rm -rf "$out/storage"
  build_busybox
  build_programs
  build_trees
  registry=$(start_registry --storage "$out/storage")
  trap 'stop_registry "$registry"' EXIT
  publish_all
}

# The busybox that is in Debian lacks applets that critest runs, and runs others without their file.
# So: its source with upstream's default configuration, linked statically.
build_busybox() {
  [[ -x $out/busybox ]] && return
  echo "images: building busybox" >&2
  local work=$out/busybox-src
  rm -rf "$work"
  mkdir -p "$work/lists/partial"
  # A source list and package lists of our own: the machine's stay as they are.
  printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s bookworm main\n' \
    "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/sources.list"
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
  (
    cd "$work"
    "${apt[@]}" update
    "${apt[@]}" source --only-source --download-only busybox
    tar xf busybox_*.orig.tar.*
    cd busybox-*/
    make defconfig
    sed -i 's/.*CONFIG_STATIC[ =].*/CONFIG_STATIC=y/' .config
    make -j"$(nproc)" busybox
    install -m 755 busybox "$out/busybox"
  ) >"$out/busybox.log" 2>&1 </dev/null || { tail -20 "$out/busybox.log" >&2; return 1; }
  rm -rf "$work"
}

build_programs() {
  build_pause "$out/pause"
  gcc -O2 -static -x c -o "$out/nnp" - <<'C'
#include <stdio.h>
#include <unistd.h>
int main(void) { printf("Effective uid: %d\n", (int)geteuid()); return 0; }
C
}

# What several images' configurations have in common, as JSON.
image_path='"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]'
shell_config="{\"Cmd\":[\"sh\"],$image_path}"
nginx_config="{\"Cmd\":[\"nginx\",\"-g\",\"daemon off;\"],\"ExposedPorts\":{\"80/tcp\":{}},\"StopSignal\":\"SIGQUIT\",$image_path}"

# image CONFIG LAYER...: the description of an image; a layer is a tree's name or a JSON object.
image() {
  local config=$1 layers=() layer
  shift
  for layer in "$@"; do
    [[ $layer == "{"* ]] || layer=$(jq -n --arg tree "$out/trees/$layer" '{tree: $tree, owner: "0:0"}')
    layers+=("$layer")
  done
  printf '%s\n' "${layers[@]}" | jq -s --argjson config "$config" '{config: $config, layers: .}'
}

# publish REPOSITORY:TAG...: pushes the image that stdin describes.
publish() {
  local targets=() target
  for target in "$@"; do targets+=(-push "http://$registry/$target"); done
  "$bin/mkimage" "${targets[@]}" - >/dev/null
}
