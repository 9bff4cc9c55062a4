#!/bin/bash
# What /metrics shows after some work, by the rules of Prometheus' own linter.
set -euo pipefail
cd "$(readlink -f "$(dirname "$0")/../..")"
source hack/lib/daemon.sh
hack/tools.sh >/dev/null

work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-metrics-test.XXXXXXXX")
clean_up() {
  local status=$?
  trap '' INT TERM
  stop_daemon || status=1
  rm -rf "$work"
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

start_daemon
jq -n '{metadata: {name: "p", namespace: "n", uid: "u"}, linux: {}}' >"$work/pod.json"
crictl runp "$work/pod.json" >/dev/null
crictl inspectp none >/dev/null 2>&1 || true  # one RPC that fails
crictl pull 127.0.0.1:1/no/such:image >/dev/null 2>&1 || true
port=$(grep -o 'metrics_port=[0-9]*' "$CRISP_DIR/crispd.log" | tail -1 | cut -d= -f2)
curl -fsS "http://127.0.0.1:$port/metrics" >"$work/metrics"
promtool check metrics <"$work/metrics"
for sample in 'crisp_pods{state="ready"} 1' 'crisp_containers{state="running"} 0' \
  'crisp_events_dropped_total 0' 'crisp_container_oom_kills_total 0'; do
  grep -qF "$sample" "$work/metrics" || { echo "FAILED: no sample $sample"; exit 1; }
done
grep -q '^crisp_rpcs_total{code="OK",method="RunPodSandbox"} 1' "$work/metrics" ||
  { echo "FAILED: the RPC is not counted"; exit 1; }
grep -q '^crisp_rpcs_total{code="NOT_FOUND",method="PodSandboxStatus"} 1' "$work/metrics" ||
  { echo "FAILED: the failed RPC is not counted"; exit 1; }
for pattern in 'crisp_build_info\{version="[^"]+"\} 1' 'crisp_rpc_duration_seconds_count\{method="RunPodSandbox"\} 1' \
  'crisp_rpcs_in_flight [0-9]' 'crisp_image_pulls_total\{result="[A-Z_]+"\} 1' 'crisp_image_pulls_in_flight 0' \
  'process_(open_fds|threads|resident_memory_bytes|start_time_seconds|cpu_seconds_total) [0-9.e+]+'; do
  grep -qE "^$pattern" "$work/metrics" || { echo "FAILED: no sample $pattern"; exit 1; }
done
echo "ok: metrics"
