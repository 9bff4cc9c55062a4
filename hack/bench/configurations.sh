# Sourced by hack/bench.sh. How each contender is configured.

settings() { # NAME STORAGE: what launch() needs
  echo "$2" >"$work/$1.storage"
  [[ -f $work/$1.metrics ]] || free_port >"$work/$1.metrics"
}

configure_crisp() {
  local index=0 layers=directories
  [[ $1 == crisp ]] || { index=5; layers=erofs; }
  settings "$1" "$2"
  cat >"$work/$1.yaml" <<YAML
network:
  name: crb$run_id$index
  subnets: ["10.$((96 + index)).0.0/16"]
  masquerade: false
  cni_conf_dir: $work/$1-cni
image:
  registry_config_dirs: ["$work/certs.d"]
  layer_format: $layers
YAML
}

configure_containerd() {
  local name=$1 storage=$2 index
  settings "$name" "$storage"
  case $name in
    containerd) index=1 ;;
    containerd-synced) index=4 ;;
    debian-crun) index=2 ;;
    debian) index=3 ;;
  esac
  cat >"$work/$name-cni/10-bench.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "$name", "plugins": [
  {"type": "bridge", "bridge": "crb$run_id$index", "isGateway": true,
   "ipam": {"type": "host-local", "dataDir": "$work/$name-ipam",
            "ranges": [[{"subnet": "10.$((96 + index)).0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  if [[ $name == debian* ]]; then debian_toml "$@"; else newest_toml "$@"; fi >"$work/$name.toml"
}

debian_toml() {
  local name=$1 cri='plugins."io.containerd.grpc.v1.cri"' program=/usr/sbin/runc
  [[ $name == debian ]] || program=/usr/bin/crun
  cat <<TOML
version = 2
root = "$2"
state = "$work/$name-state"
[grpc]
  address = "$(socket_of "$name")"
[metrics]
  address = "127.0.0.1:$(cat "$work/$name.metrics")"
[plugins."io.containerd.internal.v1.opt"]
  path = "$work/$name-opt"
[$cri]
  sandbox_image = "$registry/bench/pause:1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [$cri.registry]
    config_path = "$work/certs.d"
  [$cri.cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$work/$name-cni"
  [$cri.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [$cri.containerd.runtimes.runc.options]
      BinaryName = "$program"
      Root = "$work/$name-state/runc"
TOML
}

newest_toml() {
  local name=$1 images='plugins."io.containerd.cri.v1.images"' cri='plugins."io.containerd.cri.v1.runtime"'
  local program=$peers/runc synced=false
  [[ $name != *-synced ]] || synced=true
  cat <<TOML
version = 3
root = "$2"
state = "$work/$name-state"
[grpc]
  address = "$(socket_of "$name")"
[metrics]
  address = "127.0.0.1:$(cat "$work/$name.metrics")"
[plugins."io.containerd.internal.v1.opt"]
  path = "$work/$name-opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[$images]
  image_pull_with_sync_fs = $synced
[plugins."io.containerd.service.v1.diff-service"]
  sync_fs = $synced
[plugins."io.containerd.transfer.v1.local"]
  max_concurrent_unpacks = $(nproc)
[$images.pinned_images]
  sandbox = "$registry/bench/pause:1"
[$images.registry]
  config_path = "$work/certs.d"
[$cri]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [$cri.cni]
    bin_dirs = ["$peers/cni"]
    conf_dir = "$work/$name-cni"
  [$cri.containerd]
    default_runtime_name = "runc"
  [$cri.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [$cri.containerd.runtimes.runc.options]
      BinaryName = "$program"
      Root = "$work/$name-state/runc"
TOML
}
