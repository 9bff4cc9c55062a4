#!/bin/bash
# Pulls from real registries: names, digests, TLS, credentials, mirrors, compressions, an index,
# many layers; the shape of what was unpacked; removal, history, import and export; bad content.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. hack/lib/daemon.sh
. hack/lib/registry.sh
export TMPDIR
TMPDIR=$(mktemp -d)
mkimage=build/tools/bin/mkimage
registries=()
failed=0
finish() {
  for r in "${registries[@]}"; do stop_registry "$r"; done
  stop_daemon || failed=1
  rm -rf "$TMPDIR"
  exit $failed
}
trap finish EXIT

fail() { echo "FAILED: $*"; failed=1; }
same() { [[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"; }
crisp() { build/bin/crisp --address "unix://$CRISP_SOCKET" "$@"; }
refused() { # WHAT PATTERN COMMAND...: it fails and says so
  local what=$1 pattern=$2 output
  shift 2
  if output=$("$@" 2>&1); then fail "$what: it was accepted"; return; fi
  grep -qiE "$pattern" <<<"$output" || fail "$what: says '$output'"
}
field() { crictl inspecti "$1" | jq -r "$2"; }

start_daemon "image: {registry_config_dirs: [$TMPDIR/certs.d]}" || exit 1
plain=$(start_registry); registries+=("$plain")
busy=$(jq -n '{layers: [{entries: [{path: "bin/busybox", source: "/bin/busybox", mode: "0755"},
  {path: "bin/sh", type: "symlink", target: "busybox"}, {path: "etc/passwd", content: "root:x:0:0::/:/bin/sh\n"}]}],
  config: {Env: ["PATH=/bin"], Cmd: ["sh"]}}')

echo "- by tag, digest and id; one id everywhere"
digest=$($mkimage -push "http://$plain/app:v1" -push "http://$plain/app:latest" - <<<"$busy")
crictl pull "$plain/app:v1" >/dev/null || fail "pull by tag"
crictl pull "$plain/app" >/dev/null || fail "pull without a tag"
id=$(field "$plain/app:v1" .status.id)
same "tags" "$(field "$id" '.status.repoTags | sort | join(" ")')" "$plain/app:latest $plain/app:v1"
same "prefix" "$(field "${id#sha256:}" .status.id)" "$id"
crictl rmi "$id" >/dev/null || fail "rmi by id"
crictl pull "$plain/app@$digest" >/dev/null || fail "pull by digest"
same "a digest brings no tag" "$(field "$plain/app@$digest" '.status.repoTags | length')" 0
same "repo digest" "$(field "$plain/app@$digest" '.status.repoDigests[0]')" "$plain/app@$digest"
crictl rmi "$plain/app@$digest" >/dev/null
same "nothing is left" "$(crictl images -q | wc -l)" 0

echo "- gzip, zstd and plain layers, docker manifests, an index with platforms"
jq '.format = "docker"' <<<"$busy" | $mkimage -push "http://$plain/docker:1" - >/dev/null
jq '.layers += [{compression: "zstd", entries: [{path: "z", content: "zstd"}]},
    {compression: "none", entries: [{path: "n", content: "none"}]}]' <<<"$busy" | $mkimage -push "http://$plain/mixed:1" - >/dev/null
jq -n --argjson i "$busy" '{images: [($i + {platform: {os: "linux", architecture: "s390x"}}),
    ($i + {platform: {os: "linux", architecture: "amd64"}})]}' | $mkimage -push "http://$plain/index:1" - >/dev/null
for name in docker mixed index; do crictl pull "$plain/$name:1" >/dev/null || fail "pull $name"; done
jq -n --argjson i "$busy" '{images: [($i + {platform: {os: "linux", architecture: "s390x"}})]}' |
  $mkimage -push "http://$plain/foreign:1" - >/dev/null
refused "an image of other platforms" "platform|linux/amd64|no manifest" crictl pull "$plain/foreign:1"

echo "- sixty layers, whiteouts, hard links, setuid bits, and a container on top"
jq '.layers += [range(58) as $n | {entries: [{path: "layers/l\($n)", content: "\($n)"}]}]
  + [{entries: [{path: "layers/l7", type: "whiteout"}, {path: "suid", source: "/bin/busybox", mode: "4755"},
     {path: "hard", type: "hardlink", target: "suid"}]}]' <<<"$busy" | $mkimage -push "http://$plain/deep:1" - >/dev/null
crictl pull "$plain/deep:1" >/dev/null || fail "pull 60 layers"
cat >"$TMPDIR/pod.json" <<JSON
{"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "log_directory": "$TMPDIR/logs",
 "linux": {"cgroup_parent": "/crisp-images-$$", "security_context": {"namespace_options": {"network": 2}}}}
JSON
jq -n --arg i "$plain/deep:1" '{metadata: {name: "c"}, image: {image: $i}, command: ["/bin/busybox", "sleep", "1000"],
  log_path: "c.log", linux: {security_context: {namespace_options: {pid: 1, network: 2}}}}' >"$TMPDIR/container.json"
pod=$(crictl runp "$TMPDIR/pod.json") || fail "runp"
container=$(crictl create "$pod" "$TMPDIR/container.json" "$TMPDIR/pod.json") || fail "create"
crictl start "$container" >/dev/null || fail "start"
inside() { crictl exec -s "$container" /bin/busybox "$@" | tr -d '\r'; }
same "files of 58 layers less one whiteout" "$(inside ls /layers | grep -c ^l)" 57
same "setuid and hard link" "$(inside stat -c '%a %h' /suid)" "4755 2"
crisp images history "$plain/deep:1" >"$TMPDIR/history" || fail "history"
same "history lists each layer" "$(grep -c 'sha256:' "$TMPDIR/history")" 60
grep -q "${container:0:12}" "$TMPDIR/history" || fail "history does not name the container"

echo "- an image in use goes from the list, the container stays"
crictl rmi "$plain/deep:1" >/dev/null || fail "rmi in use"
same "still running" "$(inside cat /layers/l1)" 1
crictl rmp -f "$pod" >/dev/null || fail "rmp"

echo "- credentials and TLS"
secret=$(start_registry --tls --auth user:secret); registries+=("$secret")
ca=$(registry_folder "$secret")/ca.crt
$mkimage -ca "$ca" -user user:secret -push "https://$secret/private:1" - <<<"$busy" >/dev/null || fail "push"
mkdir -p "$TMPDIR/certs.d/$secret"
printf 'server = "https://%s"\n' "$secret" >"$TMPDIR/certs.d/$secret/hosts.toml"
refused "an unknown certificate" "certificate|SSL|TLS" crictl pull --creds user:secret "$secret/private:1"
printf 'server = "https://%s"\n[host."https://%s"]\n  ca = "%s"\n' "$secret" "$secret" "$ca" >"$TMPDIR/certs.d/$secret/hosts.toml"
refused "no credentials" "401|unauth|denied" crictl pull "$secret/private:1"
refused "wrong credentials" "401|unauth|denied" crictl pull --creds user:wrong "$secret/private:1"
if crictl pull --creds user:wrong "$secret/private:1" 2>&1 | grep -q wrong; then fail "the password is in the error"; fi
crictl pull --creds user:secret "$secret/private:1" >/dev/null || fail "pull with credentials"

echo "- a mirror stands in for a registry that does not exist"
mkdir -p "$TMPDIR/certs.d/no.such.registry.test"
printf 'server = "https://no.such.registry.test"\n[host."http://127.0.0.1:1"]\n  capabilities = ["pull", "resolve"]\n[host."http://%s"]\n  capabilities = ["pull", "resolve"]\n' \
  "$plain" >"$TMPDIR/certs.d/no.such.registry.test/hosts.toml"
crictl pull no.such.registry.test/app:v1 >/dev/null || fail "pull through the mirror"
same "named as asked" "$(field no.such.registry.test/app:v1 '.status.repoTags | map(select(startswith("no.such"))) | length')" 1

echo "- what is not there, not reachable or not a name"
refused "absent tag" "not found|404" crictl pull "$plain/app:none"
refused "unreachable" "RegistryUnavailable" crictl pull 127.0.0.1:1/app:1
refused "not a name" "invalid" crictl pull "UPPER//bad name"

echo "- a layer whose bytes are not its digest's leaves nothing"
folder=$(registry_folder "$plain")
jq '.layers[0].entries += [{path: "damaged", content: "x"}]' <<<"$busy" | $mkimage -push "http://$plain/damaged:1" - >/dev/null
before=$(crictl images -q | wc -l)
layer=$(curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$plain/v2/damaged/manifests/1" | jq -r '.layers[0].digest')
blob=$folder/storage/docker/registry/v2/blobs/sha256/${layer:7:2}/${layer:7}/data
size=$(stat -c %s "$blob")
dd if=/dev/urandom of="$blob" bs=1 seek=$((size / 2)) count=16 conv=notrunc 2>/dev/null
refused "damaged layer" "hash to|mismatch|corrupt|invalid|inflate" crictl pull "$plain/damaged:1"
same "no image came of it" "$(crictl images -q | wc -l)" "$before"

echo "- export and import give the same id"
crictl pull "$plain/mixed:1" >/dev/null
id=$(field "$plain/mixed:1" .status.id)
crisp images export "$plain/mixed:1" >"$TMPDIR/export.tar" || fail "export"
crictl rmi "$id" >/dev/null
crisp images import "$TMPDIR/export.tar" >/dev/null || fail "import"
same "imported id" "$(field "$plain/mixed:1" .status.id)" "$id"
head -c 3000 "$TMPDIR/export.tar" >"$TMPDIR/cut.tar"
refused "a truncated archive" "." crisp images import "$TMPDIR/cut.tar"

echo "- five removals at once"
pids=()
for n in 1 2 3 4 5; do crictl rmi "$id" >/dev/null 2>"$TMPDIR/rmi.$n" & pids+=($!); done
# crictl asks for the image first, and says "no such image" when another was quicker.
for n in 1 2 3 4 5; do
  wait "${pids[n - 1]}" || grep -q "no such image" "$TMPDIR/rmi.$n" || fail "concurrent rmi: $(cat "$TMPDIR/rmi.$n")"
done
crictl rmi -a >/dev/null 2>&1
same "an empty store" "$(crictl images -q | wc -l)" 0
for _ in $(seq 100); do [[ -z $(ls -A "$CRISP_DIR/root/layers" 2>/dev/null) ]] && break; sleep 0.1; done
same "no layer is left" "$(ls -A "$CRISP_DIR/root/layers" 2>/dev/null | wc -l)" 0
[[ $failed == 0 ]] && echo passed
