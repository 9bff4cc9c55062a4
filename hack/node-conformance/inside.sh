# Sourced by hack/node-conformance.sh. What happens in the namespaces of a run.

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
    for program in systemd-run systemctl; do ln -s "$root/hack/node-conformance/kubelet-unit.sh" "$work/bin/$program"; done
  elif program=$(command -v systemd-run); then
    mount --bind /dev/null "$program"
  fi
}

# The suite wants to see crispd's cgroup as that of the runtime.
runtime_cgroup=/runtime
make_runtime_cgroup() {
  local hierarchy
  while read -r hierarchy; do
    make_cgroup "$hierarchy$runtime_cgroup"
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
  cd "$work/run" || return
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
