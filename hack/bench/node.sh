# Sourced by hack/bench.sh. Many pods at once, many pods on the node, and a daemon that comes back.

# hold NAME ARG...: a client that prints what it has done, in $held, and waits.
hold() {
  coproc HOLD { client "$@"; }
  hold_pid=$HOLD_PID
  read -r held <&"${HOLD[0]}"
}
# Lets it go on to the next thing that it says, in $held.
resume() { # [LINE]
  echo "${1:-}" >&"${HOLD[1]}"
  read -r held <&"${HOLD[0]}"
}
# Lets it go on to its end.
release() { # [LINE]
  resume "$@"
  wait "$hold_pid"
}

# Pods in parallel, all at the same time: started, and ended.
measure_burst() { # NAME PODS
  say "burst of $2 pods, $1"
  record burst "$1" "$(client "$1" --tag "b$2" burst --pods "$2" --parallel "$2")"
}

# Memory in kB of the daemon and of the runtime's other processes: shims and their like, and what
# holds the pods' namespaces inside their cgroups.
memory_of() { # NAME PODS
  local daemon pid
  daemon=$(pid_of "$1")
  {
    daemon_processes "$1"
    # Groups of ended pods may be going away meanwhile.
    (find "$cpu_mount$cgroup_root/$1" -name cgroup.procs -exec cat {} + 2>/dev/null || true) | while read -r pid; do
      ! grep -qxE 'pause|crisp-pause' "/proc/$pid/comm" 2>/dev/null || echo "$pid"
    done
  } | sort -un | while read -r pid; do
    sed "s/^/$pid /" "/proc/$pid/smaps_rollup" 2>/dev/null || true
  done | awk -v daemon="$daemon" -v pods="$2" '
    $2 == "Pss:" {pss[$1 == daemon] += $3; if ($1 != daemon) ++others}
    $2 ~ /^Private_(Clean|Dirty):/ {private[$1 == daemon] += $3}
    END {printf "{\"pods\":%d,\"daemon_pss\":%d,\"daemon_private\":%d,\"others\":%d,\"others_pss\":%d,\"others_private\":%d}",
         pods, pss[1], private[1], others, pss[0], private[0]}'
}

# Share of one core that the runtime uses while nobody asks for anything.
idle_cpu() { # NAME SECONDS
  local before after
  before=$(daemon_cpu "$1")
  sleep "$2"
  after=$(daemon_cpu "$1")
  awk -v a="$before" -v b="$after" -v s="$2" 'BEGIN {printf "%.6f", (b - a) / s}'
}

# Milliseconds of the median scrape of /metrics, and its size.
scrape() { # NAME
  local url
  url=http://127.0.0.1:$(cat "$work/$1.metrics")
  [[ $1 == crisp* ]] && url+=/metrics || url+=/v1/metrics
  local i
  for ((i = 0; i < 11; ++i)); do
    curl -fs -o /dev/null -w '%{time_total} %{size_download}\n' "$url" || return 0
  done | sort -n | awk '{t[NR] = $1; size = $2} END {printf "{\"ms\":%.3f,\"bytes\":%d}", t[int((NR + 1) / 2)] * 1000, size}'
}

# N pods on the node: until all run, memory, CPU when idle, queries, one more pod.
measure_node() { # NAME PODS PARALLEL IDLE_SECONDS [QUERIES]
  local name=$1 pods=$2 parallel=$3 seconds=$4 queries=${5:-200} at
  say "$pods pods on the node, $name"
  at='. + {at: $pods}'
  # What is without pods is compared with what is with them: what the daemon grew by earlier is neither's.
  restart_daemon "$name"
  sleep 2
  record memory "$name" "$(memory_of "$name" 0 | jq -c --argjson pods "$pods" '. + {before: $pods}')"
  hold "$name" --tag "n$pods" burst --pods "$pods" --parallel "$parallel" --hold
  record node-start "$name" "$(jq -c --argjson pods "$pods" "$at" <<<"$held")"
  sleep 2
  record memory "$name" "$(memory_of "$name" "$pods")"
  # What is done once for pods that have come is not idling.
  sleep 10
  record idle "$name" "{\"at\": $pods, \"cores\": $(idle_cpu "$name" "$seconds")}"
  record queries "$name" "$(client "$name" queries --count "$queries" | jq -c --argjson pods "$pods" "$at")"
  record one-more "$name" \
    "$(client "$name" --tag "m$pods" latency --count 9 --warm-up 1 | jq -c --argjson pods "$pods" "$at")"
  local scraped
  scraped=$(scrape "$name")
  [[ -z $scraped ]] || record scrape "$name" "$(jq -c --argjson pods "$pods" "$at" <<<"$scraped")"
  release
  record node-end "$name" "$(jq -c --argjson pods "$pods" ".ends + {at: \$pods}" <<<"$held")"
}

# Kills the daemon with pods on the node, starts it, and waits until it reports them all.
measure_restart() { # NAME PODS
  local name=$1 pods=$2 since
  say "restart with $pods pods, $name"
  hold "$name" --tag "r$pods" burst --pods "$pods" --parallel 20 --hold
  sleep 1
  stop_daemon "$name" -KILL
  since=$(now)
  launch "$name"
  record restart "$name" "$(client "$name" return --pods "$pods" --since "$since")"
  release leave
  client "$name" end-all >/dev/null
}
