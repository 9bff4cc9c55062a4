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
#
# Inside such a machine there are the stages `machine` and `labelled` (hack/test/machine.sh).
#
# This is the one script of hack/ that calls what is in test/.
set -uo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
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
. hack/lib/image.sh
. hack/test/stages.sh
. hack/test/machine.sh

mkdir -p "$log_dir"
failures=()
summary=
for stage in "${stages[@]}"; do
  if ! declare -F "stage_$stage" >/dev/null; then
    bad_usage "there is no stage '$stage'"
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
    critest | machine | labelled | vm) grep -E '^(--- machine|--- .* took|=== .*FAILED|critest: [0-9]+ passed)' "$log_dir/$stage.log" ;;
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
