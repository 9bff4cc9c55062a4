# Sourced by hack/bench.sh. What a runtime uses while its pods work: execs of probes, log lines.

# Exec probes at a rate, and the CPU time that the runtime itself takes for each.
measure_execs() { # NAME RATE SECONDS
  local name=$1 before after
  say "exec probes, $2 a second, $name"
  hold "$name" --tag execs execs --rate "$2" --seconds "$3"
  before=$(daemon_cpu "$name")
  resume
  after=$(daemon_cpu "$name")
  release
  record execs "$name" "$(jq -c --argjson before "$before" --argjson after "$after" --argjson rate "$2" \
    '. + {rate: $rate, cpu: ($after - $before)}' <<<"$held")"
}

# A container that writes lines at 200 MB/s: for how long it was held up, and the runtime's CPU time.
measure_writer() { # NAME SECONDS
  local name=$1 before after
  say "a log writer of 200 MB/s, $name"
  hold "$name" --tag writer writer /bin/log-writer 200 "$2"
  before=$(daemon_cpu "$name")
  resume
  after=$(daemon_cpu "$name")
  release
  record writer "$name" "$(jq -c --argjson before "$before" --argjson after "$after" --argjson seconds "$2" \
    '. + {asked_seconds: $seconds, megabytes: (200 * $seconds), cpu: ($after - $before)}' <<<"$held")"
  rm -f "$work"/logs/writer*
}
