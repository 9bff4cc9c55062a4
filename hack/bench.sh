#!/bin/bash
# hack/bench.sh [--quick] [--only PART,…] [--peers NAME,…] [--docs FOLDER | --no-docs] [--keep-results FILE]
#
# crisp beside containerd with runc, with crun, and Debian's containerd with runc: the same client,
# images, registry, kind of network and machine, in alternating rounds of one run; and beside what
# the kernel alone takes. Prints the table of goals, writes docs/performance.md and its plots.
#
#   --quick         fewer pods and contenders, for under ten minutes once the peers are built
#   --only PART,…   of: latency bursts critest node thousand restart execs writer pulls
#   --peers NAME,…  of: containerd debian-crun debian (CRI-O cannot be had: hack/bench/contenders.sh)
#   --docs FOLDER   where performance.md is; the default is docs
#   --no-docs       writes no document
#   --keep-results FILE   where the results go; the default is build/bench/results.jsonl
#
# Bare Debian 12, root. Leaves nothing behind but build/bench (the peers, the images, the results).
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
. "$root/hack/lib/usage.sh"
answer_help "$@"
cd "$root"

peers_all=(containerd debian debian-crun)
parts=latency,bursts,critest,node,thousand,restart,execs,writer,pulls
quick='' docs=$root/docs
kept=$root/build/bench/results.jsonl
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) quick=yes ;;
    --only) parts=$2; shift ;;
    --docs) docs=$2; shift ;;
    --peers) IFS=, read -ra peers_all <<<"$2"; shift ;;
    --no-docs) docs='' ;;
    --keep-results) kept=$2; shift ;;
    *) bad_usage "$1?" ;;
  esac
  shift
done
[[ $EUID == 0 ]] || { echo "bench.sh: needs root" >&2; exit 1; }

source hack/lib/cgroups.sh
source hack/lib/image.sh
source hack/lib/processes.sh
source hack/lib/registry.sh
source hack/lib/stamps.sh
source hack/lib/trees.sh
source hack/bench/run.sh
source hack/bench/groups.sh
source hack/bench/leftovers.sh
source hack/bench/contenders.sh
source hack/bench/configurations.sh
source hack/bench/images.sh
source hack/bench/latency.sh
source hack/bench/critest.sh
source hack/bench/node.sh
source hack/bench/sustained.sh
source hack/bench/pulls.sh
check_peers "${peers_all[@]}" || exit 2

prepare() {
  hack/deps.sh
  hack/tools.sh >/dev/null
  hack/bench/peers.sh >/dev/null
  [[ -f build/release/build.ninja ]] || cmake --preset release >/dev/null
  cmake --build --preset release --target crispd crisp crisp-shim cri-bench floor log-writer pull-limit \
    bench-report | tail -1 >&2
  remove_stale_runs
  begin_run
  say "$crio_is_left_out"
  make_images
  start_bench_registry
  record versions all "$(versions | jq -c --arg arguments "${quick:+ --quick}" \
    --arg date "$(date -u +%Y-%m-%d)" '. + {arguments: $arguments, date: $date}')"
}

# With the image that pods run, and its caches warm.
start_ready() { # NAME
  fresh_disk "$work/$1-root" 2G
  start_contender "$1" "$work/$1-root"
  client "$1" pull >/dev/null && client "$1" --tag warm latency --count 3 --warm-up 0 >/dev/null
}

# Peers that cannot run a pod on this machine are left out, with their reason.
start_all() {
  local name able=()
  start_ready crisp
  for name in "${peers_all[@]}"; do
    if try_ready "$name"; then able+=("$name"); fi
  done
  peers_all=("${able[@]}")
}

try_ready() {
  start_ready "$1" && return
  say "$1 cannot run pods here and is left out"
  stop_contender "$1"
  return 1
}

stop_all() { for name in "$@"; do stop_contender "$name"; done; }
wants() { [[ ,$parts, == *,$1,* ]]; }

# One pod after another and bursts: all contenders are up and take turns.
measure_starts() {
  local pods name
  start_all
  if wants latency; then
    if [[ $quick ]]; then
      measure_latency 3 60 12 crisp "${peers_all[@]}"
    else
      measure_latency 5 100 40 crisp "${peers_all[@]}"
    fi
  fi
  if wants bursts; then
    measure_floor_rates
    local counts=(1 10 50 110)
    [[ ! $quick ]] || counts=(50 110)
    for pods in "${counts[@]}"; do
      for name in crisp "${peers_all[@]}"; do
        [[ $quick && $name == debian ]] || measure_burst "$name" "$pods"
      done
    done
  fi
  stop_all crisp "${peers_all[@]}"
}

# What needs the node for itself: one contender at a time.
measure_alone() { # NAME
  local name=$1 idle=10  # a period of what a runtime samples
  try_ready "$name" || return 0
  if wants critest && [[ ! $quick ]]; then measure_critest "$name" 50; fi
  if wants node; then
    measure_node "$name" 110 10 "$idle"
    [[ $quick ]] || measure_node "$name" 500 20 "$idle"
  fi
  if wants thousand && [[ $name == crisp || ($name == containerd && ! $quick) ]]; then
    measure_node "$name" 1000 20 "$idle"
  fi
  if wants execs; then measure_execs "$name" 100 $((idle)); fi
  if wants writer && [[ $name == crisp || ! $quick ]]; then measure_writer "$name" 5; fi
  if wants restart; then
    [[ $quick ]] || measure_restart "$name" 110
    [[ $name != crisp ]] || measure_restart "$name" 500
  fi
  stop_contender "$name"
}

main() {
  local name
  prepare
  if wants latency || wants bursts; then measure_starts; fi
  if wants node || wants thousand || wants execs || wants writer || wants restart || wants critest; then
    measure_alone crisp
    for name in "${peers_all[@]}"; do
      [[ $quick && $name != containerd ]] || measure_alone "$name"
    done
  fi
  if wants pulls; then
    local contenders
    mapfile -t contenders < <(pull_contenders)
    if [[ $quick ]]; then
      measure_pulls 2 "${contenders[@]}"
    else
      measure_pulls 3 "${contenders[@]}"
      measure_slow_pulls 2 "${contenders[@]::3}"
    fi
  fi
  mkdir -p "$(dirname "$kept")"
  cp "$results" "$kept"
  "$bin/bench-report" ${docs:+--docs "$docs"} "$results"
}

main
