#!/bin/bash
# hack/demo.sh [--keep]: crisp's main job, start to finish, on a bare Debian 12 as root.
#
# Builds, starts crispd on /run/crisp/crisp.sock and a registry on loopback that holds an image
# made from this machine's nginx, pulls it, runs it in a pod with 256 MiB, half a CPU and host port 8080,
# looks at it from outside and inside, and removes everything. --keep
# leaves the daemon and the pod up and says what to type next.
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
cd "$(dirname "$0")/.."
keep=
case ${1-} in
  "") ;;
  --keep) keep=1 ;;
  *) bad_usage "$1?" ;;
esac

socket=/run/crisp/crisp.sock
work=/run/crisp-demo
. hack/lib/processes.sh
. hack/lib/registry.sh
. hack/lib/trees.sh
bin=build/bin
tools=build/tools/bin
host_port=8080

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
now_us() { echo $((${EPOCHREALTIME/./})); }
steps=()
step() { # NAME COMMAND...: runs it and notes the time.
  local name=$1 started
  shift
  started=$(now_us)
  "$@"
  steps+=("$(printf '%-12s %9.1f ms' "$name" "$(bc_ms $(($(now_us) - started)))")")
}
bc_ms() { awk "BEGIN {print $1 / 1000}"; }
crictl() { "$tools/crictl" --config /dev/null --runtime-endpoint "unix://$socket" --timeout 30s "$@"; }

# Also what is left of a run that was cut off.
clean_up() {
  if [[ -f $work/registry ]]; then TMPDIR=$work stop_registry "$(cat "$work/registry")" || true; fi
  if [[ -f $work/crispd.pid ]]; then
    kill "$(cat "$work/crispd.pid")" 2>/dev/null || true
    await_gone "$(cat "$work/crispd.pid")" 5 || true
  fi
  if [[ -x $bin/crispd ]]; then
    "$bin/crispd" --config "$work/config.yaml" reset --root "$work/root" --state /run/crisp >/dev/null 2>&1 || true
  fi
  rm -rf "$work"
}

build() {
  hack/deps.sh
  if [[ ! -f build/build.ninja ]]; then cmake --preset dev >/dev/null; fi
  cmake --build --preset dev --target crispd crisp crisp-shim | tail -n 1
  hack/tools.sh >/dev/null
}

# nginx in three layers: busybox, nginx with the libraries it needs, and a page.
push_images() {
  local tree=$work/tree
  busybox_tree "$tree/base" /bin/busybox
  nginx_tree "$tree/nginx" 80
  mkdir -p "$tree/page/usr/share/nginx/html"
  echo '<h1>Hello from a pod</h1>' >"$tree/page/usr/share/nginx/html/index.html"
  jq -n --arg t "$tree" '{layers: [
      {tree: ($t + "/base"), owner: "0:0"},
      {tree: ($t + "/nginx"), owner: "0:0", compression: "zstd"},
      {tree: ($t + "/page"), owner: "0:0"}],
    config: {Entrypoint: ["nginx"], Cmd: ["-g", "daemon off;"], Env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}}' |
    "$tools/mkimage" -push "http://$registry/web:1" - >/dev/null
}

start_daemon() {
  "$bin/crispd" --config "$work/config.yaml" --root "$work/root" --state /run/crisp \
    --listen "unix://$socket" --metrics-address 127.0.0.1:0 >"$work/crispd.log" 2>&1 &
  echo $! >"$work/crispd.pid"
  for _ in $(seq 500); do
    [[ -S $socket ]] && return
    kill -0 "$(cat "$work/crispd.pid")" 2>/dev/null || break
    sleep 0.01
  done
  echo "crispd does not start:"; cat "$work/crispd.log"; return 1
}

write_configs() {
  cat >"$work/pod.json" <<JSON
{"metadata": {"name": "web", "namespace": "demo", "uid": "demo-1"}, "hostname": "web",
 "log_directory": "$work/logs", "port_mappings": [{"container_port": 80, "host_port": $host_port}],
 "linux": {"cgroup_parent": "/crisp-demo"}}
JSON
  cat >"$work/container.json" <<JSON
{"metadata": {"name": "nginx"},
 "labels": {"io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "demo"}, "image": {"image": "$registry/web:1"}, "log_path": "nginx.log",
 "linux": {"resources": {"memory_limit_in_bytes": 268435456, "cpu_period": 100000, "cpu_quota": 50000},
           "security_context": {"namespace_options": {"pid": 1}, "seccomp": {"profile_type": 0}}}}
JSON
}

connect() { crictl version >/dev/null; }
pull() { crictl pull "$registry/web:1" >/dev/null; }
layers() { "$bin/crisp" --address "unix://$socket" images history "$registry/web:1"; }
run_pod() { pod=$(crictl runp "$work/pod.json"); }
create() { container=$(crictl create "$pod" "$work/container.json" "$work/pod.json"); }
start() { crictl start "$container" >/dev/null; }
inside() { crictl exec -s "$container" "$@" | sed '/^$/d'; }
answers() {
  for _ in $(seq 200); do
    page=$(curl -fsS "http://127.0.0.1:$host_port/" 2>/dev/null) && return
    sleep 0.01
  done
  echo "the web server does not answer"; crictl logs "$container"; return 1
}
remove() {
  crictl stopp "$pod" >/dev/null
  crictl rmp "$pod" >/dev/null
  crictl rmi "$registry/web:1" >/dev/null
}

say "Build"
build
if [[ -e $socket ]] && [[ ! -d $work ]]; then
  echo "$socket exists and is not this demo's: is a crispd running? Stop it first." >&2
  exit 1
fi
clean_up
mkdir -p "$work"
export TMPDIR=$work  # of the registry
trap 'status=$?; if [[ -z $keep || $status != 0 ]]; then clean_up; fi; exit $status' EXIT
printf 'network:\n  name: crisp0\n' >"$work/config.yaml"
started=$(now_us)
registry=$(start_registry)
echo "$registry" >"$work/registry"
push_images
start_daemon
write_configs

say "Eight steps"
step client connect
step pull pull
say "Layers of the image: shared between images, copy-on-write for containers"
step layers layers
step namespaces run_pod
step cgroups create
step entrypoint start
step running answers

say "From the host: curl http://127.0.0.1:$host_port/"
echo "$page"
say "From inside"
echo "pid 1:      $(inside cat /proc/1/cmdline | tr '\0' ' ')"
echo "hostname:   $(inside hostname)"
echo "address:    $(inside ip -4 -o addr show eth0 | awk '{print $4}')"
echo "memory:     $(inside sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max') bytes"
echo "cpu:        $(inside sh -c 'echo $(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max)') µs (quota period)"
echo "namespaces: $(inside sh -c 'for n in pid net uts mnt user ipc; do readlink /proc/self/ns/$n; done' | tr '\n' ' ')"
echo "the host's: $(for n in pid net uts mnt user ipc; do readlink /proc/self/ns/$n; done | tr '\n' ' ')"
say "crictl ps"
crictl ps

if [[ -n $keep ]]; then
  say "Left running. Next:"
  cat <<TEXT
  export CONTAINER_RUNTIME_ENDPOINT=unix://$socket
  $tools/crictl ps
  $tools/crictl exec -s ${container:0:13} ls /
  $tools/crictl stats
  $bin/crisp --address unix://$socket explain ${container:0:13}
  kubelet --container-runtime-endpoint=unix://$socket …
  hack/demo.sh            # starts over and removes everything
TEXT
else
  step clean-up remove
fi
say "What it took"
printf '%s\n' "${steps[@]}"
printf '%-12s %9.1f ms\n' "in all" "$(bc_ms $(($(now_us) - started)))"
