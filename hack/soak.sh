#!/bin/bash
# hack/soak.sh [SESSIONS]: so many (100,000) exec, attach and port-forward sessions that fail or are given
# up, over SPDY and WebSocket, through one crispd: afterwards it and the pod's shim must hold no more
# descriptors, threads and memory than after the first twentieth. The same test with fewer sessions is
# part of hack/test.sh.
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
cd "$(dirname "$0")/.."
. hack/lib/image.sh
answer_help "$@"
[[ -x build/e2e/streams_e2e ]] || { echo "soak: build first (hack/test.sh build)" >&2; exit 1; }
image=$(make_e2e_image)
CRISP_STREAM_SESSIONS=${1:-100000} CRISP_E2E_IMAGE=$image CRISP_BIN=build/bin \
  build/e2e/streams_e2e --gtest_filter='*FailedAndAbortedSessionsLeaveNothing'
