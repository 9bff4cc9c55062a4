#!/bin/bash
# hack/coverage.sh [--e2e] [--write]: which part of each room's lines the tests run, root tests included. Builds the
# coverage preset and runs its tests; --e2e adds the end-to-end tests through gRPC. --write puts the table into
# docs/testing.md.
#
# A process that is killed tells nothing. Of the shim only what its unit tests link is counted.
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
cd "$(dirname "$0")/.."
e2e='' write=()
for option in "$@"; do
  case $option in
    --e2e) e2e=1 ;;
    --write) write=(--write) ;;
    *) bad_usage "there is no option '$option'" ;;
  esac
done
build=build/coverage
jobs=$(nproc)
. hack/lib/image.sh

cmake --preset coverage >/dev/null
cmake --build --preset coverage -j "$jobs"
find "$build" -name '*.gcda' -delete
failed=0
ctest --test-dir "$build" --timeout 600 --output-on-failure -j "$jobs" --no-tests=error || failed=1
if [[ -n $e2e ]]; then
  tar=$(make_e2e_image)
  for binary in "$build"/e2e/*_e2e; do
    CRISP_E2E_IMAGE=$tar CRISP_BIN=$build/bin timeout 900 "$binary" --gtest_brief=1 || failed=1
  done
fi
[[ $failed == 0 ]] || echo "coverage: tests failed; the figures are of what ran" >&2
hack/lib/coverage.py "$build" "${write[@]}"
exit $failed
