# Sourced by hack/cluster.sh. What a cluster is made of: programs, and a registry with images.

# build: what `up` needs. A machine of hack/vm.sh has what was built before it was started.
build() {
  [[ -z ${CRISP_VM_OUT:-} ]] || return 0
  "$root/hack/deps.sh" cluster
  if [[ -z ${CRISP_BIN:-} ]]; then
    (cd "$root" && { [[ -f build/build.ninja ]] || cmake --preset dev >/dev/null; } &&
      cmake --build --preset dev --target crispd crisp crisp-shim >/dev/null)
  fi
  "$root/hack/tools.sh" >/dev/null
  "$root/hack/kubernetes.sh" >/dev/null
  build_images
}

# The registry's contents are the same for every cluster.
build_images() {
  local folder=$root/build/cluster-images
  make_once "$folder" "$(cat "$root"/hack/{images.sh,lib/trees.sh} "$root/build/tools/bin/mkimage" /bin/busybox \
    /usr/sbin/nginx | sha256sum)" fill_registry "$folder/storage"
}

fill_registry() {
  local address status=0
  rm -rf "$1"
  address=$(start_registry --storage "$1")
  "$root/hack/images.sh" "http://$address" || status=1
  stop_registry "$address"
  return $status
}

# make_registry: the cluster's registry runs, and its address is in $work/registry.
make_registry() {
  local pid
  export TMPDIR=$work/registry.d
  mkdir -p "$TMPDIR"
  if [[ -f $work/registry ]]; then
    pid=$(cat "$(registry_folder "$(cat "$work/registry")")/pid" 2>/dev/null || true)
    [[ -z $pid ]] || ! grep -qsF docker-registry "/proc/$pid/comm" || return 0
    rm -f "$work/registry"
  fi
  start_registry --storage "$root/build/cluster-images/storage" >"$work/registry" 9>&-
  unset TMPDIR
}

# in_machine [--driver DRIVER] COMMAND...: a machine has neither compilers nor a network.
in_machine() {
  local driver=systemd
  if [[ ${1:-} == --driver ]]; then driver=$2; shift 2; fi
  [[ $# -gt 0 ]] || fail "--vm: no command"
  "$root/hack/deps.sh" vm
  build
  install "$(command -v etcd)" "$kube_bin/etcd"
  CRISP_VM_WITH='build/tools/kubernetes/bin build/cluster-images' \
    "$root/hack/vm.sh" run --driver "$driver" --timeout "${CRISP_CLUSTER_VM_TIMEOUT:-3600}" \
    --keep "$root/build/cluster-vm-$driver" -- "$@"
}
