#!/bin/bash
# hack/bench.sh [--count N] [--keep N]: crisp beside Debian's containerd + runc, through the same CRI
# client on the same machine in one run, in alternating rounds. Prints each one's percentiles, their
# ratio, and the memory of crisp's processes.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/bench/image.sh

count=100 keep=100 rounds=2
while [ $# -gt 0 ]; do
  case $1 in
    --count) count=$2; shift 2 ;;
    --keep) keep=$2; shift 2 ;;
    *) echo "usage: hack/bench.sh [--count N] [--keep N]" >&2; exit 2 ;;
  esac
done

dpkg-query -W containerd runc >/dev/null 2>&1 ||
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends containerd runc >/dev/null
bin=build/release/bin
[ -x $bin/crispd ] || { cmake --preset release >/dev/null && cmake --build --preset release; }

work=$(mktemp -d /tmp/crisp-bench-XXXXXX)
crispd_pid= containerd_pid=
clean_up() {
  set +e
  [ -n "$crispd_pid" ] && kill "$crispd_pid" 2>/dev/null && wait "$crispd_pid" 2>/dev/null
  "$bin/crispd" --config "$work/crisp.yaml" reset --root "$work/crisp" --state "$work/crisp-state" >/dev/null 2>&1
  if [ -n "$containerd_pid" ]; then
    kill "$containerd_pid" 2>/dev/null; wait "$containerd_pid" 2>/dev/null
    containerd_left
    ip link del benchbr0 2>/dev/null
    grep -o "$work[^ ]*" /proc/self/mountinfo | sort -r | xargs -r -n1 umount -l 2>/dev/null
  fi
  rm -rf "$work"
}
trap clean_up EXIT

# Processes below PID, itself not among them: the broker and the shims of a crispd.
descendants() {
  local child
  for child in $(cat "/proc/$1"/task/*/children 2>/dev/null); do
    echo "$child"
    descendants "$child"
  done
}

# containerd's shims leave its process tree and outlive it; they are known by the socket that they
# were given. Then the cgroups that only this run can have made.
containerd_left() {
  local pid
  for pid in $(grep -lsF "$work/containerd.sock" /proc/[0-9]*/cmdline | cut -d/ -f3); do
    kill -9 "$pid" 2>/dev/null
  done
  find /sys/fs/cgroup/*/crisp-bench-peer -depth -type d -exec rmdir {} + 2>/dev/null
}

make_busybox_tar "$work/busybox.tar" crisp.test/busybox:latest
make_pause_tar "$work/pause.tar" crisp.test/pause:latest
mkdir -p "$work/cni" "$work/logs"

cat > "$work/crisp.yaml" <<YAML
network:
  name: crispbench0
  subnets: ["10.97.0.0/16"]
  cni_conf_dir: $work/no-cni
YAML
$bin/crispd --config "$work/crisp.yaml" --root "$work/crisp" --state "$work/crisp-state" \
  --listen "unix://$work/crisp.sock" --metrics-address 127.0.0.1:0 > "$work/crispd.log" 2>&1 &
crispd_pid=$!

cat > "$work/cni/10-bench.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "bench", "plugins": [
  {"type": "bridge", "bridge": "benchbr0", "isGateway": true,
   "ipam": {"type": "host-local", "dataDir": "$work/ipam", "ranges": [[{"subnet": "10.98.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
cat > "$work/containerd.toml" <<TOML
version = 2
root = "$work/containerd"
state = "$work/containerd-state"
[grpc]
  address = "$work/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "crisp.test/pause:latest"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$work/cni"
TOML
containerd --config "$work/containerd.toml" > "$work/containerd.log" 2>&1 &
containerd_pid=$!
for _ in $(seq 100); do [ -S "$work/containerd.sock" ] && [ -S "$work/crisp.sock" ] && break; sleep 0.1; done
for _ in $(seq 50); do ctr -a "$work/containerd.sock" version >/dev/null 2>&1 && break; sleep 0.1; done

for image in busybox pause; do
  ctr -a "$work/containerd.sock" -n k8s.io images import "$work/$image.tar" >/dev/null
done
$bin/crisp --address "unix://$work/crisp.sock" images import "$work/busybox.tar" >/dev/null

measure() { # NAME SOCKET ROUND [CGROUP_PARENT]
  $bin/cri-latency --endpoint "unix://$2" --image crisp.test/busybox:latest --count "$((count / rounds))" \
    --tag "$1-$3" --cgroup-parent "${4:-}" --log-directory "$work/logs" --json > "$work/$1-$3.json"
}
for round in $(seq $rounds); do
  measure containerd "$work/containerd.sock" "$round" /crisp-bench-peer
  measure crisp "$work/crisp.sock" "$round"
done
echo "containerd $(containerd --version | cut -d' ' -f3), $(runc --version | head -1); p50 of $count in $rounds rounds, µs"
jq -rn --slurpfile a <(cat "$work"/crisp-*.json) --slurpfile b <(cat "$work"/containerd-*.json) '
  def mid(x; k): [x[][k].p50] | add / length;
  ["step", "crisp", "containerd", "ratio"],
  ($a[0] | keys_unsorted[] as $k | [$k, (mid($a; $k) | round), (mid($b; $k) | round),
    ((mid($b; $k) / mid($a; $k)) * 10 | round / 10)]) | @tsv' | column -t -s "$(printf '\t')"

pss() { awk '/^Pss:/ {sum += $2} END {print sum + 0}' "/proc/$1/smaps_rollup"; }
mkfifo "$work/hold"
$bin/cri-latency --endpoint "unix://$work/crisp.sock" --image crisp.test/busybox:latest --keep "$keep" --hold \
  --tag kept --log-directory "$work/logs" < "$work/hold" > "$work/hold.out" &
hold_pid=$!
exec 8> "$work/hold"
until grep -q ready "$work/hold.out"; do kill -0 $hold_pid; sleep 0.2; done
echo "with $keep pods: crispd PSS $(pss $crispd_pid) kB"
descendants "$crispd_pid" | while read -r pid; do
  ! grep -aq "^crisp-shim" "/proc/$pid/cmdline" || pss "$pid"
done | sort -n |
  awk '{v[NR] = $1; s += $1} END {if (NR) printf "%d shims: PSS median %d kB, largest %d kB, sum %d kB\n", NR, v[int((NR+1)/2)], v[NR], s}'
echo >&8
exec 8>&-
wait $hold_pid
