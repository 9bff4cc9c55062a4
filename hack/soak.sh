#!/bin/bash
# hack/soak.sh [SESSIONS]: so many (100,000) exec, attach and port-forward sessions that fail or are given
# up, over SPDY and WebSocket, through one crispd: afterwards it and the pod's shim must hold no more
# descriptors, threads and memory than after the first twentieth. The same test with fewer sessions is
# part of hack/test.sh.
set -euo pipefail
cd "$(readlink -f "$(dirname "$0")/..")"
# shellcheck source=hack/lib/image.sh
. hack/lib/image.sh
[[ -x build/e2e/streams_e2e ]] || { echo "soak: build first (hack/test.sh build)" >&2; exit 1; }
make_busybox_tar build/e2e/busybox.tar crisp.test/busybox:latest
CRISP_STREAM_SESSIONS=${1:-100000} CRISP_E2E_IMAGE=build/e2e/busybox.tar CRISP_BIN=build/bin \
  build/e2e/streams_e2e --gtest_filter='*FailedAndAbortedSessionsLeaveNothing'
