# Sourced by hack/test.sh, in the tree's root. stage_NAME runs the stage NAME and says by its status if it passed.
# $log_dir has logs, $jobs is how many things may run at a time.

# with_reports NAME COMMAND...: where no test fails, none may have been skipped without a reason that is known.
with_reports() {
  local reports=$PWD/$log_dir/reports/$1
  shift
  rm -rf "$reports"
  GTEST_OUTPUT=xml:$reports/ "$@" && hack/skips.sh "$reports"
}

stage_deps() { hack/deps.sh; }

stage_lint() { hack/lint.sh; }

stage_build() {
  cmake --preset dev >"$log_dir/configure.log" || { tail -20 "$log_dir/configure.log"; return 1; }
  # verify_headers: each header compiles alone, with what its room publishes.
  cmake --build --preset dev -j "$jobs" --target all verify_headers
}

stage_unit() {
  with_reports unit ctest --test-dir build --timeout 300 --output-on-failure -j "$jobs" --no-tests=error
}

stage_tools() { hack/tools.sh; }

stage_proto() { hack/protocheck.sh; }

stage_e2e() {
  local tar failed=0 binary
  tar=$(make_e2e_image) || return 1
  for binary in build/e2e/*_e2e; do
    echo "--- $(basename "$binary")"
    CRISP_E2E_IMAGE=$tar CRISP_BIN=build/bin timeout 600 "$binary" --gtest_brief=1 || failed=1
  done
  for binary in build/e2e/{lifecycle,restart,surface,devices,operator}_e2e; do
    echo "--- $(basename "$binary"), layers as images"
    CRISP_LAYER_FORMAT=erofs CRISP_E2E_IMAGE=$tar CRISP_BIN=build/bin \
      timeout 600 "$binary" --gtest_brief=1 || failed=1
  done
  return $failed
}

stage_scripts() {
  local failed=0 script
  for script in test/e2e/*_test.sh; do
    echo "--- $script"
    timeout 600 "$script" || { echo "FAILED: $script"; failed=1; }
  done
  echo "--- test/e2e/images_test.sh, layers as images"
  CRISP_LAYER_FORMAT=erofs timeout 600 test/e2e/images_test.sh ||
    { echo "FAILED: test/e2e/images_test.sh, layers as images"; failed=1; }
  return $failed
}

# All four runs of --all take as long as these three together again. One that hangs has an end.
stage_critest() {
  local failed=0
  local critest=(timeout -k 60 1200 hack/critest.sh)
  "${critest[@]}" || failed=1
  "${critest[@]}" -websocket-exec -websocket-attach -websocket-portforward -ginkgo.focus='Streaming' || failed=1
  "${critest[@]}" -parallel 3 || failed=1
  return $failed
}

stage_cluster() {
  hack/deps.sh cluster && hack/kubernetes.sh && test/e2e/cluster/run.sh "${cluster_options[@]}"
}

stage_node() { hack/node-conformance.sh; }

stage_conformance() { hack/conformance.sh --all; }

# The sanitizers see our own code; Debian's gRPC and protobuf are not instrumented, so the tests of
# the layers under cri are what they run (see sanitizer_tests in cmake/rooms.cmake).
sanitized() {
  local preset=$1
  cmake --preset "$preset" >"$log_dir/configure-$preset.log" || return 1
  cmake --build --preset "$preset" -j "$jobs" --target sanitizer_tests || return 1
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
  TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/hack/tsan.supp" \
    with_reports "$preset" ctest --test-dir "build/$preset" -L sanitized --timeout 300 --output-on-failure -j "$jobs" --no-tests=error
}
stage_asan() { sanitized asan; }
stage_tsan() { sanitized tsan; }

fuzz_one() { # TARGET SECONDS
  local name
  name=$(basename "$1")
  mkdir -p "build/corpus/$name"
  # libFuzzer looks at max_total_time between inputs only: one that hangs is found by -timeout, and
  # one that hangs with signals blocked by timeout(1).
  if timeout -k 5 $(($2 + 60)) "$1" -max_total_time="$2" -timeout=20 -rss_limit_mb=2048 \
      -artifact_prefix="build/corpus/$name-" "build/corpus/$name" >"$log_dir/$name.log" 2>&1 </dev/null; then
    echo "$name: $(find "build/corpus/$name" -type f | wc -l) inputs"
  else
    echo "$name: failed"
    tail -30 "$log_dir/$name.log"
    return 1
  fi
}

stage_fuzz() {
  cmake --preset fuzz >"$log_dir/configure-fuzz.log" || return 1
  cmake --build --preset fuzz -j "$jobs" --target fuzzers || return 1
  hack/fuzz-seeds.sh build/corpus || return 1
  export -f fuzz_one
  find build/fuzz/fuzz -maxdepth 1 -type f -executable | sort |
    log_dir=$log_dir xargs -I TARGET -P "$jobs" bash -c 'fuzz_one "$1" "$2"' fuzz TARGET "${CRISP_FUZZ_SECONDS:-5}"
}
