#!/bin/bash
# hack/test.sh [stage...]: every test of crisp, on a bare Debian 12 as root. Without arguments all
# stages run in this order; a failing one does not stop those behind it, but the exit code tells.
#
#   deps       installs what building and testing takes
#   lint       what can be said of the sources without building them (hack/lint.sh)
#   build      configures and builds the dev preset in build/
#   unit       unit tests and the tests that make their own namespaces (ctest)
#   tools      crictl, critest and our helpers from pinned Go modules
#   proto      our CRI definition against the published one, field by field
#   e2e        real daemons through a plain gRPC client
#   scripts    real daemons through crictl, registries and CNI plugins: test/e2e/*_test.sh
#   critest    the CRI's own conformance tests
#   cluster    kubectl against a Kubernetes of its own: test/e2e/cluster. The first time Kubernetes is
#              built, which takes some ten minutes; --all adds the tests of scale and of full disks
#   asan tsan  tests of the layers under cri under AddressSanitizer + UBSan, and ThreadSanitizer
#   fuzz       every fuzz target for a few seconds
#
# and, when they are named or with --all, for they take more than half an hour:
#
#   node       Kubernetes' own node tests, those that are neither slow nor serial (hack/node-conformance.sh)
#   conformance   Kubernetes' own conformance tests, those that one node can run (hack/conformance.sh --all)
#   vm         the tests of pods, cgroups and networks, e2e and critest in an emulated machine with
#              cgroup v2, systemd and AppArmor, with either cgroup driver, and in one with SELinux
#              enforcing (hack/vm.sh); and a node that moves from containerd to the package and back
set -uo pipefail
cd "$(dirname "$0")/.." || exit
stages=(deps lint build unit tools proto e2e scripts critest cluster asan tsan fuzz)
cluster_options=()
if [[ ${1:-} == --all ]]; then
  stages+=(node conformance vm)
  cluster_options=(--all)
elif [[ $# -gt 0 ]]; then
  stages=("$@")
fi
jobs=$(nproc)
log_dir=build/test-logs
fuzz_seconds=${CRISP_FUZZ_SECONDS:-5}

stage_deps() { hack/deps.sh; }

stage_lint() { hack/lint.sh; }

stage_build() {
  cmake --preset dev >"$log_dir/configure.log" || { tail -20 "$log_dir/configure.log"; return 1; }
  cmake --build --preset dev -j "$jobs"
}

# with_reports NAME COMMAND...: where no test fails, none may have been skipped without a reason that is known.
with_reports() {
  local reports=$PWD/$log_dir/reports/$1
  shift
  rm -rf "$reports"
  GTEST_OUTPUT=xml:$reports/ "$@" && hack/skips.sh "$reports"
}

stage_unit() {
  with_reports unit ctest --test-dir build --timeout 300 --output-on-failure -j "$jobs" --no-tests=error
}

stage_tools() { hack/tools.sh; }

stage_proto() { hack/protocheck.sh; }

# Prints the tar of the image that the e2e tests import.
e2e_image() {
  local tar=build/e2e/busybox.tar
  # shellcheck source=hack/lib/image.sh
  . hack/lib/image.sh
  make_busybox_tar "$tar" crisp.test/busybox:latest >&2 && echo "$tar"
}

stage_e2e() {
  local tar failed=0 binary
  tar=$(e2e_image) || return 1
  for binary in build/e2e/*_e2e; do
    echo "--- $(basename "$binary")"
    CRISP_E2E_IMAGE=$tar CRISP_BIN=build/bin timeout 600 "$binary" --gtest_brief=1 || failed=1
  done
  for binary in build/e2e/{lifecycle,restart,surface,devices}_e2e; do
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

stage_vm() {
  hack/deps.sh vm && hack/tools.sh && hack/critest-images.sh && hack/kubernetes.sh && hack/package.sh dev || return 1
  local driver failed=0
  for driver in cgroupfs systemd; do
    echo "--- machine $driver/apparmor"
    hack/vm.sh run --driver "$driver" -- hack/test.sh machine || failed=1
  done
  echo "--- machine cgroupfs/selinux"
  hack/vm.sh run --lsm selinux -- hack/test.sh labelled || failed=1
  echo "--- a node moves from containerd to the package and back"
  hack/vm.sh run -- test/e2e/machine/migration.sh || failed=1
  return $failed
}

# Inside the machine of hack/vm.sh.
stage_machine() {
  local failed=0 name
  for name in apparmor_root selinux_root cgroup_root hardening_root host_paths_root shim_broker_root shim shim_versions \
      bridge_network_root cni_network_root pod_manager_root; do
    echo "--- ${name}_test"
    "build/tests/${name}_test" --gtest_brief=1 || failed=1
  done
  test/e2e/machine/cgroups.sh || failed=1
  stage_e2e || failed=1
  stage_critest || failed=1
  return $failed
}

# Inside the one with SELinux.
stage_labelled() {
  local failed=0
  build/tests/selinux_root_test --gtest_brief=1 || failed=1
  CRISP_E2E_IMAGE=$(e2e_image) CRISP_BIN=build/bin build/e2e/selinux_e2e --gtest_brief=1 || failed=1
  stage_critest || failed=1
  return $failed
}

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

stage_fuzz() {
  cmake --preset fuzz >"$log_dir/configure-fuzz.log" || return 1
  cmake --build --preset fuzz -j "$jobs" --target fuzzers || return 1
  hack/fuzz-seeds.sh build/corpus || return 1
  local failed=0 target name
  for target in build/fuzz/fuzz/*; do
    [[ -x $target && -f $target ]] || continue
    name=$(basename "$target")
    mkdir -p "build/corpus/$name"
    # libFuzzer looks at max_total_time between inputs only: one that hangs is found by -timeout, and
    # one that hangs with signals blocked by timeout(1).
    if ! timeout -k 5 $((fuzz_seconds + 60)) "$target" -max_total_time="$fuzz_seconds" -timeout=20 \
        -rss_limit_mb=2048 -artifact_prefix="build/corpus/$name-" "build/corpus/$name" \
        >"$log_dir/$name.log" 2>&1 </dev/null; then
      echo "$name: failed"
      tail -30 "$log_dir/$name.log"
      failed=1
    fi
    echo "$name: $(grep -c . < <(ls "build/corpus/$name")) inputs"
  done
  return $failed
}

mkdir -p "$log_dir"
failures=()
summary=
for stage in "${stages[@]}"; do
  if ! declare -F "stage_$stage" >/dev/null; then
    echo "test: no stage '$stage'; there are: deps lint build unit tools proto e2e scripts critest cluster asan tsan fuzz node conformance vm, and machine and labelled inside the machine" >&2
    exit 2
  fi
  echo "=== $stage"
  started=$SECONDS
  if "stage_$stage" >"$log_dir/$stage.log" 2>&1; then
    result=ok
  else
    result=FAILED
    failures+=("$stage")
    tail -n 120 "$log_dir/$stage.log"
  fi
  case $stage in
    critest | machine | labelled | vm) grep -E '^(--- machine|critest: [0-9]+ passed)' "$log_dir/$stage.log" ;;
    node | conformance) grep -E '^(node-)?conformance: [0-9]+ passed' "$log_dir/$stage.log" ;;
    cluster) grep -E '(passed|FAILED) in|^up in' "$log_dir/$stage.log" ;;
  esac
  summary+=$(printf '%-10s %-7s %5ds' "$stage" "$result" $((SECONDS - started)))$'\n'
  echo "=== $stage: $result in $((SECONDS - started)) s"
  # Nothing can work without these.
  if [[ $result == FAILED && ($stage == deps || $stage == build) ]]; then break; fi
done
printf '\n%s' "$summary"
if [[ ${#failures[@]} -gt 0 ]]; then
  echo "failed: ${failures[*]} (whole output in $log_dir)"
  exit 1
fi
echo "all passed"
