# Sourced by hack/bench.sh. Pulls from a registry on loopback.
#
# Every pull goes to a file system of its own, thrown away after.

shapes=(small big many deep)

# Those that differ in pulling: what runs a container plays no part.
pull_contenders() {
  local name
  printf '%s\n' crisp crisp-erofs
  for name in "${peers_all[@]}"; do
    case $name in
      containerd) echo containerd; [[ $quick ]] || echo containerd-synced ;;
      debian) [[ $quick ]] || echo debian ;;
    esac
  done
}

measure_pull() { # NAME SHAPE [MEASURE [REGISTRY]]
  local name=$1 shape=$2 measure=${3:-pull} from=${4:-$registry} result
  say "$measure of $shape, $name"
  fresh_disk "$work/mnt/$name" 8G
  start_contender "$name" "$work/mnt/$name/storage"
  sync
  local before after
  before=$(daemon_cpu "$name")
  result=$("$bin/cri-bench" --endpoint "unix://$(socket_of "$name")" --image "$from/bench/$shape:1" pull)
  after=$(daemon_cpu "$name")
  record "$measure" "$name" "$(jq -c --arg shape "$shape" --argjson before "$before" --argjson after "$after" \
    '{shape: $shape, micros: .PullImage.p50, size, cpu: ($after - $before)}' <<<"$result")"
  stop_contender "$name"
  drop_disk "$work/mnt/$name"
}

# How long the registry takes to hand out manifest, config and all layers, one after another over one
# connection; without the start of the client's process.
fetch_seconds() { # SHAPE
  local url=http://$registry/v2/bench/$1 accept="Accept: application/vnd.oci.image.manifest.v1+json" digest
  local arguments=(-o /dev/null "$url/manifests/1")
  for digest in $(curl -fsH "$accept" "$url/manifests/1" | jq -r ".config.digest, .layers[].digest"); do
    arguments+=(-o /dev/null "$url/blobs/$digest")
  done
  curl -fs -H "$accept" -w '%{time_total}\n' "${arguments[@]}" | awk '{total += $1} END {printf "%.6f", total}'
}

# What fetching, inflating, hashing and writing these layers takes at least, on this machine and in this run.
measure_pull_limit() { # SHAPE
  say "physical limit of $1"
  fresh_disk "$work/mnt/limit" 8G
  local fetch limit
  fetch=$(fetch_seconds "$1")
  limit=$("$bin/pull-limit" --registry "$storage" --repository "bench/$1" --directory "$work/mnt/limit")
  record pull-limit kernel "$(jq -c --arg shape "$1" --argjson fetch "$fetch" '. + {shape: $shape, fetch: $fetch}' <<<"$limit")"
  drop_disk "$work/mnt/limit"
}

measure_pulls() { # ROUNDS NAME...
  local rounds=$1 round shape name
  shift
  local order=("$@")
  for ((round = 1; round <= rounds; ++round)); do
    for shape in "${shapes[@]}"; do
      measure_pull_limit "$shape"
      for name in "${order[@]}"; do measure_pull "$name" "$shape"; done
      order=("${order[@]:1}" "${order[0]}")
    done
  done
}

# The same over a link of 1 Gb/s: the registry in a network namespace, behind a token bucket.
measure_slow_pulls() { # ROUNDS NAME...
  local rounds=$1 round shape name slow=10.95.0.2:5000
  shift
  start_slow_registry $slow
  for ((round = 1; round <= rounds; ++round)); do
    for shape in big many; do
      for name in "$@"; do measure_pull "$name" "$shape" pull-1gbit $slow; done
    done
  done
}

start_slow_registry() { # ADDRESS
  local netns=crb$run_id config
  config=$(TMPDIR=$work registry_folder "$registry")/config.yml
  ip netns add "$netns"
  ip link add "crb${run_id}v" type veth peer name eth0 netns "$netns"
  ip addr add 10.95.0.1/30 dev "crb${run_id}v"
  ip link set "crb${run_id}v" up
  ip -n "$netns" addr add 10.95.0.2/30 dev eth0
  ip -n "$netns" link set lo up
  ip -n "$netns" link set eth0 up
  tc -n "$netns" qdisc add dev eth0 root tbf rate 1gbit burst 1mb latency 20ms
  REGISTRY_HTTP_ADDR=$1 ip netns exec "$netns" docker-registry serve "$config" >"$work/slow-registry.log" 2>&1 &
  disown
  mirror_registry "$1" "$work/certs.d" "$1"
  local _
  for _ in $(seq 50); do
    ! curl -fs -o /dev/null "http://$1/v2/" || return 0
    sleep 0.1
  done
  cat "$work/slow-registry.log" >&2
  return 1
}
