#!/bin/bash
# hack/images.sh URL [mkimage's options]: pushes the images that tests and trials use to the registry
# at URL (http://127.0.0.1:5000), all made from Debian's busybox-static and nginx on this machine.
#
#   test/busybox:1 :zstd :plain   one layer: docker schema 2 and gzip; OCI and zstd; OCI, not compressed
#   test/web:1                    nginx on port 80, three layers
#   test/files:1                  owners, setuid, xattrs, links, a device; whiteouts in the second layer
#   test/multi:1                  an index: this machine's architecture between two that it cannot run
#   test/volume:1                 VOLUME, USER, WORKDIR, STOPSIGNAL and labels
#   library/busybox:latest, library/nginx:latest   test/busybox:1 and test/web:1, where docker.io has them
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
source "$root/hack/lib/trees.sh"
source "$root/hack/lib/usage.sh"
answer_help "$@"
[[ $# -gt 0 ]] || bad_usage "no URL"
bin=$("$root/hack/tools.sh")
url=$1
options=("${@:2}")
work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-images.XXXXXXXX")
trap 'rm -rf "$work"' EXIT

publish() { "$bin/mkimage" "${options[@]}" "${@/#/-push=$url/}" - >/dev/null; }

busybox_tree "$work/busybox" "$(command -v busybox)"
nginx_tree "$work/nginx" 80
mkdir -p "$work/page/usr/share/nginx/html"
echo '<h1>Hello from a pod</h1>' >"$work/page/usr/share/nginx/html/index.html"

base=$(jq -n --arg tree "$work/busybox" '{tree: $tree, owner: "0:0"}')
shell='{"Cmd": ["sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}'

jq -n --argjson base "$base" --argjson config "$shell" \
  '{format: "docker", config: $config, layers: [$base]}' | publish test/busybox:1 library/busybox:latest
jq -n --argjson base "$base" --argjson config "$shell" \
  '{config: $config, layers: [$base + {compression: "zstd"}]}' | publish test/busybox:zstd
jq -n --argjson base "$base" --argjson config "$shell" \
  '{config: $config, layers: [$base + {compression: "none"}]}' | publish test/busybox:plain

jq -n --argjson base "$base" --argjson config "$shell" --arg work "$work" '{
  config: ($config + {Entrypoint: ["nginx"], Cmd: ["-g", "daemon off;"], StopSignal: "SIGQUIT",
                      ExposedPorts: {"80/tcp": {}}}),
  layers: [$base, {tree: ($work + "/nginx"), owner: "0:0", compression: "zstd"},
           {tree: ($work + "/page"), owner: "0:0"}]}' | publish test/web:1 library/nginx:latest

jq -n --argjson base "$base" --argjson config "$shell" '{
  config: $config,
  layers: [$base,
    {entries: [
      {path: "data", type: "dir", mode: "0750", uid: 1000, gid: 2000},
      {path: "data/owned", content: "owned", mode: "0640", uid: 1000, gid: 2000},
      {path: "data/setuid", content: "#!/bin/sh\n", mode: "4755"},
      {path: "data/sticky", type: "dir", mode: "1777"},
      {path: "data/xattr", content: "x", xattrs: {"user.colour": "Ymx1ZQ=="}},
      {path: "data/soft", type: "symlink", target: "owned"},
      {path: "data/hard", type: "hardlink", target: "data/owned", mode: "0640", uid: 1000, gid: 2000},
      {path: "data/null", type: "char", mode: "0666", major: 1, minor: 3},
      {path: "data/pipe", type: "fifo"},
      {path: "data/gone", content: "below"},
      {path: "data/replaced", content: "below"},
      {path: "data/opaque", type: "dir"},
      {path: "data/opaque/old", content: "below"}]},
    {entries: [
      {path: "data/gone", type: "whiteout"},
      {path: "data/replaced", content: "above"},
      {path: "data/opaque", type: "dir"},
      {path: "data/opaque", type: "opaque"},
      {path: "data/opaque/new", content: "above"}]}]}' | publish test/files:1

jq -n --argjson base "$base" --argjson config "$shell" --arg here "$(dpkg --print-architecture)" '
  def image(os; architecture): {config: $config, platform: {os: os, architecture: architecture},
    layers: [$base, {entries: [{path: "platform", content: (os + "/" + architecture)}]}]};
  {images: [image("linux"; "s390x"), image("linux"; $here), image("windows"; $here)]}' | publish test/multi:1

jq -n --argjson base "$base" --argjson config "$shell" '{
  config: ($config + {User: "1000:2000", WorkingDir: "/work", Volumes: {"/volume": {}},
                      StopSignal: "SIGUSR1", Labels: {purpose: "test"}}),
  layers: [$base, {entries: [
    {path: "volume", type: "dir", uid: 1000, gid: 2000},
    {path: "volume/seed", content: "from the image", uid: 1000, gid: 2000}]}]}' | publish test/volume:1
