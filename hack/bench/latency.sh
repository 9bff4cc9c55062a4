# Sourced by hack/bench.sh. One pod after another, and what the kernel alone takes for that.

# Interleaved: every round measures the floor and each contender once, beginning with another one.
measure_latency() { # ROUNDS PODS_EACH PODS_OF_PEERS_EACH NAME...
  local rounds=$1 count=$2 peer_count=$3 round name
  shift 3
  local order=("$@")
  for ((round = 1; round <= rounds; ++round)); do
    measure_floor "$((count * 2))"
    for name in "${order[@]}"; do
      say "latency of $name, round $round"
      if [[ $name == crisp* ]]; then
        record latency "$name" "$(client "$name" --tag "l$round" latency --count "$count" --warm-up 5)"
      else
        record latency "$name" "$(client "$name" --tag "l$round" latency --count "$peer_count" --warm-up 2)"
      fi
    done
    order=("${order[@]:1}" "${order[0]}")
  done
}

# Its disk is like the contenders'.
floor() {
  fresh_disk "$work/floor" 2G
  "$bin/floor" --directory "$work/floor" "$@" --json
  drop_disk "$work/floor"
}

measure_floor() { record floor kernel "$(floor --count "$1")"; } # PODS

# How many pods, and how many pods' networks alone, the kernel makes a second.
measure_floor_rates() {
  local pods
  for pods in 50 110; do
    record floor-burst kernel "$(floor --burst $pods)"
    record floor-networks kernel "$(floor --burst $pods --networks)"
  done
}
