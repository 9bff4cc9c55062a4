#!/bin/bash
# Pods through Debian's CNI plugins (bridge + host-local + portmap + bandwidth), and through plugins
# that fail: addresses released, nothing left behind.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. hack/lib/daemon.sh
. hack/lib/image.sh
TMPDIR=$(mktemp -d)
export TMPDIR
bridge=cni$$
failed=0
finish() {
  stop_daemon || failed=1
  ip link del "$bridge" 2>/dev/null
  rm -rf "$TMPDIR"
  exit $failed
}
trap finish EXIT
fail() { echo "FAILED: $*"; failed=1; }
same() { [[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"; }

start_daemon || exit 1
conf=$CRISP_DIR/no-cni
mkdir -p "$conf" "$TMPDIR/bin"
make_busybox_tar "$TMPDIR/busybox.tar" crisp.test/busybox:latest
build/bin/crisp --address "unix://$CRISP_SOCKET" images import "$TMPDIR/busybox.tar" >/dev/null || exit 1
subnet=10.99.$(($$ % 250)).0/24
cat >"$conf/10-test.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "test$$", "plugins": [
  {"type": "bridge", "bridge": "$bridge", "isGateway": true,
   "ipam": {"type": "host-local", "dataDir": "$TMPDIR/ipam", "ranges": [[{"subnet": "$subnet"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}},
  {"type": "bandwidth", "capabilities": {"bandwidth": true}}]}
JSON
port=$((30000 + $$ % 20000))
pod_json() { # NAME
  cat <<JSON
{"metadata": {"name": "$1", "namespace": "cni", "uid": "uid-$1"}, "log_directory": "$TMPDIR/logs", "hostname": "$1",
 "annotations": {"kubernetes.io/ingress-bandwidth": "10M"},
 "port_mappings": [{"container_port": 80, "host_port": $port}], "linux": {"cgroup_parent": "/crisp-cni-$$"}}
JSON
}
leases() { find "$TMPDIR/ipam" -name '10.*' 2>/dev/null | wc -l; }
for _ in $(seq 50); do crictl info | jq -e '.status.conditions[] | select(.type == "NetworkReady").status' >/dev/null && break; sleep 0.1; done

echo "- a pod has the plugins' address, host port and limit"
pod_json web >"$TMPDIR/pod.json"
jq -n '{metadata: {name: "c"}, image: {image: "crisp.test/busybox:latest"}, log_path: "c.log",
  command: ["sh", "-c", "echo plugged > /index.html; exec httpd -f -p 80 -h /"],
  linux: {security_context: {namespace_options: {pid: 1}}}}' >"$TMPDIR/container.json"
pod=$(crictl runp "$TMPDIR/pod.json") || fail runp
container=$(crictl create "$pod" "$TMPDIR/container.json" "$TMPDIR/pod.json") || fail create
crictl start "$container" >/dev/null || fail start
address=$(crictl inspectp "$pod" | jq -r .status.network.ip)
[[ $address == "${subnet%.0/24}".* ]] || fail "address $address is not in $subnet"
same "lease" "$(leases)" 1
same "by address" "$(curl -fsS --retry 5 --retry-connrefused "http://$address/index.html")" plugged
if command -v iptables >/dev/null; then
  same "by host port" "$(curl -fsS --retry 5 --retry-connrefused "http://127.0.0.1:$port/index.html")" plugged
fi
tc qdisc show | grep -q tbf || fail "no bandwidth limit"

echo "- a restarted daemon knows the address, and releases it"
kill -9 "$CRISP_PID"; wait "$CRISP_PID" 2>/dev/null
launch_daemon || exit 1
same "address after the restart" "$(crictl inspectp "$pod" | jq -r .status.network.ip)" "$address"
crictl rmp -f "$pod" >/dev/null || fail rmp
same "leases after removal" "$(leases)" 0

echo "- a plugin that fails late leaves no lease and no namespace"
printf '#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" = ADD ] && { echo "{\\"cniVersion\\":\\"1.0.0\\",\\"code\\":11,\\"msg\\":\\"broken on purpose\\"}"; exit 1; }\nexit 0\n' >"$TMPDIR/bin/broken"
chmod 755 "$TMPDIR/bin/broken"
jq '.plugins += [{type: "broken"}]' "$conf/10-test.conflist" >"$conf/05-broken.conflist"
sed -i "s|cni_conf_dir: [^}]*|&, cni_bin_dirs: [$TMPDIR/bin, /usr/lib/cni]|" "$CRISP_DIR/config.yaml"
kill "$CRISP_PID"; wait "$CRISP_PID"
launch_daemon || exit 1
pod_json broken >"$TMPDIR/broken.json"
if output=$(crictl runp "$TMPDIR/broken.json" 2>&1); then fail "the broken network was accepted"; fi
grep -q "broken on purpose" <<<"$output" || fail "the error says: $output"
for _ in $(seq 50); do [[ $(leases) == 0 ]] && break; sleep 0.1; done
same "leases after the failure" "$(leases)" 0
crictl pods -q | xargs -r -n1 "$CRISP_ROOT/build/tools/bin/crictl" --runtime-endpoint "unix://$CRISP_SOCKET" rmp -f >/dev/null
same "pods" "$(crictl pods -q | wc -l)" 0

echo "- text that is not a CNI result"
printf '#!/bin/sh\ncat >/dev/null; echo "{{{{"\n' >"$TMPDIR/bin/garbage"
chmod 755 "$TMPDIR/bin/garbage"
echo '{"cniVersion": "1.0.0", "name": "g", "plugins": [{"type": "garbage"}]}' >"$conf/01-garbage.conflist"
if crictl runp "$TMPDIR/broken.json" >/dev/null 2>&1; then fail "garbage was accepted"; fi
crictl version >/dev/null || fail "crispd is gone"
[[ $failed == 0 ]] && echo passed
