# Sourced by hack/bench.sh. critest's own benchmark: somebody else's client, the same contenders.

measure_critest() { # NAME SAMPLES
  local name=$1 out=$work/critest-$1 tests socket
  say "critest's benchmark, $name"
  tests=$("$root/hack/tools.sh")
  socket=unix://$(socket_of "$name")
  mkdir -p "$out"
  printf '%s: %s\n' containersNumber "$2" containersNumberParallel 1 podsNumber "$2" podsNumberParallel 1 \
    >"$out/parameters.yaml"
  printf '%s: %s/bench/busybox:1\n' defaultTestContainerImage "$registry" >"$out/images.yaml"
  if ! "$tests/critest" -benchmark -runtime-endpoint "$socket" -image-endpoint "$socket" \
    -ginkgo.focus 'basic operations on (Container|PodSandbox)' -test-images-file "$out/images.yaml" \
    -benchmarking-params-file "$out/parameters.yaml" -benchmarking-output-dir "$out" >"$out/log" 2>&1; then
    tail -20 "$out/log" >&2
    return 1
  fi
  record critest "$name" "$(jq -cs '
    def median: sort | .[((length - 1) / 2 | floor)] / 1000;
    [.[] | .operationsNames as $names | .datapoints as $points | range($names | length) as $i |
     {key: $names[$i], value: ([$points[].operationsDurationsNs[$i]] | median)}] | from_entries' \
    "$out"/*.json)"
}
