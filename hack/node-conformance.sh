#!/bin/bash
# hack/node-conformance.sh [--slow|--serial] [ginkgo's options...]: runs Kubernetes' own node tests, those it
# calls NodeConformance, with an unmodified kubelet on a crispd of its own, and the images of
# hack/node-images.sh. For example: hack/node-conformance.sh --focus 'Probing container'
#
#   (neither)   those that are neither slow nor serial, eight at a time: some ten minutes
#   --slow      those that wait for minutes
#   --serial    those that reconfigure or restart the kubelet, one after the other
#
# The suite wants a machine for itself: fixed ports, /var/lib/kubelet, the cgroup /. So it runs in
# namespaces of its own for mounts, network, processes and cgroups, and several runs do not meet.
# hack/node-conformance-skips.txt says what is left out and why. The exit status says whether a test
# failed. Logs and the report are in build/node-conformance.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
mode=fast processes=8 filter='!Serial && !Slow'
case ${1:-} in
  --slow) mode=slow processes=12 filter='!Serial && Slow' ;;
  --serial) mode=serial processes=1 filter=Serial ;;
esac
logs=$root/build/node-conformance/$mode
. "$root/hack/lib/suites.sh"

say() { echo "node-conformance: $*"; }
cgroup_hierarchies() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/self/mounts; }

# ---- outside ------------------------------------------------------------------------------------

# What the suite and the kubelet write at fixed places goes elsewhere.
covered=(/var/lib/kubelet /var/log/pods /var/log/containers)

make_cgroups() {
  local hierarchy name
  while read -r hierarchy; do
    mkdir -p "$hierarchy$cgroup"
    if [[ -f $hierarchy/cpuset.cpus ]]; then
      for name in cpuset.cpus cpuset.mems; do cat "$hierarchy/$name" >"$hierarchy$cgroup/$name"; done
    fi
  done < <(cgroup_hierarchies)
}

# Whatever is in them is the run's. The innermost are removed first.
remove_cgroups() {
  local hierarchy folder left
  for _ in {1..100}; do
    left=0
    while read -r hierarchy; do
      [[ -d $hierarchy$cgroup ]] || continue
      while read -r folder; do
        xargs -r kill -KILL <"$folder/cgroup.procs" 2>/dev/null || true
        rmdir "$folder" 2>/dev/null || left=1
      done < <(find "$hierarchy$cgroup" -depth -type d)
    done < <(cgroup_hierarchies)
    [[ $left != 0 ]] || return 0
    sleep 0.05
  done
  say "some of the cgroups $cgroup cannot be removed" >&2
  return 1
}

outside() {
  [[ $EUID == 0 ]] || { say "not root" >&2; exit 1; }
  "$root/hack/deps.sh" cluster
  "$root/hack/tools.sh" >/dev/null
  "$root/hack/kubernetes.sh" tests >/dev/null
  "$root/hack/node-images.sh" >/dev/null
  rm -rf "$logs"
  mkdir -p "$logs"
  work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-node.XXXXXXXX")
  cgroup=/${work##*/}
  made=()
  local folder
  for folder in "${covered[@]}"; do
    [[ -d $folder ]] || { mkdir -p "$folder"; made+=("$folder"); }
  done
  trap 'trap "" INT TERM; remove_cgroups; rm -rf --one-file-system "$work"; [[ ${#made[@]} == 0 ]] || rmdir "${made[@]}"' EXIT
  trap 'exit 130' INT TERM
  make_cgroups
  (
    while read -r hierarchy; do echo "$BASHPID" >"$hierarchy$cgroup/cgroup.procs"; done < <(cgroup_hierarchies)
    exec unshare --mount --net --cgroup --pid --fork --kill-child --mount-proc "$0" "--$mode" --inside "$work" "$@"
  ) &
  local status=0
  wait $! || status=$?
  summarize || status=1
  return $status
}

# ---- inside -------------------------------------------------------------------------------------

# The cgroup of this run becomes the root of every hierarchy.
mount_cgroups() {
  local kind folder options
  while read -r _ folder kind options _; do
    [[ $kind == cgroup || $kind == cgroup2 ]] || continue
    umount "$folder"
    case $options in
      *name=systemd*) options=none,name=systemd ;;
      *) options=${options##*rw,} ;;
    esac
    [[ $kind == cgroup ]] || options=rw
    mount -t "$kind" -o "$options" "$kind" "$folder"
  done < <(cat /proc/self/mounts)
}

cover() {
  local folder
  for folder in "${covered[@]}"; do
    mkdir -p "$work/cover$folder"
    mount --bind "$work/cover$folder" "$folder"
  done
  bind_kernel_settings "$work/sysctl"
}

# The suite has systemd start the kubelet where there is a systemd-run, be it for nothing. Serial tests
# cannot do without.
replace_systemd() {
  local program
  if [[ $mode == serial ]]; then
    export KUBELET_UNITS=$work/units
    mkdir -p "$KUBELET_UNITS"
    for program in systemd-run systemctl; do ln -s "$root/hack/lib/kubelet-unit.sh" "$work/bin/$program"; done
  elif program=$(command -v systemd-run); then
    mount --bind /dev/null "$program"
  fi
}

# The suite wants to see crispd's cgroup as that of the runtime.
runtime_cgroup=/runtime
make_runtime_cgroup() {
  local hierarchy name
  while read -r hierarchy; do
    mkdir -p "$hierarchy$runtime_cgroup"
    for name in cpuset.cpus cpuset.mems; do
      [[ ! -f $hierarchy/$name ]] || cat "$hierarchy/$name" >"$hierarchy$runtime_cgroup/$name"
    done
    echo "$1" >"$hierarchy$runtime_cgroup/cgroup.procs"
  done < <(cgroup_hierarchies)
}

write_kubelet_config() {
  cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
podCIDR: 10.100.0.0/24
volumeStatsAggPeriod: 10s
fileCheckFrequency: 10s
volumePluginDir: $work/volume-plugins
serializeImagePulls: false
evictionPressureTransitionPeriod: 30s
evictionHard: {memory.available: 250Mi, nodefs.available: 10%, nodefs.inodesFree: 5%}
evictionMinimumReclaim: {nodefs.available: 5%, nodefs.inodesFree: 5%}
YAML
}

inside() {
  source "$root/hack/lib/registry.sh"
  source "$root/hack/lib/daemon.sh"
  source "$root/hack/lib/kernel_settings.sh"
  local tools=$root/build/tools/bin kubernetes=$root/build/tools/kubernetes/bin registry status=0
  work=$1
  shift
  mount --make-rprivate /
  mount_cgroups
  cover
  mount --make-rshared /
  make_network
  # Every program that the suite calls as root is called as root already.
  mkdir -p "$work"/{bin,run}
  replace_systemd
  command -v sudo >/dev/null || { printf '#!/bin/sh\nexec "$@"\n' >"$work/bin/sudo"; chmod 755 "$work/bin/sudo"; }
  export PATH=$work/bin:$kubernetes:$PATH TMPDIR=$work
  registry=$(start_registry --storage "$root/build/node-images/storage")
  mirror_registry "$registry" "$work/certs.d" registry.k8s.io gcr.io
  start_daemon "image: {registry_config_dirs: [$work/certs.d]}
runtime: {handlers: [test-handler]}"
  make_runtime_cgroup "$CRISP_PID"
  write_kubelet_config >"$work/kubelet.yaml"
  read_skips "$root/hack/node-conformance-skips.txt"
  # The suite leaves files beside itself, and expects the kubelet there.
  ln -s "$kubernetes"/{e2e_node.test,kubelet} "$work/run/"
  cd "$work/run"
  "$tools/ginkgo" --procs="${NODE_TESTS_PROCESSES:-$processes}" --no-color --timeout=3h \
    --label-filter="NodeConformance && !Flaky && $filter" \
    --output-dir="$logs" --json-report=report.json "${skips[@]}" "$@" ./e2e_node.test -- \
    --container-runtime-endpoint="unix://$CRISP_SOCKET" --container-runtime-process-name=crispd \
    --container-runtime-pid-file=/nonexistent --node-name=crisp \
    --kubelet-config-file="$work/kubelet.yaml" --kubelet-flags="--runtime-cgroups=$runtime_cgroup" --prepull-images=false --report-dir="$logs" \
    >"$logs/ginkgo.log" 2>&1 || status=$?
  cp "$CRISP_DIR/crispd.log" "$logs/"
  stop_daemon || status=1
  stop_registry "$registry"
  return $status
}

[[ ${1:-} != --fast && ${1:-} != "--$mode" ]] || shift
if [[ ${1:-} == --inside ]]; then
  shift
  inside "$@"
  exit
fi
outside "$@"
