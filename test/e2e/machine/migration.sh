#!/bin/bash
# For hack/vm.sh, with the package of hack/package.sh in build/: a node moves from Debian's containerd to
# crisp and back, by the steps of docs/migrating.md, those in code blocks word for word. On the way the
# unit is restarted, killed, stopped and upgraded, and a pod lives through all of it.
#
# With a kubelet in build/tools/bin, that one runs the pod, as a static one; else crictl does.
set -uo pipefail
cd "$(dirname "$0")/../../.." || exit
[[ $(systemd-detect-virt --vm) == qemu ]] || { echo "for a machine of hack/vm.sh alone" >&2; exit 2; }
. hack/lib/image.sh
failed=0 starts=0 slice=crisptest.slice
fail() { echo "FAILED: $*"; failed=1; }
same() { [[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"; }
work=$(mktemp -d)
containerd=/run/containerd/containerd.sock
crisp=/run/crisp/crisp.sock
deb=$(echo build/crisp_*.deb)
kubelet=$PWD/build/tools/bin/kubelet
[[ -x $kubelet ]] || kubelet=''

# Runs the code block of docs/migrating.md that has this text in it.
documented() {
  local block
  block=$(awk -v text="$1" '
    /^ *```sh$/ { inside = 1; block = ""; next }
    /^ *```$/ { if (inside && index(block, text)) print block; inside = 0; next }
    inside { block = block $0 "\n" }' docs/migrating.md)
  [[ -n $block ]] || { fail "docs/migrating.md has no block with '$1'"; return; }
  (eval "set -e; $block") >"$work/log" 2>&1 || { cat "$work/log"; fail "the documented steps with '$1'"; }
}

on() { # SOCKET ARG...
  local socket=$1
  shift
  build/tools/bin/crictl --config /dev/null --timeout 300s --runtime-endpoint "unix://$socket" \
    --image-endpoint "unix://$socket" "$@"
}

# run_pod SOCKET: a web server in a pod; sets pod, container, address.
run_pod() {
  jq -n --arg uid "$RANDOM$RANDOM" --arg slice "$slice" '{metadata: {name: "web", namespace: "move", uid: $uid}, hostname: "web",
    log_directory: "/var/log/pods/move_web", linux: {cgroup_parent: $slice}}' >"$work/pod.json"
  jq -n '{metadata: {name: "c"}, image: {image: "crisp.test/busybox:latest"}, log_path: "c.log",
    command: ["/bin/sh", "-c", "echo served > /index.html; exec httpd -f -p 80 -h /"]}' >"$work/container.json"
  mkdir -p /var/log/pods/move_web
  pod=$(on "$1" runp "$work/pod.json") || { fail "runp on $1"; return 1; }
  container=$(on "$1" create "$pod" "$work/container.json" "$work/pod.json") || { fail "create on $1"; return 1; }
  on "$1" start "$container" >/dev/null || { fail "start on $1"; return 1; }
  address=$(on "$1" inspectp "$pod" | jq -r .status.network.ip)
  serves "on $1"
}

# start_pod SOCKET: the same, by the kubelet where there is one.
start_pod() {
  if [[ -z $kubelet ]]; then run_pod "$1"; return; fi
  systemctl start kubelet
  for _ in {1..300}; do
    container=$(on "$1" ps --name '^c$' -q 2>/dev/null | head -1)
    [[ -n $container ]] && break
    sleep 0.5
  done
  [[ -n $container ]] || { fail "the kubelet started no pod on $1"; journalctl --no-pager -u kubelet -n 30; return 1; }
  pod=$(on "$1" pods --name '^web-' -q | head -1)
  address=$(on "$1" inspectp "$pod" | jq -r .status.network.ip)
  starts=$((starts + 1))
  serves "on $1"
}

fetch() { curl -fsS --retry 8 --retry-connrefused --retry-all-errors --max-time 60 "http://$address/$1"; }

serves() { # WHEN
  same "the pod's answer $1" "$(fetch index.html)" served
  # The pod's volume has a line for each of its containers, of whichever runtime.
  [[ -z $kubelet ]] || same "starts $1" "$(fetch starts | wc -l)" "$starts"
}

leases() { find /var/lib/cni/networks/node -name '10.*' 2>/dev/null | wc -l; }
main_pid() { systemctl show -P MainPID crispd; }
# says LEVEL CHECK: whether the last report of doctor has such a finding.
report() { crisp doctor --json >"$work/doctor.json" 2>/dev/null; }
says() {
  jq -e --arg level "$1" --arg check "$2" 'any(.findings[]; .level == $level and .check == $check)' \
    "$work/doctor.json" >/dev/null || fail "doctor does not say $1 of $2: $(jq -c '.findings[] | select(.level != "ok") | [.level, .check, .found]' "$work/doctor.json" | xargs -0)"
}

answers() { # SOCKET
  for _ in {1..240}; do on "$1" version >/dev/null 2>&1 && return; sleep 0.5; done
  fail "nobody answers on $1"
  journalctl --no-pager -u crispd -u containerd | tail -30
}

# The kubelet's unit, a node address, and a static pod.
set_up_kubelet() {
  ln -s "$kubelet" /usr/bin/kubelet
  ip link add node0 type bridge && ip addr add 192.0.2.1/24 dev node0 && ip link set node0 up &&
    ip route add default via 192.0.2.2
  cat >/etc/systemd/system/kubelet.service <<'UNIT'
[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
Restart=always
UNIT
  systemctl daemon-reload
  mkdir -p /etc/kubernetes/manifests
  cat >/etc/kubernetes/manifests/web.yaml <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: move}
spec:
  hostname: web
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: crisp.test/busybox:latest
    imagePullPolicy: Never
    command: [/bin/sh, -c, "echo started >> /www/starts; echo served > /www/index.html; exec httpd -f -p 80 -h /www"]
    volumeMounts: [{name: www, mountPath: /www}]
  volumes: [{name: www, emptyDir: {}}]
YAML
}

# A node as kubeadm leaves it.
set_up_node() {
  rm -f /etc/cni/net.d/*  # podman's
  mkdir -p /etc/containerd /etc/cni/net.d /var/lib/kubelet "$work/tree"
  cat >/etc/containerd/config.toml <<'TOML'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "crisp.test/pause:latest"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
TOML
  cat >/etc/cni/net.d/10-node.conflist <<'JSON'
{"cniVersion": "1.0.0", "name": "node", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  cat >/var/lib/kubelet/config.yaml <<'YAML'
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
staticPodPath: /etc/kubernetes/manifests
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
YAML
  echo 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///var/run/containerd/containerd.sock --v=2"' \
    >/var/lib/kubelet/kubeadm-flags.env
  [[ -z $kubelet ]] || set_up_kubelet
  make_busybox_tar "$work/busybox.tar" crisp.test/busybox:latest
  mkdir -p "$work/tree/bin" && cp /bin/busybox "$work/tree/bin/sleep"
  make_image_tar "$work/pause.tar" crisp.test/pause:latest "$work/tree" '{"Entrypoint": ["/bin/sleep", "1000000"]}'
  systemctl unmask containerd 2>/dev/null
  systemctl start containerd
  answers $containerd
  for image in busybox pause; do ctr -n k8s.io images import "$work/$image.tar" >/dev/null || fail "ctr import"; done
}

echo "- a pod on containerd"
set_up_node
start_pod $containerd

echo "- the package starts nothing and leaves containerd's pod alone"
dpkg -i "$deb" >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log"; fail "dpkg -i"; exit 1; }
same "the unit" "$(systemctl is-active crispd) $(systemctl is-enabled crispd)" "inactive disabled"
same "systemd-analyze verify" "$(systemd-analyze verify --man=no crispd.service 2>&1 | grep crispd)" ""
serves "after the installation"
report
says error daemon
says warning "kubelet endpoint"
says ok "other runtimes: containerd"

echo "- crisp beside containerd"
documented 'cgroup_driver: systemd'
same "the unit" "$(systemctl is-active crispd) $(systemctl is-enabled crispd)" "active enabled"
same "socket" "$(stat -c '%a %U' $crisp)" "600 root"
same "oom_score_adj" "$(cat /proc/"$(main_pid)"/oom_score_adj)" -999
same "open files" "$(awk '/^Max open files/ {print $4, $5}' /proc/"$(main_pid)"/limits)" "1048576 1048576"
report
says ok daemon
says ok "cgroup driver"
serves "with crispd beside it"
(eval "$(grep -o 'ctr -n k8s.io images export.*' docs/migrating.md | head -1)") >"$work/import.log" 2>&1 ||
  fail "images cannot be carried over: $(cat "$work/import.log")"
[[ $(crisp images list) == *crisp.test/busybox:latest* ]] || fail "the image did not arrive: $(crisp images list)"

echo "- the move"
[[ -z $kubelet ]] || systemctl stop kubelet
on $containerd rmp -a -f >/dev/null || fail "rmp on containerd"
same "leases of containerd" "$(leases)" 0
systemctl disable --now containerd 2>/dev/null
documented kubeadm-flags.env
report
says ok "kubelet endpoint"
says ok "other runtimes: containerd"
says ok CNI
start_pod $crisp
if [[ -n $kubelet ]]; then
  crisp doctor >"${CRISP_VM_OUT:-$work}/doctor" 2>&1 || { cat "${CRISP_VM_OUT:-$work}/doctor"; fail "doctor"; }
  report
  says ok kubelet
fi

echo "- restart, kill, stop, upgrade: the pod serves on"
for how in "systemctl restart crispd" "systemctl kill --kill-whom=main -s KILL crispd" "dpkg -i $deb"; do
  before=$(main_pid)
  $how >"$work/log" 2>&1 || { cat "$work/log"; fail "$how"; }
  for _ in {1..120}; do [[ $(main_pid) != "$before" && $(systemctl is-active crispd) == active ]] && break; sleep 0.5; done
  [[ $(main_pid) != "$before" ]] || fail "$how: the daemon is the same"
  answers $crisp
  serves "after $how"
  same "exec after $how" "$(on $crisp exec --sync "$container" hostname)" web
  same "restarts after $how" "$(on $crisp ps -q | wc -l)" 1
done
systemctl stop crispd
serves "while crispd is stopped"
dpkg -i "$deb" >"$work/log" 2>&1 || fail "dpkg -i while it is stopped"
same "the unit after an upgrade while it was stopped" "$(systemctl is-active crispd) $(systemctl is-enabled crispd)" "inactive enabled"
systemctl start crispd
same "exec after the stop" "$(on $crisp exec --sync "$container" hostname)" web

echo "- and back"
[[ -z $kubelet ]] || systemctl stop kubelet
on $crisp rmp -a -f >/dev/null || fail "rmp on crisp"
for _ in {1..60}; do [[ $(leases) == 0 ]] && break; sleep 0.5; done
same "leases of crisp" "$(leases)" 0
systemctl disable --now crispd 2>/dev/null
systemctl enable --now containerd 2>/dev/null
cp -a /var/lib/kubelet/config.yaml.before-crisp /var/lib/kubelet/config.yaml
cp -a /var/lib/kubelet/kubeadm-flags.env.before-crisp /var/lib/kubelet/kubeadm-flags.env
answers $containerd
start_pod $containerd
report
says warning "kubelet endpoint"
says ok "other runtimes: containerd"

echo "- with the driver cgroupfs, shims are in the unit's own cgroup, and live on as well"
printf 'runtime:\n  cgroup_driver: cgroupfs\nnetwork:\n  cni_conf_dir: /nowhere\n' >/etc/crisp/config.d/10-node.yaml
systemctl start crispd
web=$address slice=/crisptest
kubelet='' run_pod $crisp
report
says warning "pods of crisp"
for how in "systemctl restart crispd" "systemctl kill --kill-whom=main -s KILL crispd" "systemctl stop crispd"; do
  $how || fail "$how"
  kubelet='' serves "after $how"
done
systemctl start crispd
answers $crisp
same "exec at last" "$(on $crisp exec --sync "$container" hostname)" web
systemctl stop crispd
address=$web

echo "- reset and purge leave nothing of crisp, and containerd's pod"
crispd reset >"$work/log" 2>&1 || { cat "$work/log"; fail "crispd reset"; }
rm -r /etc/crisp/config.d
dpkg -P crisp >"$work/log" 2>&1 || { cat "$work/log"; fail "dpkg -P"; }
same "what is left" "$(ls -d /etc/crisp /var/lib/crisp /run/crisp /etc/systemd/system/*/crispd.service 2>/dev/null)" ""
same "processes" "$(pgrep -l crisp | grep -v crisp-vm)" ""
same "links" "$(ip -o link | grep -c crisp)" 0
same "tables" "$(nft list tables | grep -c crisp)" 0
serves "at the end"
# By these names the kubelet counts restarts, across runtimes.
[[ -z $kubelet ]] || same "logs" "$(cd /var/log/pods/move_web-*/c && echo *)" "0.log 1.log 2.log"
[[ -z $kubelet ]] || systemctl stop kubelet
on $containerd rmp -a -f >/dev/null
[[ $failed == 0 ]] && echo passed
exit $failed
