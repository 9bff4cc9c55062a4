#!/bin/bash
# Images of every shape, pulled from registries of every kind through crictl, and what a container
# finds in them.
set -euo pipefail
cd "$(readlink -f "$(dirname "$0")/../..")"
source hack/lib/registry.sh
source hack/lib/daemon.sh
bin=$(hack/tools.sh)

plain='' secure='' work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-images-test.XXXXXXXX")
clean_up() {
  local status=$?
  trap '' INT TERM
  [[ -z $plain ]] || stop_registry "$plain"
  [[ -z $secure ]] || stop_registry "$secure"
  [[ $status == 0 ]] || tail -20 "${CRISP_DIR:-/nonexistent}/crispd.log" 2>/dev/null || true
  stop_daemon || status=1
  rm -rf "$work"
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() { echo "FAILED: $*"; exit 1; }
expect() { # WHAT GOT WANTED
  [[ $2 == "$3" ]] || fail "$1: got '$2', wanted '$3'"
  echo "ok: $1"
}

# run_in REFERENCE SCRIPT: what a shell script prints in a new container of the image.
run_in() {
  jq -n --arg image "$1" '{metadata: {name: "c"}, image: {image: $image}, command: ["sleep", "1000"]}' \
    >"$work/container.json"
  local container
  container=$(crictl create "$pod" "$work/container.json" "$work/pod.json")
  crictl start "$container" >/dev/null
  crictl exec -s "$container" sh -c "$2"
  crictl rm -f "$container" >/dev/null
}

plain=$(start_registry)
secure=$(start_registry --tls --auth user:secret)
hack/images.sh "http://$plain"
"$bin/mkimage" -user user:secret -ca "$(registry_folder "$secure")/ca.crt" \
  -push "https://$secure/private/image:1" - >/dev/null <<<'{"layers": [{"entries": [{"path": "secret", "content": "s"}]}]}'

mkdir -p "$work/certs.d/$secure" "$work/certs.d/mirrored.example"
printf '[host."https://%s"]\n  ca = "%s"\n' "$secure" "$(registry_folder "$secure")/ca.crt" \
  >"$work/certs.d/$secure/hosts.toml"
# The first host is dead: the second must be asked.
printf 'server = "http://127.0.0.1:1"\n[host."http://127.0.0.1:2"]\n[host."http://%s"]\n' "$plain" \
  >"$work/certs.d/mirrored.example/hosts.toml"
start_daemon "image: {registry_config_dirs: [$work/certs.d]}"

for tag in 1 zstd plain; do
  crictl pull "$plain/test/busybox:$tag" >/dev/null || fail "pull of busybox:$tag"
  echo "ok: pull busybox:$tag"
done
# The id is that of the config, which compression does not change.
expect "one image with three tags" \
  "$(crictl images -o json | jq -c '[.images[] | (.repoTags | length)]')" "[3]"

if crictl pull "$secure/private/image:1" >"$work/out" 2>&1; then fail "pull without credentials"; fi
if crictl pull --creds user:wrong "$secure/private/image:1" >"$work/out" 2>&1; then fail "pull with a wrong password"; fi
if grep -q wrong "$work/out"; then fail "the error tells the password: $(cat "$work/out")"; fi
echo "ok: the private registry refuses"
crictl pull --creds user:secret "$secure/private/image:1" >/dev/null || fail "pull over TLS with a password"
echo "ok: pull over TLS with a password"

crictl pull mirrored.example/test/busybox:1 >/dev/null || fail "pull through a mirror"
expect "a mirror's image keeps its own name" \
  "$(crictl images -o json | jq '[.images[].repoTags[] | select(. == "mirrored.example/test/busybox:1")] | length')" 1

if crictl pull "$plain/test/nothing:1" >"$work/out" 2>&1; then fail "pull of what does not exist"; fi
echo "ok: an absent image is an error"
grep 'image pull failed' "$CRISP_DIR/crispd.log" | grep -q "image=\"\?$plain/test/nothing:1" || fail "the log does not name the image"
echo "ok: the log names the image of a failed pull"

echo '{"metadata": {"name": "images", "namespace": "test", "uid": "images-1"}}' >"$work/pod.json"
pod=$(crictl runp "$work/pod.json")

crictl pull "$plain/test/files:1" >/dev/null
expect "owners, modes and links survive" \
  "$(run_in "$plain/test/files:1" 'cd /data; stat -c "%n %a %u:%g %F" . owned hard setuid sticky pipe null; readlink soft')" \
  ". 750 1000:2000 directory
owned 640 1000:2000 regular file
hard 640 1000:2000 regular file
setuid 4755 0:0 regular file
sticky 1777 0:0 directory
pipe 644 0:0 fifo
null 666 0:0 character special file
owned"
expect "hard links are one file" \
  "$(run_in "$plain/test/files:1" 'test /data/hard -ef /data/owned && echo same')" same
expect "whiteouts hide what is below" \
  "$(run_in "$plain/test/files:1" 'cd /data; cat replaced; echo; ls -A opaque; ls gone 2>/dev/null || echo none')" \
  "above
new
none"

crictl pull "$plain/test/multi:1" >/dev/null
expect "an index gives this machine's image" \
  "$(run_in "$plain/test/multi:1" 'cat /platform')" "linux/$(dpkg --print-architecture)"

crictl pull "$plain/test/volume:1" >/dev/null
expect "user, folder and volume come from the image" \
  "$(run_in "$plain/test/volume:1" 'id -u; id -g; pwd; cat /volume/seed; echo; touch /volume/new && echo writable')" \
  "1000
2000
/work
from the image
writable"
expect "the image's user is in its status" \
  "$(crictl inspecti "$plain/test/volume:1" | jq -r '.status.uid.value // .status.uid')" 1000

id=$(crictl inspecti "$plain/test/volume:1" | jq -r .status.id)
jq -n --arg image "$id" '{metadata: {name: "by-id"}, image: {image: $image}, command: ["sleep", "1000"]}' >"$work/container.json"
container=$(crictl create "$pod" "$work/container.json" "$work/pod.json")
expect "a container made by an image's id shows a name" \
  "$(crictl inspect "$container" | jq -r .status.image.image)" "$plain/test/volume:1"
expect "in the list as well" \
  "$(crictl ps -a -o json | jq -r --arg id "$container" '.containers[] | select(.id == $id) | .image.image')" "$plain/test/volume:1"

crictl rmp -f "$pod" >/dev/null
crisp() { build/bin/crisp --address "unix://$CRISP_SOCKET" "$@"; }
name="$plain/test/busybox:1"
crisp images export -o "$work/box.tar" "$name"
mkdir "$work/layout"
tar -C "$work/layout" -xf "$work/box.tar"
xz -k "$work/box.tar"
bzip2 -k "$work/box.tar"
for archive in box.tar box.tar.xz box.tar.bz2 layout; do
  crictl rmi "$name" >/dev/null
  expect "import of $archive" "$(crisp images import "$work/$archive")" "$name"
  [[ -n $(crictl inspecti "$name" | jq -r '.status.repoDigests[]') ]] || fail "the digest is lost"
done
if crisp images import - <"$work/box.tar.xz" >"$work/out" 2>&1; then fail "import of what is not read"; fi
grep -q 'xz -dc' "$work/out" || fail "it does not say what would do: $(cat "$work/out")"
expect "import under a name" "$(crisp images import --name named.test/box "$work/layout" | sort | tr '\n' ' ')" \
  "$(printf '%s\n' "$name" named.test/box:latest | sort | tr '\n' ' ')"
crictl rmi --all >/dev/null 2>&1 || fail "removing every image"
expect "no image is left" "$(crictl images -q | wc -l)" 0
